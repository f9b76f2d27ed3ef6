/** The operators' surface over HTTP. Owns: those shapes. Refuses to know: tenants' contents, how things are shown. */
import { requestJson } from "./request.ts";

/** A tenant as an operator sees it: never what is inside. */
export interface OperatedTenant {
  id: string;
  slug: string;
  name: string;
  status: "active" | "suspended" | "deleting";
  plan: string;
  createdAtMs: number;
  members: number;
  lastActivityAtMs: number | null;
  storageBytes: number;
  health: "ok" | "unavailable" | "unknown";
  readOnlyUntilMs: number | null;
  deleteAfterMs: number | null;
  breakGlass: { state: string; reason: string; endsAtMs: number | null } | null;
}

/** The same with everything an operator may know. */
export interface OperatedTenantDetail extends OperatedTenant {
  hosts: string[];
  timeZone: string;
  oldSlugs: string[];
  /** Why it is suspended or being deleted, and since when. */
  reason: string | null;
  statusSinceMs: number | null;
  /** Whether a look inside waits for the tenant's consent. */
  breakGlassConsent: boolean;
  history: { atMs: number; action: string; actorName: string; details: Record<string, unknown> }[];
}

/** Proof that a tenant's data is gone. */
export interface DeletionReceipt {
  tenantId: string;
  slug: string;
  deletedAtMs: number;
  signed: string;
}

const path = (rest: string): string => `/operator/api/${rest}`;
const tenantPath = (id: string, rest = ""): string => path(`tenants/${encodeURIComponent(id)}${rest}`);

/** Who operates, and until when they count as just signed in. */
export function findOperatorSession(): Promise<{
  user: { id: string; displayName: string };
  steppedUpUntilMs: number;
}> {
  return requestJson("GET", path("session"));
}

/** A page of tenants by slug. */
export function listOperatedTenants(
  filter: { search: string; status: string },
  after: string | null,
): Promise<{ tenants: OperatedTenant[]; next: string | null }> {
  const query = new URLSearchParams({ limit: "50" });
  if (filter.search !== "") query.set("search", filter.search);
  if (filter.status !== "") query.set("status", filter.status);
  if (after !== null) query.set("after", after);
  return requestJson("GET", path(`tenants?${query}`));
}

/** One tenant. */
export function findOperatedTenant(id: string): Promise<OperatedTenantDetail> {
  return requestJson("GET", tenantPath(id));
}

/** Makes a tenant; the owner's link is in the answer only. */
export function createOperatedTenant(wish: {
  slug: string;
  name: string;
  timeZone?: string;
  plan?: string;
}): Promise<{ tenant: OperatedTenant; ownerLink: string }> {
  return requestJson("POST", path("tenants"), wish);
}

/** Changes a tenant's name, slug, hosts, plan or time zone. */
export function changeOperatedTenant(
  id: string,
  change: { slug?: string; name?: string; plan?: string; hosts?: string[]; timeZone?: string },
): Promise<unknown> {
  return requestJson("PATCH", tenantPath(id), change);
}

/** Suspends: read-only for the days of grace, then closed. */
export function suspendTenant(id: string, wish: { reason: string; graceDays: number }): Promise<unknown> {
  return requestJson("POST", tenantPath(id, "/suspend"), wish);
}

/** Serves a suspended tenant again. */
export function resumeTenant(id: string): Promise<unknown> {
  return requestJson("POST", tenantPath(id, "/resume"));
}

/** Marks for deletion; it can be undone for seven days. */
export function deleteTenant(id: string, wish: { confirmSlug: string; reason: string }): Promise<unknown> {
  return requestJson("POST", tenantPath(id, "/delete"), wish);
}

/** Undoes a deletion that has not happened yet. */
export function restoreTenant(id: string): Promise<unknown> {
  return requestJson("POST", tenantPath(id, "/restore"));
}

/** Asks for a time-boxed look into a tenant. */
export function breakGlass(id: string, wish: { reason: string; minutes: number }): Promise<unknown> {
  return requestJson("POST", tenantPath(id, "/break-glass"), wish);
}

/** Ends one's look. */
export function endBreakGlass(id: string): Promise<unknown> {
  return requestJson("DELETE", tenantPath(id, "/break-glass"));
}

/** Receipts of deleted tenants, newest first. */
export async function listReceipts(): Promise<DeletionReceipt[]> {
  return (await requestJson<{ receipts: DeletionReceipt[] }>("GET", path("receipts"))).receipts;
}
