/**
 * What operators do with tenants, by cookie only. Owns: the routes' shapes. Refuses to know: who is an operator and how
 * fresh their proof is (the gateway checks both), what tenants hold: none of these routes opens a tenant's contents.
 */
import { z } from "zod";
import type { AuditLog } from "../audit/log.ts";
import type { BreakGlass, Grant } from "../auth/operators/break-glass.ts";
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import { isUuid, type TenantId, type UserId } from "../kernel/ids.ts";
import { type BrowserUser, defineRoute, type Route, type RouteCall, STEP_UP_MS } from "../protocol/routes.ts";
import type { Database } from "../storage/database.ts";
import type { Actor } from "../tenancy/actor.ts";
import type { Tenant } from "../tenancy/tenant.ts";
import type { Tenants } from "../tenancy/tenants.ts";
import { listReceipts } from "./purge/receipt.ts";
import type { ListedTenant, TenantDetail, TenantDirectory } from "./tenant-directory.ts";

/** What the routes need. */
export interface OperatorRouteDeps {
  control: Database;
  tenants: Tenants;
  directory: TenantDirectory;
  breakGlass: BreakGlass;
  auditLog: AuditLog;
  clock: Clock;
  /** Make the folders and the first agent of a new tenant. */
  prepareTenant(tenant: Tenant): Promise<void>;
  /** Make an invitation for the first owner; the answer is its secret. */
  inviteOwner(tenant: Tenant, by: Actor): Promise<string>;
  /** Throws `invalid_request` that names the plans there are when it is none that tenants can be put on. */
  checkPlan(plan: string): Promise<void>;
  /** Put a tenant on the newest version of a plan now, on record. */
  adoptPlan(tenantId: TenantId, plan: string, by: Actor): Promise<unknown>;
  /** Let open sockets notice what changed. */
  noticeNow(): Promise<void>;
}

const DAY_MS = 24 * 3600 * 1000;
const PAGE = 50;
const LARGEST_PAGE = 200;
const HISTORY = 50;
const NO_STORE = { "cache-control": "no-store" };

const REASON = z.string().trim().min(1).max(500);

/** The routes, for the gateway. */
export function makeOperatorRoutes(deps: OperatorRouteDeps): Route[] {
  return [
    getOperatorSession(),
    listTenants(deps),
    getTenant(deps),
    createTenant(deps),
    changeTenant(deps),
    ...lifeRoutes(deps),
    requestLook(deps),
    endLook(deps),
    getReceipts(deps),
  ];
}

function getOperatorSession(): Route {
  return defineRoute({
    method: "GET",
    path: "/operator/api/session",
    policy: { kind: "operator" },
    body: null,
    doc: "The signed-in operator, and until when acts that cannot be undone need no further proof.",
    async handler(call) {
      const user = operatorOf(call);
      return {
        status: 200,
        headers: NO_STORE,
        body: {
          user: { id: user.userId, displayName: user.displayName },
          steppedUpUntilMs: user.authAtMs + STEP_UP_MS,
        },
      };
    },
  });
}

const STATUS = z.enum(["active", "suspended", "deleting"]);

function listTenants({ directory }: OperatorRouteDeps): Route {
  return defineRoute({
    method: "GET",
    path: "/operator/api/tenants",
    policy: { kind: "operator" },
    body: null,
    doc: "Tenants by slug, page by page; search in slugs, names and hosts, filter by status.",
    async handler(call) {
      const { search, status, after, limit } = call.query;
      const wanted = STATUS.optional().safeParse(status === "" ? undefined : status);
      if (!wanted.success)
        throw new AppError("invalid_request", "status is active, suspended or deleting.", {
          details: { field: "status" },
        });
      const page = await directory.list(
        { search: search?.slice(0, 200), status: wanted.data, after, limit: readLimit(limit) },
        operatorOf(call).userId,
      );
      return {
        status: 200,
        headers: NO_STORE,
        body: { tenants: page.tenants.map(shown), next: page.next },
      };
    },
  });
}

function getTenant({ directory, auditLog }: OperatorRouteDeps): Route {
  return defineRoute({
    method: "GET",
    path: "/operator/api/tenants/:id",
    policy: { kind: "operator" },
    body: null,
    doc: "One tenant: facts about it, its old slugs, what the platform recorded about it; never what it holds.",
    async handler(call) {
      const detail = await directory.get(idOf(call), operatorOf(call).userId);
      const history = await auditLog.list("platform", { target: detail.tenant.id }, HISTORY);
      const events = history.rows.map((row) => ({
        atMs: row.at_ms,
        action: row.action,
        actorKind: row.actor_kind,
        actorName: row.actor_name,
        details: JSON.parse(row.details) as unknown,
      }));
      return {
        status: 200,
        headers: NO_STORE,
        body: { ...shownDetail(detail), history: events },
      };
    },
  });
}

function createTenant(deps: OperatorRouteDeps): Route {
  return defineRoute({
    method: "POST",
    path: "/operator/api/tenants",
    policy: { kind: "operator" },
    body: z.object({
      slug: z.string().max(100),
      name: z.string().max(400),
      timeZone: z.string().max(100).optional(),
      plan: z.string().max(100).optional(),
    }),
    doc: "Make a tenant; the answer holds the link with which its first owner joins, shown once.",
    async handler(call) {
      const { slug, name, timeZone, plan } = call.body;
      const by = actorOf(call);
      if (plan) await deps.checkPlan(plan);
      const wanted = { slug, displayName: name, ...(timeZone && { timeZone }) };
      const tenant = await deps.tenants.create(wanted, by);
      await deps.prepareTenant(tenant);
      if (plan) await deps.adoptPlan(tenant.id, plan, by);
      const secret = await deps.inviteOwner(tenant, by);
      const detail = await deps.directory.get(tenant.id, operatorOf(call).userId);
      const ownerLink = `${call.origin}/join#invite=${secret}`;
      return { status: 201, headers: NO_STORE, body: { tenant: shownDetail(detail), ownerLink } };
    },
  });
}

function changeTenant(deps: OperatorRouteDeps): Route {
  return defineRoute({
    method: "PATCH",
    path: "/operator/api/tenants/:id",
    policy: { kind: "operator" },
    body: z.object({
      slug: z.string().max(100).optional(),
      name: z.string().max(400).optional(),
      plan: z.string().max(100).optional(),
      hosts: z.array(z.string().max(260)).max(20).optional(),
      timeZone: z.string().max(100).optional(),
    }),
    doc: "Change a tenant. Slug and hosts decide where people are sent, so they need a fresh proof. A plan is the id of one there is.",
    async handler(call) {
      const id = idOf(call);
      const by = actorOf(call);
      const { slug, name, plan, ...rest } = call.body;
      if (slug !== undefined || rest.hosts !== undefined) assertFresh(call, deps.clock.nowMs());
      const tenant = await deps.tenants.getById(id);
      if (plan !== undefined) await deps.checkPlan(plan);
      if (slug !== undefined) await deps.tenants.rename(tenant.id, slug, by);
      await deps.tenants.change(tenant.id, { ...rest, displayName: name }, by);
      if (plan !== undefined) await deps.adoptPlan(tenant.id, plan, by);
      return answerDetail(deps, call, tenant);
    },
  });
}

function lifeRoutes(deps: OperatorRouteDeps): Route[] {
  const { tenants } = deps;
  const path = "/operator/api/tenants/:id";
  const act = async (call: RouteCall<unknown>, work: (tenant: Tenant, by: Actor) => Promise<Tenant>) => {
    const tenant = await tenants.getById(idOf(call));
    await work(tenant, actorOf(call));
    await deps.noticeNow();
    return answerDetail(deps, call, tenant);
  };
  return [
    defineRoute({
      method: "POST",
      path: `${path}/suspend`,
      policy: { kind: "operator" },
      body: z.object({ reason: REASON, graceDays: z.int().min(0).max(30).optional() }),
      doc: "Suspend: reads are answered for the days of grace, then nothing; running turns end.",
      handler: (call) =>
        act(call, ({ id }, by) => {
          const { reason, graceDays = 0 } = call.body;
          return tenants.suspend(id, { reason, graceMs: graceDays * DAY_MS }, by);
        }),
    }),
    defineRoute({
      method: "POST",
      path: `${path}/resume`,
      policy: { kind: "operator" },
      body: z.object({}).optional(),
      doc: "Serve a suspended tenant again.",
      handler: (call) => act(call, ({ id }, by) => tenants.resume(id, by)),
    }),
    defineRoute({
      method: "POST",
      path: `${path}/delete`,
      policy: { kind: "operator", isStepUp: true },
      body: z.object({ confirmSlug: z.string().max(100), reason: REASON }),
      doc: "Close a tenant and remove it for good in 7 days, unless it is restored before.",
      handler: (call) =>
        act(call, (tenant, by) => {
          if (call.body.confirmSlug !== tenant.slug)
            throw new AppError("invalid_request", "Type the tenant's slug to confirm.", {
              details: { field: "confirmSlug" },
            });
          return tenants.markDeleting(tenant.id, { reason: call.body.reason }, by);
        }),
    }),
    defineRoute({
      method: "POST",
      path: `${path}/restore`,
      policy: { kind: "operator", isStepUp: true },
      body: z.object({}).optional(),
      doc: "Take a deletion back while that is possible.",
      handler: (call) => act(call, ({ id }, by) => tenants.restore(id, by)),
    }),
  ];
}

function requestLook(deps: OperatorRouteDeps): Route {
  return defineRoute({
    method: "POST",
    path: "/operator/api/tenants/:id/break-glass",
    policy: { kind: "operator", isStepUp: true },
    body: z.object({ reason: z.string().trim().min(10).max(500), minutes: z.int().min(5).max(240) }),
    doc: "Ask to read a tenant's contents for a while; the tenant sees it, and decides if it wants to be asked.",
    async handler(call) {
      const tenant = await deps.tenants.getById(idOf(call));
      const user = operatorOf(call);
      const { reason, minutes } = call.body;
      const asked = { tenantId: tenant.id, operatorId: user.userId, operatorName: user.displayName };
      const grant = await deps.breakGlass.request({ ...asked, reason, minutes }, actorOf(call));
      return { status: 201, headers: NO_STORE, body: { breakGlass: shownGrant(grant) } };
    },
  });
}

function endLook(deps: OperatorRouteDeps): Route {
  return defineRoute({
    method: "DELETE",
    path: "/operator/api/tenants/:id/break-glass",
    policy: { kind: "operator" },
    body: null,
    doc: "End one's own look into a tenant, or take the request back.",
    async handler(call) {
      const id = idOf(call);
      const open = await deps.breakGlass.listOpenOf(operatorOf(call).userId);
      const grant = open.find((found) => found.tenantId === id);
      if (grant === undefined) throw new AppError("not_found", "You do not look into this tenant.");
      await deps.breakGlass.end(grant.tenantId, grant.id, actorOf(call));
      await deps.noticeNow();
      return { status: 204 };
    },
  });
}

function getReceipts({ control }: OperatorRouteDeps): Route {
  return defineRoute({
    method: "GET",
    path: "/operator/api/receipts",
    policy: { kind: "operator" },
    body: null,
    doc: "Signed receipts of tenants that are gone, newest first.",
    async handler() {
      return { status: 200, headers: NO_STORE, body: { receipts: await listReceipts(control, 1_000) } };
    },
  });
}

async function answerDetail(deps: OperatorRouteDeps, call: RouteCall<unknown>, { id }: Tenant) {
  const detail = await deps.directory.get(id, operatorOf(call).userId);
  return { status: 200, headers: NO_STORE, body: shownDetail(detail) };
}

function operatorOf(call: RouteCall<unknown>): BrowserUser & { userId: UserId } {
  // SECURITY: the policy has seen to it; this is for the types, and for a route that would forget its policy.
  if (call.user?.isOperator !== true) throw new AppError("not_found", "There is nothing here.");
  return call.user;
}

function actorOf(call: RouteCall<unknown>): Actor {
  if (call.actor === null) throw new AppError("internal", "An operator's act has no actor.");
  return call.actor;
}

function idOf(call: RouteCall<unknown>): string {
  const id = call.params["id"] ?? "";
  if (!isUuid(id)) throw new AppError("not_found", "There is no such tenant.");
  return id;
}

function assertFresh(call: RouteCall<unknown>, nowMs: number): void {
  if (nowMs - operatorOf(call).authAtMs <= STEP_UP_MS) return;
  throw new AppError("step_up_required", "Sign in once more to confirm that it is you.", {
    details: { maxAgeMs: STEP_UP_MS },
  });
}

function readLimit(text: string | undefined): number {
  const limit = text === undefined || text === "" ? PAGE : Number(text);
  if (Number.isInteger(limit) && limit >= 1 && limit <= LARGEST_PAGE) return limit;
  throw new AppError("invalid_request", `limit is between 1 and ${LARGEST_PAGE}.`, {
    details: { field: "limit" },
  });
}

function shown({ tenant, members, lastActivityAtMs, reading, grant }: ListedTenant) {
  return {
    id: tenant.id,
    slug: tenant.slug,
    name: tenant.displayName,
    status: tenant.status,
    plan: tenant.plan,
    createdAtMs: tenant.createdAtMs,
    members,
    lastActivityAtMs,
    storageBytes: reading.storageBytes,
    health: reading.health,
    readOnlyUntilMs: tenant.readOnlyUntilMs,
    deleteAfterMs: tenant.deleteAfterMs,
    breakGlass: grant === null ? null : shownGrant(grant),
  };
}

function shownDetail(detail: TenantDetail) {
  return {
    ...shown(detail),
    hosts: detail.tenant.hosts,
    timeZone: detail.tenant.timeZone,
    oldSlugs: detail.oldSlugs,
    reason: detail.statusReason,
    statusSinceMs: detail.statusSinceMs,
    breakGlassConsent: detail.needsConsent,
  };
}

function shownGrant(grant: Grant) {
  return { id: grant.id, state: grant.state, reason: grant.reason, endsAtMs: grant.untilMs };
}
