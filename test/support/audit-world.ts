/**
 * Chains to tamper with: databases in a temporary folder, records to append, an editor that goes around every guard.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { appendStatement } from "#src/audit/chain.ts";
import { type AuditRecord, auditRecord } from "#src/audit/record.ts";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import type { Database } from "#src/storage/database.ts";
import { type Connection, openConnection } from "#src/storage/sqlite-open.ts";
import type { Actor } from "#src/tenancy/actor.ts";

/** The product's own migrations. */
export const MIGRATIONS = join(import.meta.dirname, "..", "..", "migrations");

/** Somebody. */
export const ADA: Actor = {
  ...{ kind: "person", id: "user-ada", name: "Ada", role: "admin" },
  credential: { kind: "browser_session", id: "session-1" },
  ...{ address: "203.0.113.7", requestId: "r1" },
};

/** A record of something. */
export function record(n: number, details: Record<string, unknown> = { n }): AuditRecord {
  const target = { kind: "token", id: `token-${n}`, name: `Token ${n}` };
  return auditRecord(
    1_800_000_000_000 + n * 1_000,
    ADA,
    n % 2 === 0 ? "token.created" : "token.revoked",
    target,
    details,
  );
}

/** Databases in a folder of their own. */
export class AuditWorld {
  readonly folder = mkdtempSync(join(tmpdir(), "creel-audit-"));
  readonly databases = new SqliteDatabases({ migrationsDirectory: MIGRATIONS });
  private count = 0;

  path(name: string): string {
    return join(this.folder, "tenants", name, "tenant.db");
  }

  /** A chain of `length` rows. */
  async chain(name = `tenant-${++this.count}`, length = 8): Promise<{ name: string; db: Database }> {
    const db = this.databases.open("tenant", this.path(name), name);
    await db.find("SELECT 1");
    for (let n = 1; n <= length; n++) await db.write({ statements: [appendStatement(record(n))] });
    return { name, db };
  }

  /** Change the file behind everybody's back: no triggers, no program. */
  tamper(name: string, edit: (connection: Connection) => void): void {
    const connection = openConnection(this.path(name), "writer");
    try {
      const triggers = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name LIKE 'audit_%'")
        .pluck()
        .all() as string[];
      connection.exec(triggers.map((trigger) => `DROP TRIGGER ${trigger};`).join(""));
      edit(connection);
    } finally {
      connection.close();
    }
  }

  async close(): Promise<void> {
    await this.databases.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
