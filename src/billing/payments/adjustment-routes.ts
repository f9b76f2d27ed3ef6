/**
 * Corrections of credit by operators, such as refunds, and the lines that they answer. Owns: the routes' shapes, that each
 * correction is on record in its own commit. Refuses to know: how much may be taken, refunding at a provider.
 */
import { z } from "zod";
import { appendStatement } from "../../audit/chain.ts";
import type { AuditLog } from "../../audit/log.ts";
import { auditRecord } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { isUuid, newId, type TenantId } from "../../kernel/ids.ts";
import { defineRoute, type Route } from "../../protocol/routes.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { ADJUSTMENT_SOURCE, Adjustments } from "../ledger/adjustments.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { CreditExpiry } from "./credit-expiry.ts";
import { MOST_TOP_UP } from "./payments.ts";

/** What the routes need. */
export interface AdjustmentRouteDeps {
  ledger: Ledger;
  expiry: Pick<CreditExpiry, "schedule">;
  auditLog: AuditLog;
  clock: Clock;
  /** A tenant's audit log got a row; must not throw. */
  onRecorded?(scope: TenantScope): void;
  /** The tenant's scope, also of one that is going: it may come back. Undefined when it is gone. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
}

const NO_STORE = { "cache-control": "no-store" };
const MOST_LINES = 200;

const ADJUSTMENT = z.object({
  tenantId: z.uuid(),
  amountMicros: z
    .int()
    .min(-MOST_TOP_UP)
    .max(MOST_TOP_UP)
    .refine((micros) => micros !== 0, "must not be zero"),
  reason: z.string().trim().min(1).max(500),
  /** The line that it answers, by its id. */
  linkedTo: z.string().min(1).max(400).optional(),
  /** Whether a debit may leave credit below zero. */
  mayOwe: z.boolean().optional(),
  /** The same key books once. */
  idempotencyKey: z.string().min(8).max(100).optional(),
});

/** The routes, for the gateway. */
export function makeAdjustmentRoutes(deps: AdjustmentRouteDeps): Route[] {
  const adjustments = new Adjustments(deps.ledger);
  return [getLines(deps, adjustments), adjust(deps, adjustments)];
}

function getLines(deps: AdjustmentRouteDeps, adjustments: Adjustments): Route {
  return defineRoute({
    method: "GET",
    path: "/operator/api/tenants/:id/credits",
    policy: { kind: "operator" },
    body: null,
    doc: "The newest 200 lines of a tenant's ledger about credit that are no call's: payments, gifts, codes, ends, corrections; `openMicros` is how much of a line a correction can answer.",
    async handler({ params }) {
      const scope = await scopeOf(deps, params["id"] ?? "");
      const lines = await adjustments.list(scope, MOST_LINES);
      return { status: 200, headers: NO_STORE, body: { lines } };
    },
  });
}

function adjust(deps: AdjustmentRouteDeps, adjustments: Adjustments): Route {
  const { ledger, expiry, auditLog, clock, onRecorded } = deps;
  return defineRoute({
    method: "POST",
    path: "/operator/api/adjustments",
    policy: { kind: "operator", isStepUp: true },
    body: ADJUSTMENT,
    doc: "Book a correction of a tenant's credit, with a reason: below zero takes credit, for a refund `linkedTo` the payment's line; above zero gives it, such as `linkedTo` a correction that was wrong. Takes no more than the credit that is there unless `mayOwe`; an `idempotencyKey` counts once.",
    async handler(call) {
      const { tenantId, amountMicros, reason, linkedTo, mayOwe = false, idempotencyKey } = call.body;
      // SECURITY: who acts, as the gateway found out; never anybody else.
      if (call.actor === null) throw new AppError("internal", "An operator's act has no actor.");
      const scope = await scopeOf(deps, tenantId);
      const id = idempotencyKey ?? newId();
      const wanted = { id, amountMicros, linkedTo, mayOwe };
      const expiresAtMs = await adjustments.endOf(scope, wanted);
      const line = `${ADJUSTMENT_SOURCE}:${id}:0`;
      const isBooked = await adjustments.isBooked(scope, wanted);
      // ORDER: the end of the credit is on disk before the credit; credit that is there has its own already.
      if (!isBooked && expiresAtMs !== null) await expiry.schedule(scope.tenantId, line, expiresAtMs);
      const target = { kind: "tenant", id: tenantId, name: scope.tenant.slug };
      const facts = { amountMicros, reason, linkedTo: linkedTo ?? null, mayOwe, expiresAtMs, id };
      const own = auditRecord(clock.nowMs(), call.actor, "credit.adjusted", target, facts);
      const details = { reason, by: call.user?.userId ?? "", expiresAtMs };
      const isNew = await adjustments.book(scope, { ...wanted, details }, [appendStatement(own)]);
      if (isNew) onRecorded?.(scope);
      await auditLog.append("platform", { ...own, id: newId(), details: { ...facts, isNew } });
      const creditMicros = await ledger.balance(scope, "credit");
      return { status: 201, body: { id, line, isNew, creditMicros } };
    },
  });
}

async function scopeOf(deps: AdjustmentRouteDeps, tenantId: string): Promise<TenantScope> {
  const scope = isUuid(tenantId) ? await deps.scopeOf(tenantId as TenantId) : undefined;
  if (scope === undefined) throw new AppError("not_found", "There is no such tenant.");
  return scope;
}
