/**
 * The operator's own export, for operators, by cookie only. Owns: the routes' shapes and their records, what of a change is
 * refused. Refuses to know: sending.
 */
import { z } from "zod";
import { auditRecord, auditStatement, PLATFORM as PLATFORM_LOG } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import { defineRoute, type Route } from "../../protocol/routes.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { Actor } from "../../tenancy/actor.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { type ExportCursors, moveStatements, PLATFORM, restartStatement } from "./export-cursors.ts";
import { Charges } from "./meter/charges.ts";
import { listStandings, OVERVIEW_ROWS } from "./platform-overview.ts";
import { newestSeq, readKey } from "./usage-message.ts";
import type { PlatformExport } from "./usage-sink.ts";

/** What the routes need. */
export interface OperatorExportDeps {
  control: Database;
  clock: Clock;
  platform: PlatformExport | null;
  cursors: ExportCursors;
  /** The tenant's scope; undefined when it is gone. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
}

const NO_STORE = { "cache-control": "no-store" };

const CHANGE = z.union([
  z.strictObject({ tenantId: z.uuid(), cursor: z.int().min(0), again: z.boolean().optional() }),
  z.strictObject({ charge: z.string().min(1).max(200), decision: z.enum(["send", "close"]) }),
  z.strictObject({ tenantId: z.uuid() }),
]);
type Change = z.output<typeof CHANGE>;

/** Declare the routes. */
export function makeOperatorExportRoutes(deps: OperatorExportDeps): Route[] {
  return [getExport(deps), changeExport(deps)];
}

function getExport({ control, clock, platform }: OperatorExportDeps): Route {
  return defineRoute({
    method: "GET",
    path: "/operator/api/usage-export",
    policy: { kind: "operator" },
    body: null,
    doc: "How far the operator's export (`billing.export`) is with each tenant, by id, 200 at once (`after`): newest event, failures, next try, last error, who is billed, what is on its way and what was set aside. `trouble=1` leaves out those that are well, `tenant=<id>` all others.",
    async handler({ query }) {
      if (platform === null) return { status: 200, headers: NO_STORE, body: NOTHING };
      const tenantId = query["tenant"] ?? null;
      const tenants = await listStandings(control, platform, {
        ...{ tenantId, after: query["after"] ?? "", isTroubled: query["trouble"] === "1" },
      });
      const aside = await new Charges(control, clock).listAside(tenantId as TenantId | null);
      const next = tenants.length < OVERVIEW_ROWS ? null : (tenants.at(-1)?.tenantId ?? null);
      const kind = platform.kind === "charges" ? "meter" : "webhook";
      return { status: 200, headers: NO_STORE, body: { kind, tenants, next, setAside: aside } };
    },
  });
}

const NOTHING = { kind: null, tenants: [], next: null, setAside: [] };

function changeExport(deps: OperatorExportDeps): Route {
  return defineRoute({
    method: "PUT",
    path: "/operator/api/usage-export",
    policy: { kind: "operator", isStepUp: true },
    body: CHANGE,
    doc: "Go on after an event of a tenant (`tenantId`, `cursor`; back at a meter only with `again`, since it counts twice), decide about a charge that was set aside (`charge`, `decision`: `send` once more, or `close`), or try a tenant again at once (`tenantId` alone).",
    async handler(call) {
      const { body, actor } = call;
      if (deps.platform === null)
        throw new AppError("not_configured", "There is no export of the operator's: set billing.export.");
      if (actor === null) throw new AppError("internal", "An operator's act has no actor.");
      const tenantId = await change(deps, deps.platform, body, actor);
      const after = { after: "", tenantId, isTroubled: false };
      const [tenant] = await listStandings(deps.control, deps.platform, after);
      return { status: 200, headers: NO_STORE, body: { tenant: tenant ?? null } };
    },
  });
}

async function change(
  deps: OperatorExportDeps,
  platform: PlatformExport,
  body: Change,
  actor: Actor,
): Promise<TenantId> {
  const { control, clock } = deps;
  const record = (action: string, tenantId: string, details: Record<string, unknown>) =>
    auditStatement(
      PLATFORM_LOG,
      auditRecord(clock.nowMs(), actor, action, { kind: "tenant", id: tenantId }, details),
    );
  if ("charge" in body) {
    const { charge: identifier, decision } = body;
    if (platform.kind !== "charges" && decision === "send")
      throw new AppError("not_configured", "There is no meter to send it to: see billing.export.");
    const longestAgeMs = platform.kind === "charges" ? platform.meter.longestAgeMs : 0;
    const { tenantId } = await new Charges(control, clock).decide(
      identifier,
      decision,
      longestAgeMs,
      (charge) => {
        const { amountMicros, customer, day, reason } = charge;
        const details = { identifier, decision, amountMicros, customer, day, reason };
        return [
          record("usage_charge.decided", charge.tenantId, details),
          restartStatement(PLATFORM, charge.tenantId, clock.nowMs()),
        ];
      },
    );
    return tenantId;
  }
  const tenantId = body.tenantId as TenantId;
  const known = await listStandings(control, platform, { after: "", tenantId, isTroubled: false });
  if (known.length === 0) throw new AppError("not_found", "This tenant never used anything.");
  const statements: Statement[] =
    "cursor" in body
      ? await moving(deps, platform, body, record)
      : [restartStatement(PLATFORM, tenantId, clock.nowMs()), record("usage_export.retried", tenantId, {})];
  const outcome = await control.write({ statements });
  if (outcome.committed) return tenantId;
  throw new AppError("conflict", "The export went on in the meantime; look again and repeat the change.");
}

async function moving(
  { cursors, clock, scopeOf }: OperatorExportDeps,
  platform: PlatformExport,
  body: { tenantId: string; cursor: number; again?: boolean | undefined },
  record: (action: string, tenantId: string, details: Record<string, unknown>) => Statement,
): Promise<Statement[]> {
  const tenantId = body.tenantId as TenantId;
  const { cursor, again = false } = body;
  const scope = await scopeOf(tenantId);
  if (scope === undefined) throw new AppError("not_found", "There is no such tenant.");
  const newest = await newestSeq(scope);
  if (cursor > newest)
    throw new AppError("invalid_request", `The newest event is ${newest}; cursor lies after it.`);
  const at = await cursors.get(PLATFORM, tenantId);
  if (platform.kind === "charges" && cursor < at.cursorSeq && !again)
    throw new AppError(
      "invalid_request",
      `Events up to ${at.cursorSeq} are billed; a meter would count them twice. Say \`again: true\` if that is meant.`,
    );
  const details = { from: at.cursorSeq, cursor, again };
  return [
    ...moveStatements(at, cursor, await readKey(scope, cursor), clock.nowMs()),
    record("usage_export.moved", tenantId, details),
  ];
}
