/**
 * What a tenant is and what may name one. Owns: the entity and the slug grammar.
 * Refuses to know: where tenants are kept, how a request names one.
 */
import { AppError } from "../kernel/errors.ts";
import type { TenantId } from "../kernel/ids.ts";

/** `active` serves; `suspended` serves reads while its grace lasts; `deleting` and the rest answer as if they were not. */
export type TenantStatus = "active" | "suspended" | "deleting";

/** What a tenant does for its own people at a time. */
export type TenantService = "open" | "read_only" | "closed";

/** An organization: the unit of isolation and of billing. */
export interface Tenant {
  id: TenantId;
  /** Name in URLs; may change, is quarantined after a change, never identifies data. */
  slug: string;
  displayName: string;
  /** Canonical host names (lower-case ASCII, no port) that name this tenant. */
  hosts: readonly string[];
  status: TenantStatus;
  plan: string;
  /** IANA time zone in which days of usage are counted. */
  timeZone: string;
  createdAtMs: number;
  /** Wall-clock end of the grace in which a suspended tenant still answers reads; null when there is none. */
  readOnlyUntilMs: number | null;
  /** Wall-clock end of the time in which a deletion can be taken back; null unless it is being deleted. */
  deleteAfterMs: number | null;
}

/** What the tenant does at `nowMs`. The one place that decides it: nobody else reads `status` for that. */
export function serviceOf(tenant: Pick<Tenant, "status" | "readOnlyUntilMs">, nowMs: number): TenantService {
  if (tenant.status === "active") return "open";
  const isGrace = tenant.status === "suspended" && (tenant.readOnlyUntilMs ?? 0) > nowMs;
  return isGrace ? "read_only" : "closed";
}

const SLUG = /^[a-z0-9][a-z0-9-]{1,38}[a-z0-9]$/;

/** Names that would collide with routes, hosts or words people trust. */
const RESERVED = new Set(
  `admin api app assets auth billing creel docs health healthz help hooks home-page login logout mail mesh metrics
   mission operator ops platform public readyz root rpc static status support system t tenant tenants v1 ws www`
    .split(/\s+/)
    .filter((word) => word.length > 0),
);

/** Whether the text could be a slug at all: 3-40 of `a-z 0-9 -`, no edge dash, no punycode marker. */
export function isSlug(text: string): boolean {
  return SLUG.test(text) && !text.startsWith("xn--") && !text.includes("--");
}

/** Accept a slug for a new tenant; throws `invalid_request` saying what is wrong. Never normalises. */
export function checkNewSlug(text: string): string {
  if (!isSlug(text)) {
    throw new AppError(
      "invalid_request",
      "A tenant's slug has 3 to 40 characters: a-z, 0-9 and single dashes, no dash at either end.",
      { details: { field: "slug" } },
    );
  }
  if (RESERVED.has(text)) {
    throw new AppError("invalid_request", `"${text}" is reserved; choose another slug.`, {
      details: { field: "slug" },
    });
  }
  return text;
}
