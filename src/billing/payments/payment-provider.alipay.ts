/**
 * Payments by Alipay's page (alipay.trade.page.pay). Owns: the signed address, reading signed reports.
 * Refuses to know: orders as they are kept. Nothing is sent from here: the payer's browser carries the order.
 */
import { Socket } from "node:net";
import type { AlipaySdk } from "alipay-sdk";
import { AppError } from "../../kernel/errors.ts";
import {
  COIN_MICROS,
  type PaymentAddresses,
  type PaymentNotice,
  type PaymentOrder,
  type PaymentProvider,
  refusedNotice,
  toCoins,
} from "./payment-provider.ts";

/** How Alipay is used. Keys are PEM or its base64. */
export interface AlipaySettings {
  appId: string;
  privateKey: string;
  /** Alipay's own public key, not the app's. */
  alipayPublicKey: string;
  keyType?: "PKCS1" | "PKCS8" | undefined;
  /** Another address than Alipay's own, e.g. its sandbox. */
  gateway?: string | undefined;
}

const PAID = new Set(["TRADE_SUCCESS", "TRADE_FINISHED"]);
const FIELDS = 100;

/** See the head of this file. */
export class AlipayPayments implements PaymentProvider {
  readonly id = "alipay";
  readonly currencies = ["CNY"];
  readonly acknowledgement = { contentType: "text/plain; charset=utf-8", body: "success" };
  private readonly settings: AlipaySettings;
  private sdk: Promise<AlipaySdk> | undefined;

  constructor(settings: AlipaySettings) {
    // SECURITY: without its key Alipay's reports could not be told from anybody's (ATTACKS QU-08).
    if (settings.alipayPublicKey.trim().length < 100 || settings.privateKey.trim().length < 100)
      throw new AppError(
        "invalid_request",
        "payments.alipay needs the app's private key and Alipay's public key.",
      );
    this.settings = settings;
  }

  async begin(order: PaymentOrder, { returnUrl, noticeUrl }: PaymentAddresses): Promise<string> {
    const sdk = await this.open();
    const coins = toCoins(order.amountMicros);
    const amount = `${Math.floor(coins / 100)}.${String(coins % 100).padStart(2, "0")}`;
    return sdk.pageExecute("alipay.trade.page.pay", "GET", {
      returnUrl,
      notifyUrl: noticeUrl,
      bizContent: {
        out_trade_no: order.id,
        product_code: "FAST_INSTANT_TRADE_PAY",
        total_amount: amount,
        subject: "Credit",
        passback_params: encodeURIComponent(order.tenantId),
      },
    });
  }

  async readNotice(body: string): Promise<PaymentNotice | null> {
    const fields = [...new URLSearchParams(body)];
    // SECURITY: of a field given twice the signature may cover one and we might read the other.
    if (fields.length > FIELDS || new Set(fields.map(([name]) => name)).size !== fields.length)
      throw refusedNotice();
    const notice = Object.fromEntries(fields) as Partial<Record<string, string>>;
    // SECURITY: the older signature type is SHA-1.
    if (notice["sign_type"] !== "RSA2" || !(notice["sign"] ?? "")) throw refusedNotice();
    const sdk = await this.open();
    if (!isSigned(sdk, notice)) throw refusedNotice();
    // SECURITY: the same key signs for every app of its owner.
    if (notice["app_id"] !== this.settings.appId) throw refusedNotice();
    if (!PAID.has(notice["trade_status"] ?? "")) return null;
    return {
      orderId: notice["out_trade_no"] ?? "",
      paymentId: notice["trade_no"] ?? "",
      amountMicros: readAmount(notice["total_amount"]),
      currency: notice["trans_currency"] ?? "CNY",
      tenantId: decodeURIComponent(notice["passback_params"] ?? ""),
    };
  }

  private open(): Promise<AlipaySdk> {
    this.sdk ??= loadSdk().then(({ AlipaySdk: Client }) => {
      const { appId, privateKey, alipayPublicKey, keyType, gateway } = this.settings;
      const address = gateway === undefined ? {} : { gateway };
      return new Client({ appId, privateKey, alipayPublicKey, keyType: keyType ?? "PKCS8", ...address });
    });
    return this.sdk;
  }
}

/**
 * The SDK alone. Its HTTP client (urllib 4.9) puts a `destroy` of its own into every socket of the process, which throws
 * when a second socket ends with the same error: as those of a model provider do when their pool is closed. Nothing is
 * sent with that client, so ours is put back, in the same turn of the event loop in which it was taken away.
 */
async function loadSdk(): Promise<typeof import("alipay-sdk")> {
  const { destroy } = Socket.prototype;
  try {
    return await import("alipay-sdk");
  } finally {
    Socket.prototype.destroy = destroy;
  }
}

function isSigned(sdk: AlipaySdk, notice: Partial<Record<string, string>>): boolean {
  try {
    return sdk.checkNotifySignV2(notice);
  } catch {
    return false;
  }
}

/** `12.30` as micro-units, without going through fractions; 0 for anything else, which is no amount of any order. */
function readAmount(text: string | undefined): number {
  const match = /^(\d{1,9})(?:\.(\d{1,2}))?$/.exec(text ?? "");
  if (match === null) return 0;
  return (Number(match[1]) * 100 + Number((match[2] ?? "").padEnd(2, "0"))) * COIN_MICROS;
}
