/**
 * Loaded before the server (`node --import`) in fault tests: kills the process at one exact step of one write.
 * Owns: where. The product knows nothing of it.
 *
 * `CREEL_FAIL_POINT` is the path of a file; while it is there, it holds a `FailPoint`. It is removed just before the death
 * it asks for, so that the next start lives.
 */
import { readFileSync, rmSync } from "node:fs";
import { isMainThread, parentPort } from "node:worker_threads";
import SqliteDatabase from "better-sqlite3";

/**
 * The first write (after `skip` others) whose batch, as JSON, fits `match` is the last one. `request`: the writing thread
 * does not see it · `commit`: its rows are written, its appends flushed, the transaction not committed · `committed`: it is
 * on disk, and nobody was told.
 */
export interface FailPoint {
  at: "request" | "commit" | "committed";
  match: string;
  skip?: number;
  /** Only the writing thread dies. */
  isThreadOnly?: boolean;
}

type Request = { type?: string; batch?: unknown };

const path = process.env["CREEL_FAIL_POINT"];

if (!isMainThread && parentPort !== null && path !== undefined) install(path, parentPort);

function install(file: string, port: NonNullable<typeof parentPort>): void {
  let seen = 0;
  let armed: FailPoint | undefined;
  const note = (request: Request) => {
    const point = request.type === "write" ? readPoint(file) : undefined;
    if (point === undefined || !new RegExp(point.match).test(JSON.stringify(request.batch, readable))) return;
    if (seen++ < (point.skip ?? 0)) return;
    if (point.at === "request") die(file, point);
    armed = point;
  };
  const on = port.on.bind(port) as (event: string, listener: (message: never) => void) => typeof port;
  // The product listens once, for requests; we hear each of them first.
  port.on = ((event: string, listener: (message: never) => void) =>
    on(event, (message: never) => {
      if (event === "message") for (const request of message as Request[]) note(request);
      listener(message);
    })) as typeof port.on;
  const { exec } = SqliteDatabase.prototype;
  SqliteDatabase.prototype.exec = function (this: SqliteDatabase.Database, sql: string) {
    if (sql === "COMMIT" && armed?.at === "commit") die(file, armed);
    const result = exec.call(this, sql);
    if (sql === "COMMIT" && armed !== undefined) die(file, armed);
    return result;
  };
}

function readPoint(file: string): FailPoint | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as FailPoint;
  } catch {
    return undefined;
  }
}

function readable(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString("utf8") : value;
}

function die(file: string, point: FailPoint): never {
  rmSync(file, { force: true });
  if (point.isThreadOnly === true) process.exit(1);
  process.kill(process.pid, "SIGKILL");
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
}
