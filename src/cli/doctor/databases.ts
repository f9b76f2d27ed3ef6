/**
 * Looking into one database file without changing it. Owns: integrity, owner, and the tenants a control.db lists.
 * Refuses to know: what else is stored.
 */
import { existsSync } from "node:fs";
import { type Connection, openConnection } from "../../storage/sqlite-open.ts";

/** What was seen. */
export interface Inspection {
  /** `missing`, or a sentence; undefined when the file is sound. */
  problem: string | undefined;
  /** Ids of all tenants, when the file is control.db. */
  tenantIds: string[];
}

/** Check a file: readable, owned by whom it should be, `PRAGMA quick_check` clean. */
export function inspectDatabase(path: string, owner: string): Inspection {
  if (!existsSync(path)) return { problem: "missing", tenantIds: [] };
  let connection: Connection | undefined;
  try {
    connection = openConnection(path, "reader");
    const [first] = connection.pragma("quick_check(1)", { simple: false }) as { quick_check: string }[];
    const verdict = first?.quick_check ?? "no answer";
    const found = connection.prepare("SELECT owner FROM file_owner").pluck().get();
    const tenantIds =
      owner === "control"
        ? (connection.prepare("SELECT id FROM tenants ORDER BY slug").pluck().all() as string[])
        : [];
    if (verdict !== "ok") return { problem: `damaged: ${verdict}`, tenantIds };
    if (found !== owner) return { problem: `belongs to ${String(found)}, not to ${owner}`, tenantIds };
    return { problem: undefined, tenantIds };
  } catch (thrown) {
    const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown;
    return { problem: cause instanceof Error ? cause.message : String(cause), tenantIds: [] };
  } finally {
    connection?.close();
  }
}
