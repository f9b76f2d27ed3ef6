/**
 * The one thread that writes. Owns: writer connections, group commit, appends that commit with a batch.
 * Refuses to know: tenants, tables (but `journals`), the event loop of the gateway.
 *
 * Why a thread: a commit waits for the disk (0.2 ms here, 5 ms on a cloud disk, seconds on a sick one), and the
 * gateway's loop serves everybody. Why groups: one flush can carry many batches of the same file.
 */
import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../kernel/clock.ts";
import type { DatabaseKind } from "./database.ts";
import { type Migration, readMigrations } from "./migrate.ts";
import { type Job, type JobReply, WriterFile } from "./sqlite-writer-file.ts";

/** What the thread is started with. */
export interface WriterSetup {
  migrationsDirectory: string;
  openFiles: number;
  settleAfterMs: number;
}

/** A request to the thread. */
export type WriterRequest =
  | ({ type: "write"; kind: DatabaseKind; path: string; owner: string } & Job)
  | { type: "open"; id: number; kind: DatabaseKind; path: string; owner: string }
  | { type: "release"; id: number; path: string }
  | { type: "close"; id: number };

/** Most batches that one flush carries: bounds how long the first of them waits. */
const GROUP = 64;

class Writer {
  private readonly files = new Map<string, WriterFile>();
  private readonly queues = new Map<string, { request: WriterRequest & { type: "write" }; jobs: Job[] }>();
  private readonly migrations: Record<DatabaseKind, Migration[]>;
  private readonly setup: WriterSetup;
  private readonly send: (replies: JobReply[]) => void;
  private scheduled = false;
  private isSettlingSoon = false;

  constructor(setup: WriterSetup, send: (replies: JobReply[]) => void) {
    this.setup = setup;
    this.send = send;
    this.migrations = {
      control: readMigrations(setup.migrationsDirectory, "control"),
      tenant: readMigrations(setup.migrationsDirectory, "tenant"),
    };
  }

  receive(request: WriterRequest): void {
    if (request.type === "write") {
      const queue = this.queues.get(request.path);
      const job: Job = { id: request.id, batch: request.batch };
      if (queue === undefined) this.queues.set(request.path, { request, jobs: [job] });
      else queue.jobs.push(job);
      this.schedule();
    } else {
      this.send([this.control(request)]);
    }
  }

  private control(request: Exclude<WriterRequest, { type: "write" }>): JobReply {
    try {
      if (request.type === "open") this.file(request.kind, request.path, request.owner);
      else if (request.type === "release") this.release(request.path);
      else this.closeAll();
      return { id: request.id, outcome: { committed: true, results: [] } };
    } catch (thrown) {
      return { id: request.id, failure: WriterFile.failure(thrown) };
    }
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => this.round());
  }

  /** One group of every file that has work: a busy tenant's queue never stands before another's. */
  private round(): void {
    this.scheduled = false;
    for (const [path, queue] of [...this.queues]) {
      const jobs = queue.jobs.splice(0, GROUP);
      if (queue.jobs.length === 0) this.queues.delete(path);
      this.send(this.commit(queue.request, jobs));
    }
    if (this.queues.size > 0) this.schedule();
  }

  private commit(request: WriterRequest & { type: "write" }, jobs: Job[]): JobReply[] {
    try {
      const file = this.file(request.kind, request.path, request.owner);
      const replies = file.commit(jobs);
      if (file.poisoned) this.release(request.path);
      else if (file.isDue) void file.settle();
      else if (file.isOwing) this.settleSoon();
      return replies;
    } catch (thrown) {
      const failure = WriterFile.failure(thrown);
      return jobs.map((job) => ({ id: job.id, failure }));
    }
  }

  private settleSoon(): void {
    if (this.isSettlingSoon) return;
    this.isSettlingSoon = true;
    systemClock.after(this.setup.settleAfterMs, () => void this.settleAll());
  }

  /** One file after the other: flushes take the disk from commits. */
  private async settleAll(): Promise<void> {
    this.isSettlingSoon = false;
    for (const file of [...this.files.values()]) if (file.isOwing) await file.settle();
  }

  private file(kind: DatabaseKind, path: string, owner: string): WriterFile {
    let file = this.files.get(path);
    if (file === undefined) {
      file = new WriterFile(path, owner, this.migrations[kind]);
    } else {
      this.files.delete(path);
    }
    this.files.set(path, file);
    for (const [oldest] of this.files) {
      if (this.files.size <= this.setup.openFiles) break;
      this.release(oldest);
    }
    return file;
  }

  private release(path: string): void {
    this.files.get(path)?.close();
    this.files.delete(path);
  }

  private closeAll(): void {
    while (this.queues.size > 0) this.round();
    for (const path of [...this.files.keys()]) this.release(path);
  }
}

const port = parentPort;
if (port !== null) {
  const writer = new Writer(workerData as WriterSetup, (replies) => port.postMessage(replies));
  port.on("message", (requests: WriterRequest[]) => {
    for (const request of requests) writer.receive(request);
  });
}
