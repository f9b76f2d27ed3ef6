/**
 * The port to a relational store: reads, and durable all-or-nothing batches of writes.
 * Owns: the contract. Refuses to know: SQLite, files, tenants.
 *
 * Writes are batches, not callbacks: a batch is decided inside the store (conditions are SQL, `expect` turns them
 * into refusals), so no lock is ever held while our own code runs, and the same batches can go to another thread,
 * or another machine. A resolved `write` is on disk.
 */

/** A value a statement can carry. */
export type SqlValue = string | number | bigint | null | Uint8Array;

/** One statement of a batch. */
export interface Statement {
  sql: string;
  params?: readonly SqlValue[];
  /** Refuse (roll back) the whole batch unless this many rows changed. */
  expect?: number;
}

/** Bytes to add to the end of an append-only file that commits together with the batch. */
export interface Append {
  /** Path below the directory of the database file, e.g. `agents/main/sessions/<id>.jsonl`. */
  file: string;
  bytes: Uint8Array;
}

/**
 * Everything that becomes durable together. Appends are made before the statements run, so a statement can read
 * the new end of a file from `journals.committed_bytes`.
 */
export interface Batch {
  appends?: readonly Append[];
  statements: readonly Statement[];
}

/** What one statement did. `rows` is filled for statements with RETURNING. */
export interface StatementResult {
  changes: number;
  rows: readonly Record<string, SqlValue>[];
}

/** Either all of a batch is on disk, or none of it is and the statement that refused is named. */
export type WriteOutcome =
  | { committed: true; results: readonly StatementResult[] }
  | { committed: false; refusedAt: number };

/** One database. */
export interface Database {
  /** First row or undefined. */
  find<Row>(sql: string, params?: readonly SqlValue[]): Promise<Row | undefined>;
  /** All rows; the statement itself must be bounded. */
  list<Row>(sql: string, params?: readonly SqlValue[]): Promise<Row[]>;
  /**
   * As `list`, for a statement that looks at very many rows: it runs beside the event loop, one of each database after
   * the other. Throws `too_large` when it takes too long and `limit_reached` when too many wait.
   */
  report<Row>(sql: string, params?: readonly SqlValue[]): Promise<Row[]>;
  /**
   * Apply a batch. Resolves after it is on disk. Throws `storage_full` (nothing changed), `storage_uncertain`
   * (the outcome is unknown: read by key before retrying) or `tenant_unavailable` (the file cannot be used).
   */
  write(batch: Batch): Promise<WriteOutcome>;
}

/** Opens databases and closes them; one per process. */
export interface Databases {
  /** The database in `path`, created and migrated on first use; `owner` must be the one written inside. */
  open(kind: DatabaseKind, path: string, owner: string): Database;
  /** Forget open handles of one file, before it is moved or removed. */
  release(path: string): Promise<void>;
  close(): Promise<void>;
}

/** Which set of migrations a database follows. */
export type DatabaseKind = "control" | "tenant";
