/**
 * One database file as the writing thread sees it. Owns: group commit with savepoints, appends, what a failure means.
 * Refuses to know: queues, messages, other files.
 */
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Statement as Prepared } from "better-sqlite3";
import { AppError, type ErrorCode } from "../kernel/errors.ts";
import type { Append, Batch, StatementResult, WriteOutcome } from "./database.ts";
import { type Migration, migrate } from "./migrate.ts";
import { assertOwner, type Connection, openConnection } from "./sqlite-open.ts";

/** A batch and the number its answer carries. */
export interface Job {
  id: number;
  batch: Batch;
}

/** A failure in a form that crosses threads. */
export interface WriteFailure {
  code: ErrorCode;
  message: string;
  cause: string;
}

/** The answer to one job. */
export type JobReply = { id: number; outcome: WriteOutcome } | { id: number; failure: WriteFailure };

const NEXT_END = `INSERT INTO journals VALUES (?, ?) ON CONFLICT (file)
  DO UPDATE SET committed_bytes = committed_bytes + excluded.committed_bytes RETURNING committed_bytes`;

/** A batch asked to be rolled back. */
class Refused extends Error {
  readonly at: number;
  constructor(at: number) {
    super(`statement ${at} refused`);
    this.at = at;
  }
}

/** See the head of this file. */
export class WriterFile {
  /** Set when the outcome of a commit is unknown: the connection must be closed and opened anew before more work. */
  poisoned = false;
  private readonly connection: Connection;
  private readonly directory: string;
  private readonly prepared = new Map<string, Prepared<unknown[]>>();

  constructor(path: string, owner: string, migrations: readonly Migration[]) {
    this.directory = dirname(path);
    makeDirectory(this.directory);
    this.connection = openConnection(path, "writer");
    try {
      migrate(this.connection, migrations, owner);
      assertOwner(this.connection, owner);
    } catch (thrown) {
      this.connection.close();
      throw thrown;
    }
  }

  /** Commit a group with one flush; a batch that refuses leaves the others standing. */
  commit(jobs: readonly Job[]): JobReply[] {
    const touched = new Map<string, number>();
    const replies: JobReply[] = [];
    try {
      this.connection.exec("BEGIN IMMEDIATE");
      for (const job of jobs) replies.push(this.attempt(job, touched));
      // ORDER: the file's bytes reach the disk before the commit that says how many of them count.
      for (const fd of touched.values()) fdatasyncSync(fd);
      this.connection.exec("COMMIT");
      return replies;
    } catch (thrown) {
      const failure = WriterFile.failure(thrown);
      // A failed commit is an unknown outcome, unless SQLite says that nothing was written.
      if (failure.code === "internal") failure.code = "storage_uncertain";
      this.poisoned = failure.code !== "storage_full" || !this.rollBack();
      return jobs.map((job) => ({ id: job.id, failure }));
    } finally {
      for (const fd of touched.values()) closeSync(fd);
    }
  }

  /** Undo the open transaction; false when even that fails. */
  private rollBack(): boolean {
    try {
      if (this.connection.inTransaction) this.connection.exec("ROLLBACK");
      return true;
    } catch {
      return false;
    }
  }

  private attempt(job: Job, touched: Map<string, number>): JobReply {
    this.connection.exec("SAVEPOINT job");
    try {
      for (const append of job.batch.appends ?? []) this.append(append, touched);
      const results = job.batch.statements.map((statement, index) => {
        const result = this.run(statement.sql, statement.params ?? []);
        if (statement.expect !== undefined && result.changes !== statement.expect) throw new Refused(index);
        return result;
      });
      this.connection.exec("RELEASE job");
      return { id: job.id, outcome: { committed: true, results } };
    } catch (thrown) {
      if (!this.connection.inTransaction) throw thrown;
      this.connection.exec("ROLLBACK TO job");
      this.connection.exec("RELEASE job");
      if (thrown instanceof Refused)
        return { id: job.id, outcome: { committed: false, refusedAt: thrown.at } };
      return { id: job.id, failure: WriterFile.failure(thrown) };
    }
  }

  private run(sql: string, params: readonly unknown[]): StatementResult {
    let statement = this.prepared.get(sql);
    if (statement === undefined) {
      statement = this.connection.prepare(sql);
      this.prepared.set(sql, statement);
    }
    if (statement.reader) {
      const rows = statement.all(...params) as StatementResult["rows"];
      return { changes: rows.length, rows };
    }
    return { changes: statement.run(...params).changes, rows: [] };
  }

  private append(append: Append, touched: Map<string, number>): void {
    const [row] = this.run(NEXT_END, [append.file, append.bytes.length]).rows;
    const start = Number(row?.["committed_bytes"]) - append.bytes.length;
    let fd = touched.get(append.file);
    if (fd === undefined) {
      fd = this.openAppendable(append.file, start === 0);
      touched.set(append.file, fd);
    }
    const { size } = fstatSync(fd);
    // SECURITY: writing behind a missing piece would fill the gap with zeros and hide the loss.
    if (size < start) {
      throw new AppError("tenant_unavailable", "A transcript is shorter than what was committed.");
    }
    // A crash or a refused batch can leave bytes past the committed end; they never happened.
    if (size > start) ftruncateSync(fd, start);
    let written = 0;
    while (written < append.bytes.length) {
      written += writeSync(fd, append.bytes, written, append.bytes.length - written, start + written);
    }
  }

  private openAppendable(file: string, isNew: boolean): number {
    const path = join(this.directory, file);
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    if (!isNew) return openSync(path, flags, 0o600);
    makeDirectory(dirname(path));
    const fd = openSync(path, flags, 0o600);
    flushDirectory(dirname(path));
    return fd;
  }

  close(): void {
    this.connection.close();
  }

  /** Say what a thrown thing means to the caller. */
  static failure(thrown: unknown): WriteFailure {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    const sqlite = String((error as { code?: unknown }).code ?? "");
    const cause =
      `${sqlite} ${error.message} ${error.cause instanceof Error ? error.cause.message : ""}`.trim();
    if (thrown instanceof AppError) return { code: thrown.code, message: thrown.publicMessage, cause };
    return { ...meaningOf(sqlite), cause };
  }
}

/** Make a folder and those above it, so that they outlive a power cut: each new name is flushed in its own folder. */
function makeDirectory(path: string): void {
  const first = mkdirSync(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) flushDirectory(dirname(made));
}

function flushDirectory(path: string): void {
  const folder = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function meaningOf(code: string): { code: ErrorCode; message: string } {
  if (code === "SQLITE_FULL" || code === "ENOSPC" || code === "EDQUOT") {
    return {
      code: "storage_full",
      message: "The disk is full. Nothing was changed; try again when there is room.",
    };
  }
  if (code.startsWith("SQLITE_IOERR") || code === "EIO" || code === "EROFS") {
    return {
      code: "storage_uncertain",
      message: "The disk did not confirm the write. Read before you retry.",
    };
  }
  if (code.startsWith("SQLITE_CORRUPT") || code === "SQLITE_NOTADB" || code.startsWith("SQLITE_CANTOPEN")) {
    return {
      code: "tenant_unavailable",
      message: "The stored data cannot be read. The operator has been told.",
    };
  }
  if (code.startsWith("SQLITE_CONSTRAINT")) return { code: "conflict", message: "That already exists." };
  if (code.startsWith("SQLITE_BUSY")) return { code: "overloaded", message: "The store is busy; try again." };
  return { code: "internal", message: "The store failed." };
}
