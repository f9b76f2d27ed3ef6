/** Warnings that leave the house. Owns: joining what is warned of to who is told. Refuses to know: levels, transports. */
import { AlertCourier, type AlertCourierDeps } from "../billing/notices/alert-courier.ts";
import type { AlertOutbox } from "../billing/notices/alert-outbox.ts";
import type { AlertsDeps } from "../billing/plans/alerts.ts";
import type { TenantPlans, TenantPlansDeps } from "../billing/plans/tenant-plans.ts";
import type { Database } from "../storage/database.ts";

/** What warnings stand on. */
export interface NoticeGround {
  control: Database;
  plans: TenantPlans;
  outbox: AlertOutbox;
}

/** Puts budgets' warnings on their way. */
export function leaveAlert({
  outbox,
  plans,
}: Pick<NoticeGround, "outbox" | "plans">): NonNullable<AlertsDeps["leave"]> {
  return async (
    { tenantId },
    { period, scope, scopeId, level, limitMicros, spentMicros, atMs, resetAtMs },
  ) => {
    const { currency } = (await plans.of(tenantId)).plan.terms;
    const resetAt = resetAtMs === null ? null : new Date(resetAtMs).toISOString();
    await outbox.post({
      ...{ tenantId, type: "creel.budget.alert.v1", atMs },
      key: [period, scope, scopeId, level, limitMicros].join("\n"),
      facts: { scope, scopeId, level, period, limitMicros, spentMicros, currency, resetAt },
    });
  };
}

/** Puts the word that a tenant's turns were stopped on its way, as part of the stopping. */
export function leaveStop(outbox: AlertOutbox): NonNullable<TenantPlansDeps["alsoOnStop"]> {
  return (tenantId, reason, sinceMs) =>
    outbox.statements({
      ...{ tenantId, type: "creel.turns.stopped.v1", key: String(sinceMs), atMs: sinceMs },
      facts: { reason, since: new Date(sinceMs).toISOString() },
    });
}

interface Recipient {
  name: string;
  role: string;
  language: string | null;
  email: string | null;
  isVerified: number | null;
}

// Of several addresses one that a provider vouches for, else the one used last. Service accounts read no mail.
const RECIPIENTS = `SELECT u.display_name AS name, m.role, u.language, i.email, i.email_verified AS isVerified
  FROM members m JOIN users u ON u.id = m.user_id LEFT JOIN identities i ON i.id = (
    SELECT one.id FROM identities one WHERE one.user_id = u.id AND one.email IS NOT NULL
      ORDER BY one.email_verified DESC, coalesce(one.last_used_at_ms, 0) DESC, one.id LIMIT 1)
  WHERE m.tenant_id = ? AND m.role IN ('owner', 'admin') AND u.service_of IS NULL
  ORDER BY m.role = 'owner' DESC, m.created_at_ms, u.id LIMIT 100`;

/** What the operator is told of a tenant with a warning, so that its people can be written to. */
export function introduceTenant({ control, plans }: NoticeGround): AlertCourierDeps["introduce"] {
  return async ({ tenantId, tenant }) => {
    const { plan } = await plans.of(tenantId);
    const rows = await control.list<Recipient>(RECIPIENTS, [tenantId]);
    return {
      tenant: { id: tenantId, slug: tenant.slug, name: tenant.displayName },
      plan: { id: plan.id, version: plan.version, name: plan.terms.name },
      recipients: rows
        .filter(({ email }) => email !== null)
        .map(({ isVerified, ...row }) => ({ ...row, emailVerified: isVerified === 1 })),
    };
  };
}

/** What sends them. */
export function makeCourier(
  ground: NoticeGround,
  deps: Omit<AlertCourierDeps, "outbox" | "introduce">,
): AlertCourier {
  return new AlertCourier({ ...deps, outbox: ground.outbox, introduce: introduceTenant(ground) });
}
