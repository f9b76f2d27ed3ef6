/**
 * SQLite behind the database port. Owns: reader handles (bounded, least recently used go first) and the way to the
 * writing thread. Refuses to know: SQL meaning, tenants.
 */
import { Worker } from "node:worker_threads";
import type { Statement as Prepared } from "better-sqlite3";
import { AppError } from "../kernel/errors.ts";
import { LIMITS } from "../kernel/limits.ts";
import type { Batch, Database, DatabaseKind, Databases, WriteOutcome } from "./database.ts";
import { Reports } from "./reports.ts";
import { assertOwner, type Connection, openConnection } from "./sqlite-open.ts";
import type { WriterRequest, WriterSetup } from "./sqlite-writer.ts";
import type { JobReply } from "./sqlite-writer-file.ts";

/** What the driver needs. */
export interface SqliteOptions {
  /** Folder that holds `control/` and `tenant/`. */
  migrationsDirectory: string;
  /** Open handles per thread; three file descriptors each. */
  openFiles?: number;
  /** How long what was appended may wait to be flushed to its file; it is on disk in the database all the while. */
  settleAfterMs?: number;
}

/** Long enough that a conversation in progress costs one flush for many turns. */
const SETTLE_AFTER_MS = 3_000;

interface Waiting {
  resolve(outcome: WriteOutcome): void;
  reject(error: Error): void;
}

class Reader {
  private readonly connection: Connection;
  private readonly prepared = new Map<string, Prepared<unknown[]>>();

  constructor(path: string, owner: string) {
    this.connection = openConnection(path, "reader");
    try {
      assertOwner(this.connection, owner);
    } catch (thrown) {
      this.connection.close();
      throw thrown;
    }
  }

  statement(sql: string): Prepared<unknown[]> {
    let statement = this.prepared.get(sql);
    if (statement === undefined) {
      statement = this.connection.prepare(sql);
      this.prepared.set(sql, statement);
    }
    return statement;
  }

  close(): void {
    this.connection.close();
  }
}

/** Databases in files, written by one thread and read by this one. */
export class SqliteDatabases implements Databases {
  private readonly readers = new Map<string, Reader>();
  /** Files known to exist in their newest form, by path. */
  private readonly ready = new Map<string, Promise<void>>();
  private readonly waiting = new Map<number, Waiting>();
  /** Requests of this turn of the event loop; they go to the thread together, for waking it costs more than a message. */
  private outbox: WriterRequest[] = [];
  private readonly openFiles: number;
  private readonly setup: WriterSetup;
  private readonly reports = new Reports();
  private worker: Worker;
  private hasAnswered = false;
  private nextId = 1;
  private failed: Error | undefined;

  constructor(options: SqliteOptions) {
    this.openFiles = options.openFiles ?? LIMITS.openDatabases;
    const { migrationsDirectory, settleAfterMs = SETTLE_AFTER_MS } = options;
    this.setup = { migrationsDirectory, openFiles: this.openFiles, settleAfterMs };
    this.worker = this.startWorker();
  }

  open(kind: DatabaseKind, path: string, owner: string): Database {
    const read = async <T>(sql: string, run: (statement: Prepared<unknown[]>) => unknown): Promise<T> => {
      try {
        if (!this.readers.has(path)) await this.prepare(kind, path, owner);
        return run(this.reader(path, owner).statement(sql)) as T;
      } catch (thrown) {
        throw explain(thrown);
      }
    };
    return {
      find: (sql, params = []) => read(sql, (statement) => statement.get(...params)),
      list: (sql, params = []) => read(sql, (statement) => statement.all(...params)),
      report: async (sql, params = []) => {
        try {
          await this.prepare(kind, path, owner);
          return await this.reports.ask(path, owner, sql, params);
        } catch (thrown) {
          throw explain(thrown);
        }
      },
      write: (batch: Batch) => this.request((id) => ({ type: "write", id, kind, path, owner, batch })),
    };
  }

  async release(path: string): Promise<void> {
    this.closeReader(path);
    this.ready.delete(path);
    await this.reports.release(path);
    await this.request((id) => ({ type: "release", id, path }));
  }

  async close(): Promise<void> {
    for (const path of [...this.readers.keys()]) this.closeReader(path);
    await this.reports.close();
    if (this.failed === undefined) await this.request((id) => ({ type: "close", id }));
    this.failed = new Error("the databases are closed");
    await this.worker.terminate();
  }

  /** Make sure that the file exists in its newest form; the writing thread does it, once per file. */
  private prepare(kind: DatabaseKind, path: string, owner: string): Promise<void> {
    let ready = this.ready.get(path);
    if (ready === undefined) {
      ready = this.request((id) => ({ type: "open", id, kind, path, owner })).then(() => undefined);
      this.ready.set(path, ready);
      ready.catch(() => this.ready.delete(path));
    }
    return ready;
  }

  private reader(path: string, owner: string): Reader {
    let reader = this.readers.get(path);
    if (reader === undefined) reader = new Reader(path, owner);
    else this.readers.delete(path);
    this.readers.set(path, reader);
    for (const [oldest] of this.readers) {
      if (this.readers.size <= this.openFiles) break;
      this.closeReader(oldest);
    }
    return reader;
  }

  private closeReader(path: string): void {
    this.readers.get(path)?.close();
    this.readers.delete(path);
  }

  private request(make: (id: number) => WriterRequest): Promise<WriteOutcome> {
    if (this.failed !== undefined) {
      return Promise.reject(new AppError("shutting_down", "The store is closed.", { cause: this.failed }));
    }
    const id = this.nextId++;
    // The thread keeps the process alive only while somebody waits for it.
    this.worker.ref();
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.outbox.push(make(id));
      if (this.outbox.length === 1) setImmediate(() => this.post());
    });
  }

  private post(): void {
    const requests = this.outbox;
    this.outbox = [];
    try {
      if (requests.length > 0) this.worker.postMessage(requests);
    } catch (cause) {
      // A value that cannot cross threads: a mistake of ours, and none of them was sent.
      const error = cause instanceof Error ? cause : new Error(String(cause));
      for (const { id } of requests) this.waiting.get(id)?.reject(error);
      for (const { id } of requests) this.waiting.delete(id);
    }
  }

  private settle(replies: readonly JobReply[]): void {
    for (const reply of replies) {
      const waiting = this.waiting.get(reply.id);
      this.waiting.delete(reply.id);
      if ("outcome" in reply) waiting?.resolve(reply.outcome);
      else {
        const { code, message, cause } = reply.failure;
        waiting?.reject(new AppError(code, message, { cause: new Error(cause) }));
      }
    }
    if (this.waiting.size === 0) this.worker.unref();
  }

  private startWorker(): Worker {
    const worker = new Worker(new URL("./sqlite-writer.ts", import.meta.url), { workerData: this.setup });
    let cause: Error = new Error("the writing thread ended");
    worker.on("message", (replies: JobReply[]) => {
      // `node --watch` sends words of its own through the ports of threads.
      if (!Array.isArray(replies)) return;
      this.hasAnswered = true;
      this.settle(replies);
    });
    worker.on("error", (error) => {
      cause = error;
    });
    // ORDER: not before the end of the thread, which closes its files; the next one would find them locked.
    worker.on("exit", () => this.replace(cause));
    worker.unref();
    return worker;
  }

  /** The thread is gone, e.g. out of memory. What it was doing is uncertain; the next thread does what comes after. */
  private replace(cause: Error): void {
    // One that never worked will not work the next time either.
    if (this.failed === undefined && this.hasAnswered) this.worker = this.startWorker();
    else this.failed ??= cause;
    this.hasAnswered = false;
    const lost = [...this.waiting.values()];
    this.waiting.clear();
    // ORDER: what is called uncertain now must not be done later, when somebody has looked.
    this.outbox = [];
    for (const { reject } of lost) {
      reject(new AppError("storage_uncertain", "The store stopped. Read before you retry.", { cause }));
    }
  }
}

/** What a failed read means to the caller. */
function explain(thrown: unknown): unknown {
  if (thrown instanceof AppError) return thrown;
  const code = String((thrown as { code?: unknown }).code ?? "");
  if (!code.startsWith("SQLITE_CORRUPT") && !code.startsWith("SQLITE_IOERR") && code !== "SQLITE_NOTADB") {
    return thrown;
  }
  const message = "The stored data cannot be read. The operator has been told.";
  return new AppError("tenant_unavailable", message, { cause: thrown });
}
