/**
 * A print of all that is stored for a tenant: rows of its own database and of the control database, and its files.
 * Equal prints mean that nothing changed. Owns: reading beside the running server, without writing.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";

/** Rows that follow from time alone, by table. */
const IGNORED_TABLES =
  /^(?:sqlite_|memories_text_)|^(?:usage_dirty_days|tenants_at_work|usage_daily_marks|usage_news|tenant_storage)$/;

/** One hash for each table and file. */
export function printTenant(stateDir: string, tenantId: string): Record<string, string> {
  const directory = join(stateDir, "tenants", tenantId);
  return {
    ...printTables(join(directory, "tenant.db"), "tenant", null),
    ...printTables(join(stateDir, "control.db"), "control", tenantId),
    ...printFiles(directory),
  };
}

function printTables(file: string, label: string, tenantId: string | null): Record<string, string> {
  const database = new Database(file, { readonly: true, fileMustExist: true });
  try {
    const tables = database
      .prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
      .pluck()
      .all() as string[];
    const prints = tables
      .filter((table) => !IGNORED_TABLES.test(table))
      .flatMap((table): [string, string][] => {
        const columns = database
          .prepare("SELECT name FROM pragma_table_info(?)")
          .pluck()
          .all(table) as string[];
        const owner = columns.includes("tenant_id") ? "tenant_id" : table === "tenants" ? "id" : undefined;
        if (tenantId !== null && owner === undefined) return [];
        const rows =
          tenantId === null
            ? database.prepare(`SELECT * FROM "${table}"`).all()
            : database.prepare(`SELECT * FROM "${table}" WHERE ${owner} = ?`).all(tenantId);
        // In the order of their text: a table has no order of its own.
        return [[`${label}/${table}`, hash(rows.map(textOf).sort())]];
      });
    return Object.fromEntries(prints);
  } finally {
    database.close();
  }
}

/** A row without when its owner was last seen: that is the owner's own doing. */
function textOf(row: unknown): string {
  return JSON.stringify({ ...(row as object), last_used_at_ms: undefined, last_seen_at_ms: undefined });
}

function printFiles(directory: string): Record<string, string> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/^tenant\.db(?:-wal|-shm)?$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  return Object.fromEntries(
    files.map((file) => [`file/${file.slice(directory.length + 1)}`, hash([readFileSync(file, "base64")])]),
  );
}

function hash(parts: readonly string[]): string {
  return createHash("sha256").update(parts.join("\n")).digest("hex");
}
