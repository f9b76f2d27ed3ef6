/** The audit log over HTTP, a tenant's or the platform's. Owns: those shapes. Refuses to know: how they are shown. */
import { requestJson } from "./request.ts";

/** One line of the log. */
export interface AuditEvent {
  seq: number;
  id: string;
  atMs: number;
  action: string;
  outcome: "ok" | "denied" | "failed";
  actor: { kind: string; id: string; name: string; role: string | null; address: string | null };
  target: { kind: string; id: string; name?: string } | null;
  details: Record<string, unknown>;
  hash: string;
}

/** What to show; all parts may be left out. */
export interface AuditFilter {
  action?: string;
  actor?: string;
  outcome?: string;
  from?: number;
  to?: number;
}

/** What checking the chain found. */
export interface AuditCheck {
  ok: boolean;
  checked: number;
  problem: { seq: number; kind: string; message: string } | null;
}

/** Where a log is served: below a tenant, or the platform's own. */
export function auditPath(slug: string | null, rest = ""): string {
  return slug === null ? `/operator/api/audit${rest}` : `/t/${encodeURIComponent(slug)}/api/audit${rest}`;
}

function query(filter: AuditFilter & Record<string, unknown>): string {
  const pairs = Object.entries(filter).filter(([, value]) => value !== undefined && value !== "");
  return pairs.length === 0
    ? ""
    : `?${new URLSearchParams(pairs.map(([key, value]) => [key, String(value)]))}`;
}

/** A page of events, newest first; `before` is the `next` of the page above. */
export function listAudit(
  slug: string | null,
  filter: AuditFilter,
  before: string | null,
): Promise<{ events: AuditEvent[]; next: string | null }> {
  return requestJson("GET", auditPath(slug, query({ ...filter, before: before ?? undefined, limit: 50 })));
}

/** Checks the whole chain on the server. */
export function verifyAudit(slug: string | null): Promise<AuditCheck> {
  return requestJson("GET", auditPath(slug, "/verify"));
}

/** Address of a download with the same filter. */
export function exportAddress(slug: string | null, format: "jsonl" | "csv", filter: AuditFilter): string {
  return auditPath(slug, `/export${query({ ...filter, format })}`);
}
