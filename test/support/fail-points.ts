/**
 * Loaded before the server (`node --import`) in fault tests: kills the process at one exact step of one write.
 * Owns: where. The product knows nothing of it.
 *
 * `CREEL_FAIL_POINT` holds `{"at", "match", "skip"}`: the process is killed around the first write (after `skip` others)
 * whose batch, as JSON, fits the pattern. `request`: before the writing thread sees it · `commit`: its rows are written, its
 * appends flushed, the transaction not committed · `committed`: on disk, and nobody was told.
 */
import { isMainThread, parentPort } from "node:worker_threads";
import SqliteDatabase from "better-sqlite3";

/** See the head of this file. */
export interface FailPoint {
  at: "request" | "commit" | "committed";
  match: string;
  skip?: number;
}

const text = process.env["CREEL_FAIL_POINT"];

if (!isMainThread && parentPort !== null && text !== undefined)
  install(JSON.parse(text) as FailPoint, parentPort);

function install(point: FailPoint, port: NonNullable<typeof parentPort>): void {
  const pattern = new RegExp(point.match);
  let left = point.skip ?? 0;
  let isArmed = false;
  const note = (request: { type?: string; batch?: unknown }) => {
    if (request.type !== "write" || !pattern.test(JSON.stringify(request.batch, readable))) return;
    if (left-- > 0) return;
    if (point.at === "request") die();
    isArmed = true;
  };
  const on = port.on.bind(port) as (event: string, listener: (message: never) => void) => typeof port;
  // The product listens once, for requests; we hear each of them first.
  port.on = ((event: string, listener: (message: never) => void) =>
    on(event, (message: never) => {
      if (event === "message") note(message);
      listener(message);
    })) as typeof port.on;
  const { exec } = SqliteDatabase.prototype;
  SqliteDatabase.prototype.exec = function (this: SqliteDatabase.Database, sql: string) {
    if (isArmed && sql === "COMMIT" && point.at === "commit") die();
    const result = exec.call(this, sql);
    if (isArmed && sql === "COMMIT") die();
    return result;
  };
}

function readable(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString("utf8") : value;
}

function die(): never {
  process.kill(process.pid, "SIGKILL");
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
}
