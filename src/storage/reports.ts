/**
 * Questions over very many rows, asked of a thread of their own. Owns: whose turn it is (one question of each file after
 * the other), how long one may take, starting the thread when it is needed and ending it when it is not.
 * Refuses to know: SQL meaning, tenants, who writes.
 */
import { Worker } from "node:worker_threads";
import { systemClock, type Timer } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import { LIMITS } from "../kernel/limits.ts";
import type { SqlValue } from "./database.ts";
import type { ReadFailure, ReportReply, ReportRequest } from "./report-thread.ts";

/** Without questions for so long the thread ends: it holds some 10 MB. */
const IDLE_MS = 60_000;

type Request = ReportRequest extends infer One
  ? One extends { id: number }
    ? Omit<One, "id">
    : never
  : never;

interface Asked {
  request: Request;
  rows: Record<string, SqlValue>[];
  resolve(rows: unknown[]): void;
  reject(error: Error): void;
}

/** See the head of this file. */
export class Reports {
  /** By path, in the order in which files are served. */
  private readonly queues = new Map<string, Asked[]>();
  private going: { id: number; asked: Asked; deadline: Timer } | undefined;
  private worker: Worker | undefined;
  private idle: Timer | undefined;
  private lastId = 0;
  private isClosed = false;

  /** All rows. Throws `too_large` when it takes too long, `limit_reached` when too many of the file wait, SQLite's errors. */
  async ask<Row>(path: string, owner: string, sql: string, params: readonly SqlValue[]): Promise<Row[]> {
    return (await this.enqueue({ type: "report", path, owner, sql, params })) as Row[];
  }

  /** Let go of a file, after the questions about it that were asked before. */
  async release(path: string): Promise<void> {
    if (this.worker === undefined && this.going === undefined) return;
    await this.enqueue({ type: "release", path });
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.idle?.cancel();
    const ended = new AppError("shutting_down", "The store is closed.");
    for (const asked of [...this.queues.values()].flat()) asked.reject(ended);
    this.queues.clear();
    await this.end(ended);
  }

  private enqueue(request: Request): Promise<unknown[]> {
    if (this.isClosed) return Promise.reject(new AppError("shutting_down", "The store is closed."));
    const queue = this.queues.get(request.path) ?? [];
    if (queue.length >= LIMITS.reportsWaiting && request.type === "report") {
      const message = "Too many reports are being made; try again in a moment.";
      return Promise.reject(new AppError("limit_reached", message, { retryAfterMs: 1_000 }));
    }
    return new Promise((resolve, reject) => {
      queue.push({ request, rows: [], resolve, reject });
      this.queues.set(request.path, queue);
      this.next();
    });
  }

  /** Begin the first question of the file that has waited longest since it was served. */
  private next(): void {
    if (this.going !== undefined) return;
    const [first] = this.queues;
    if (first === undefined) {
      this.idle ??= systemClock.after(IDLE_MS, () => void this.end(new Error("idle")));
      return;
    }
    this.idle?.cancel();
    this.idle = undefined;
    const [path, queue] = first;
    const asked = queue.shift();
    // ORDER: a file that has more to ask stands behind the others now.
    this.queues.delete(path);
    if (queue.length > 0) this.queues.set(path, queue);
    if (asked === undefined) return this.next();
    this.lastId += 1;
    const id = this.lastId;
    const deadline = systemClock.after(LIMITS.reportMs, () => void this.end(tooLong()));
    this.going = { id, asked, deadline };
    this.worker ??= this.startWorker();
    // The thread keeps the process alive only while somebody waits for it.
    this.worker.ref();
    this.worker.postMessage({ ...asked.request, id } satisfies ReportRequest);
  }

  private receive(reply: ReportReply): void {
    const { going } = this;
    // `node --watch` sends words of its own through the ports of threads.
    if (going === undefined || reply.id !== going.id) return;
    const { asked } = going;
    if ("failure" in reply) {
      asked.reject(toError(reply.failure));
    } else {
      for (const row of reply.rows) asked.rows.push(row);
      if (!reply.isLast) return;
      asked.resolve(asked.rows);
    }
    this.settle();
  }

  private settle(): void {
    this.going?.deadline.cancel();
    this.going = undefined;
    this.worker?.unref();
    this.next();
  }

  private startWorker(): Worker {
    const worker = new Worker(new URL("./report-thread.ts", import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: 256 },
    });
    let cause: Error = new Error("the thread of reports ended");
    worker.on("message", (reply: ReportReply) => this.receive(reply));
    worker.on("error", (error) => {
      cause = error;
    });
    worker.on("exit", () => this.ended(worker, cause));
    worker.unref();
    return worker;
  }

  private ended(worker: Worker, cause: Error): void {
    if (this.worker !== worker) return;
    this.worker = undefined;
    const asked = this.going?.asked;
    asked?.reject(new AppError("internal", "The report could not be made.", { cause }));
    if (asked !== undefined) this.settle();
  }

  /** End the thread, and with it the question that it is at; the next question starts another. */
  private async end(reason: Error): Promise<void> {
    const { worker, going } = this;
    this.worker = undefined;
    this.idle = undefined;
    going?.asked.reject(reason);
    await worker?.terminate();
    if (going !== undefined && going === this.going) this.settle();
  }
}

/** The error as it was thrown in the thread; SQLite's keep their code. */
function toError(failure: ReadFailure): Error {
  const cause = new Error(failure.cause);
  if ("ours" in failure) return new AppError(failure.ours, failure.message, { cause });
  return Object.assign(new Error(failure.message, { cause }), { code: failure.sqlite });
}

function tooLong(): AppError {
  return new AppError("too_large", "That is too much for one answer; ask for fewer days.");
}
