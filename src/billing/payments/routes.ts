/**
 * Top-ups, codes and credit by HTTP, and where payment providers report. Owns: the declared routes.
 * Refuses to know: signatures, orders, lines.
 */
import { z } from "zod";
import { appendStatement } from "../../audit/chain.ts";
import type { AuditLog } from "../../audit/log.ts";
import { auditRecord } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { newId, type TenantId } from "../../kernel/ids.ts";
import { defineRoute, defineTenantRoute, type Route, type RouteCall } from "../../protocol/routes.ts";
import type { Actor } from "../../tenancy/actor.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { Codes } from "./codes.ts";
import type { CreditExpiry } from "./credit-expiry.ts";
import { MOST_TOP_UP, type Payments } from "./payments.ts";

/** What the routes need. */
export interface PaymentRouteDeps {
  payments: Payments;
  codes: Codes;
  ledger: Ledger;
  expiry: CreditExpiry;
  auditLog: AuditLog;
  clock: Clock;
  /** Where the operator says that the gateway is reached. */
  publicUrl: string | undefined;
  /** A tenant's audit log got a row; must not throw. */
  onRecorded?(scope: TenantScope): void;
  /** The tenant's scope; undefined when it is gone or going. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
}

const AMOUNT = z.int().min(1).max(MOST_TOP_UP);
const TOP_UP = z.object({
  provider: z.enum(["stripe", "alipay"]),
  amountMicros: AMOUNT,
  returnTo: z.string().max(500),
});
const CREDIT = z.object({
  tenantId: z.uuid(),
  amountMicros: AMOUNT,
  expiresAtMs: z.int().min(1).optional(),
  reason: z.string().trim().min(1).max(500),
  /** The same key books once. */
  idempotencyKey: z.string().min(8).max(100).optional(),
});
const NEW_CODES = z.object({
  count: z.int().min(1).max(1_000),
  amountMicros: AMOUNT,
  currency: z.enum(["USD", "CNY"]),
  expiresAtMs: z.int().min(1).nullable().optional(),
  /** The same key makes codes once, and names them afterwards. */
  idempotencyKey: z
    .string()
    .regex(/^[\w.-]{8,100}$/)
    .optional(),
});

/** Declare the routes. */
export function makePaymentRoutes(deps: PaymentRouteDeps): Route[] {
  return [topUp(deps), redeem(deps), ...reports(deps), credit(deps), newCodes(deps), voidCodes(deps)];
}

function topUp({ payments, publicUrl }: PaymentRouteDeps): Route {
  return defineTenantRoute({
    method: "POST",
    path: "/api/top-ups",
    scope: "operator.admin",
    body: TOP_UP,
    doc: "Begin to pay for credit, with a provider that the operator set up; send the browser to `redirect`. `returnTo` is a path of ours.",
    audit: ({ body }, answer) => ({
      action: "top_up.begun",
      target: { kind: "payment_order", id: (answer.body as { orderId: string }).orderId },
      details: { provider: body.provider, amountMicros: body.amountMicros },
    }),
    async handler({ tenant, body, origin, principal }) {
      const home = publicUrl ?? origin;
      const returnUrl = ownAddress(origin, body.returnTo);
      const noticeUrl = new URL(`/webhooks/payments/${body.provider}`, home).href;
      const { provider, amountMicros } = body;
      const wanted = { provider, amountMicros, by: principal.userId ?? "", returnUrl, noticeUrl };
      return { status: 201, body: await payments.begin(tenant, wanted) };
    },
  });
}

/** SECURITY: the payer comes back to us and to nobody else. */
function ownAddress(origin: string, path: string): string {
  const url = path.startsWith("/") ? URL.parse(path, origin) : null;
  if (url !== null && url.origin === new URL(origin).origin && url.username === "") return url.href;
  throw new AppError("invalid_request", "returnTo is a path of this site.");
}

function redeem({ codes }: PaymentRouteDeps): Route {
  return defineTenantRoute({
    method: "POST",
    path: "/api/redeem",
    scope: "operator.admin",
    body: z.object({ code: z.string().min(1).max(100) }),
    doc: "Turn a code into credit. A code counts once; ten that are not valid within an hour end it for a while.",
    // On record with the credit itself (codes), not after it.
    handler: async ({ tenant, body, actor }) => {
      return { status: 200, body: await codes.redeem(tenant, body.code, actor) };
    },
  });
}

function reports({ payments }: PaymentRouteDeps): Route[] {
  return ["stripe", "alipay"].map((id) =>
    defineRoute({
      method: "POST",
      path: `/webhooks/payments/${id}`,
      policy: { kind: "public" },
      body: z.string().min(1).max(256_000),
      isRaw: true,
      doc: `Where ${id} reports payments; counts only with its signature, and only for the order that it names.`,
      async handler({ body, headers }) {
        const { provider } = await payments.receive(id, body, headers);
        return { status: 200, ...provider.acknowledgement };
      },
    }),
  );
}

function credit(deps: PaymentRouteDeps): Route {
  return defineRoute({
    method: "POST",
    path: "/operator/api/credits",
    policy: { kind: "operator", isStepUp: true },
    body: CREDIT,
    doc: "Give a tenant credit, with a reason, and if wanted until when; an `idempotencyKey` counts once.",
    async handler(call) {
      const { tenantId, amountMicros, expiresAtMs = null, reason, idempotencyKey } = call.body;
      const scope = await deps.scopeOf(tenantId as TenantId);
      if (scope === undefined) throw new AppError("not_found", "There is no such tenant.");
      const sourceId = idempotencyKey ?? newId();
      const by = call.user?.userId ?? "";
      const target = { kind: "tenant", id: tenantId, name: scope.tenant.slug };
      const facts = { amountMicros, expiresAtMs, reason, id: sourceId };
      const own = auditRecord(deps.clock.nowMs(), actorOf(call), "credit.granted", target, facts);
      const entry = { source: "operator", sourceId, amountMicros, details: { reason, by, expiresAtMs } };
      const isPosted = await deps.ledger.isPosted(scope, entry);
      if (!isPosted) assertAhead(deps, expiresAtMs);
      // ORDER: the end of the credit is on disk before the credit; credit that is there has its own already.
      if (!isPosted && expiresAtMs !== null)
        await deps.expiry.schedule(scope.tenantId, `operator:${sourceId}:0`, expiresAtMs);
      const isNew = await deps.ledger.grant(scope, entry, [appendStatement(own)]);
      if (isNew) deps.onRecorded?.(scope);
      await deps.auditLog.append("platform", { ...own, id: newId(), details: { ...facts, isNew } });
      return { status: 201, body: { id: sourceId, isNew } };
    },
  });
}

function newCodes(deps: PaymentRouteDeps): Route {
  return defineRoute({
    method: "POST",
    path: "/operator/api/codes",
    policy: { kind: "operator", isStepUp: true },
    body: NEW_CODES,
    doc: "Make redemption codes of one currency; they are shown this once. After `expiresAtMs` a code, and what is left of its credit, is gone. An `idempotencyKey` counts once: with one that was used, the answer is `conflict`, and says how many codes it made.",
    async handler(call) {
      const { count, amountMicros, currency, expiresAtMs = null, idempotencyKey: id = newId() } = call.body;
      assertAhead(deps, expiresAtMs);
      const by = call.user?.userId ?? "";
      const facts = { id, count, amountMicros, currency, expiresAtMs };
      const record = auditRecord(deps.clock.nowMs(), actorOf(call), "codes.made", null, facts);
      const codes = await deps.codes.create({ ...facts, by }, [appendStatement(record)]);
      return { status: 201, body: { id, codes } };
    },
  });
}

function voidCodes(deps: PaymentRouteDeps): Route {
  return defineRoute({
    method: "DELETE",
    path: "/operator/api/codes/:batch",
    policy: { kind: "operator", isStepUp: true },
    body: null,
    doc: "End the codes of a batch (its `id`, or the `idempotencyKey` that it was made with) that nobody redeemed; repeatable.",
    async handler(call) {
      const id = call.params["batch"] ?? "";
      const count = await deps.codes.voidBatch(id, (voided) => {
        const facts = { id, count: voided };
        return [appendStatement(auditRecord(deps.clock.nowMs(), actorOf(call), "codes.voided", null, facts))];
      });
      return { status: 200, body: { voided: count } };
    },
  });
}

function assertAhead({ clock }: PaymentRouteDeps, expiresAtMs: number | null): void {
  if (expiresAtMs !== null && expiresAtMs <= clock.nowMs())
    throw new AppError("invalid_request", "expiresAtMs lies in the past.");
}

/** SECURITY: who acts, as the gateway found out; never anybody else. */
function actorOf({ actor }: RouteCall<unknown>): Actor {
  if (actor === null) throw new AppError("internal", "An operator's act has no actor.");
  return actor;
}
