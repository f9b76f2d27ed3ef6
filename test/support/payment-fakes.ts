/**
 * Stripe and Alipay as far as top-ups need them, on loopback. Owns: signing as the real ones do (Stripe: HMAC-SHA-256
 * over `t.body` under `v1`; Alipay: RSA2 over the sorted fields). Refuses to know: what is asserted.
 */
import { createHmac, createSign, createVerify, generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** A Stripe that opens sessions and signs events. */
export interface FakeStripe {
  url: string;
  /** Sessions that were opened, as their form fields. */
  sessions: Record<string, string>[];
  close(): void;
}

/** Begin to answer as Stripe does. */
export async function startStripe(): Promise<FakeStripe> {
  const sessions: Record<string, string>[] = [];
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("end", () => {
      const fields = Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
      sessions.push(fields);
      const id = `cs_test_${sessions.length}`;
      const body = { id, object: "checkout.session", url: `https://checkout.stripe.example/${id}` };
      res.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, sessions, close: () => server.close() };
}

/** The event that a session was paid; `change` alters the session. */
export function stripeEvent(
  order: { id: string; tenantId: string; amountCoins: number; currency?: string },
  change: Record<string, unknown> = {},
  type = "checkout.session.completed",
): string {
  const session = {
    ...{ id: `cs_${order.id}`, object: "checkout.session", mode: "payment", payment_status: "paid" },
    ...{ client_reference_id: order.id, amount_total: order.amountCoins, currency: order.currency ?? "usd" },
    ...{ payment_intent: `pi_${order.id}`, metadata: { tenant_id: order.tenantId, order_id: order.id } },
    ...change,
  };
  return JSON.stringify({ id: `evt_${order.id}`, object: "event", type, data: { object: session } });
}

/** The header `Stripe-Signature`. */
export function stripeSignature(body: string, secret: string, atMs = Date.now()): string {
  const t = Math.floor(atMs / 1_000);
  return `t=${t},v1=${createHmac("sha256", secret).update(`${t}.${body}`).digest("hex")}`;
}

/** Keys of an app and of Alipay, and Alipay's signing. */
export interface FakeAlipay {
  appPrivateKey: string;
  alipayPublicKey: string;
  /** Whether the address was signed by the app. */
  isSignedByApp(address: string): boolean;
  /** A signed report; `change` alters fields before they are signed. */
  report(fields: Record<string, string>): string;
}

/** Make both sides' keys. */
export function makeAlipay(): FakeAlipay {
  const pair = () => generateKeyPairSync("rsa", { modulusLength: 2048 });
  const [app, alipay] = [pair(), pair()];
  const contents = (fields: Record<string, string>) =>
    Object.entries(fields)
      .filter(([name, value]) => name !== "sign" && value !== "")
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, value]) => `${name}=${value}`)
      .join("&");
  return {
    appPrivateKey: app.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    alipayPublicKey: alipay.publicKey.export({ type: "spki", format: "pem" }).toString(),
    isSignedByApp(address) {
      const fields = Object.fromEntries(new URL(address).searchParams);
      const verifier = createVerify("RSA-SHA256").update(contents(fields), "utf8");
      return verifier.verify(app.publicKey, fields["sign"] ?? "", "base64");
    },
    report(fields) {
      // Reports are signed without their signature's type.
      const { sign_type: _type, ...signed } = fields;
      const sign = createSign("RSA-SHA256")
        .update(contents(signed), "utf8")
        .sign(alipay.privateKey, "base64");
      return new URLSearchParams({ ...fields, sign }).toString();
    },
  };
}
