/**
 * Bringing a database to the newest form. Owns: the order of migrations and the record of what ran.
 * Refuses to know: what the tables mean. Going back is refused: an older program never opens a newer file.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sha256Hex } from "../kernel/crypto.ts";
import { AppError } from "../kernel/errors.ts";
import type { DatabaseKind } from "./database.ts";
import { JOURNAL_TABLES } from "./journals.ts";
import { assertOwner, type Connection } from "./sqlite-open.ts";

/** One step, named by its file `NNNN-name.sql`. */
export interface Migration {
  name: string;
  sql: string;
  sha256: string;
  /** What follows CONNECTION_MARK: run by every writing connection for itself, empty for most. */
  connectionSql: string;
}

/**
 * The line after which a file says what each writing connection adds for itself: temporary triggers, which alone may call
 * functions of ours (the schema is not trusted, see sqlite-open). They come from the program and are never stored.
 */
export const CONNECTION_MARK = "-- EVERY WRITING CONNECTION";

/** Read the steps of one kind from `<directory>/<kind>/`, in order. */
export function readMigrations(directory: string, kind: DatabaseKind): Migration[] {
  const folder = join(directory, kind);
  return readdirSync(folder)
    .filter((name) => name.endsWith(".sql"))
    .sort()
    .map((name) => {
      const text = readFileSync(join(folder, name), "utf8");
      const [sql = "", connectionSql = ""] = text.split(`\n${CONNECTION_MARK}\n`);
      return { name, sql, sha256: sha256Hex(text), connectionSql };
    });
}

const BOOKKEEPING = `
  CREATE TABLE IF NOT EXISTS file_owner (one INTEGER PRIMARY KEY CHECK (one = 1), owner TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS schema_migrations (
    position INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT;${JOURNAL_TABLES}`;

/**
 * Apply what is missing, in one transaction, and write the owner into a new file.
 * @returns names of the steps that ran. Throws `tenant_unavailable` when the file is newer than this program.
 */
export function migrate(connection: Connection, migrations: readonly Migration[], owner: string): string[] {
  const version = connection.pragma("user_version", { simple: true }) as number;
  if (version === migrations.length && hasBookkeeping(connection)) return [];
  if (version > migrations.length) throw new AppError("tenant_unavailable", NEWER, { details: { version } });
  const ran: string[] = [];
  const run = connection.transaction(() => {
    connection.exec(BOOKKEEPING);
    connection.prepare("INSERT INTO file_owner VALUES (1, ?) ON CONFLICT DO NOTHING").run(owner);
    // SECURITY: before anything is changed; somebody else's file stays as it is.
    assertOwner(connection, owner);
    const record = connection.prepare("INSERT INTO schema_migrations VALUES (?, ?, ?)");
    const seen = connection.prepare("SELECT sha256 FROM schema_migrations WHERE position = ?").pluck();
    for (const [index, migration] of migrations.entries()) {
      const known = seen.get(index + 1);
      if (known !== undefined) continue;
      connection.exec(migration.sql);
      record.run(index + 1, migration.name, migration.sha256);
      ran.push(migration.name);
    }
    connection.pragma(`user_version = ${migrations.length}`);
  });
  run.immediate();
  return ran;
}

/** What the steps add to a writing connection, after `migrate`; in order, so that a later step may replace it. */
export function prepareConnection(connection: Connection, migrations: readonly Migration[]): void {
  for (const { connectionSql } of migrations) if (connectionSql !== "") connection.exec(connectionSql);
}

/** Whether the newest of our own tables is there: a file can be in its newest form but for them. */
function hasBookkeeping(connection: Connection): boolean {
  return connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'journal_tails'").get() !== undefined;
}

const NEWER = "The database was written by a newer Creel. Start that version, or restore an older backup.";
