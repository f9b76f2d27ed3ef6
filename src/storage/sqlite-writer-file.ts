/**
 * One database file as the writing thread sees it. Owns: group commit with savepoints, appends, what a failure means.
 * Refuses to know: queues, messages, other files.
 */
import { dirname } from "node:path";
import type { Statement as Prepared } from "better-sqlite3";
import { AppError, type ErrorCode } from "../kernel/errors.ts";
import type { Batch, StatementResult, WriteOutcome } from "./database.ts";
import { makeFolder } from "./folders.ts";
import { Journals } from "./journals.ts";
import { type Migration, migrate, prepareConnection } from "./migrate.ts";
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
  private readonly journals: Journals;
  private readonly prepared = new Map<string, Prepared<unknown[]>>();

  constructor(path: string, owner: string, migrations: readonly Migration[]) {
    makeFolder(dirname(path));
    this.connection = openConnection(path, "writer");
    try {
      migrate(this.connection, migrations, owner);
      assertOwner(this.connection, owner);
      prepareConnection(this.connection, migrations);
      this.journals = new Journals(this.connection, dirname(path));
      // ORDER: before anybody reads the files: a power cut may have taken what was not flushed.
      this.journals.settleNow();
    } catch (thrown) {
      this.connection.close();
      throw thrown;
    }
  }

  /** Commit a group with one flush; a batch that refuses leaves the others standing. */
  commit(jobs: readonly Job[]): JobReply[] {
    const replies: JobReply[] = [];
    try {
      this.connection.exec("BEGIN IMMEDIATE");
      for (const job of jobs) replies.push(this.attempt(job));
      this.journals.flush();
      this.connection.exec("COMMIT");
      return replies;
    } catch (thrown) {
      const failure = WriterFile.failure(thrown);
      // A failed commit is an unknown outcome, unless SQLite says that nothing was written.
      if (failure.code === "internal") failure.code = "storage_uncertain";
      this.poisoned = failure.code !== "storage_full" || !this.rollBack();
      return jobs.map((job) => ({ id: job.id, failure }));
    } finally {
      this.journals.endGroup();
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

  private attempt(job: Job): JobReply {
    this.connection.exec("SAVEPOINT job");
    try {
      for (const append of job.batch.appends ?? []) this.journals.append(append);
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

  /** Bytes wait to be flushed to files; see journals. */
  get isOwing(): boolean {
    return this.journals.isOwing;
  }

  /** So many of them that they should be flushed now. */
  get isDue(): boolean {
    return this.journals.isDue;
  }

  /** Flush the files; never rejects. */
  settle(): Promise<void> {
    return this.journals.settle();
  }

  close(): void {
    // After an unknown outcome the next opening does it.
    if (!this.poisoned && this.isOwing) this.journals.settleNow();
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
