/**
 * The thread that answers questions over very many rows. Owns: reader connections of its own (a few, least recently used
 * go first), and passing rows on in pieces. Refuses to know: whose turn it is, tenants, what rows mean.
 *
 * Why a thread: a sum over a year of a busy tenant takes SQLite a second, and the gateway's loop serves everybody.
 */
import { parentPort } from "node:worker_threads";
import { AppError, type ErrorCode } from "../kernel/errors.ts";
import type { SqlValue } from "./database.ts";
import { assertOwner, type Connection, openConnection } from "./sqlite-open.ts";

/** A request to the thread: a question, or to let go of a file. */
export type ReportRequest =
  | { type: "report"; id: number; path: string; owner: string; sql: string; params: readonly SqlValue[] }
  | { type: "release"; id: number; path: string };

/** Rows of an answer; the last piece says so. */
export type ReportReply =
  | { id: number; rows: Record<string, SqlValue>[]; isLast: boolean }
  | { id: number; failure: ReadFailure };

/** A failure in a form that crosses threads: ours, or SQLite's with its code. */
export type ReadFailure = { message: string; cause: string } & ({ ours: ErrorCode } | { sqlite: string });

/** Reading a piece must not take the gateway's loop longer than a usual request. */
const PIECE_ROWS = 500;
const OPEN_FILES = 4;

class ReportThread {
  private readonly connections = new Map<string, Connection>();
  private readonly send: (reply: ReportReply) => void;

  constructor(send: (reply: ReportReply) => void) {
    this.send = send;
  }

  receive(request: ReportRequest): void {
    const { id, path } = request;
    try {
      if (request.type === "report") return this.answer(request);
      this.connections.get(path)?.close();
      this.connections.delete(path);
      this.send({ id, rows: [], isLast: true });
    } catch (thrown) {
      this.send({ id, failure: failureOf(thrown) });
    }
  }

  private answer({ id, path, owner, sql, params }: ReportRequest & { type: "report" }): void {
    const statement = this.connection(path, owner).prepare(sql);
    let rows: Record<string, SqlValue>[] = [];
    for (const row of statement.iterate(...params)) {
      if (rows.length === PIECE_ROWS) {
        this.send({ id, rows, isLast: false });
        rows = [];
      }
      rows.push(row as Record<string, SqlValue>);
    }
    this.send({ id, rows, isLast: true });
  }

  private connection(path: string, owner: string): Connection {
    let connection = this.connections.get(path);
    if (connection === undefined) connection = openOwned(path, owner);
    else this.connections.delete(path);
    this.connections.set(path, connection);
    for (const [path, oldest] of this.connections) {
      if (this.connections.size <= OPEN_FILES) break;
      oldest.close();
      this.connections.delete(path);
    }
    return connection;
  }
}

function failureOf(thrown: unknown): ReadFailure {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const cause = error.cause instanceof Error ? error.cause.message : error.message;
  if (error instanceof AppError) return { ours: error.code, message: error.publicMessage, cause };
  return { sqlite: String((error as { code?: unknown }).code ?? ""), message: error.message, cause };
}

function openOwned(path: string, owner: string): Connection {
  const connection = openConnection(path, "reader");
  try {
    assertOwner(connection, owner);
    // Sums look at the same pages again and again; 8 MiB for each of the few that are open here.
    connection.pragma("cache_size = -8192");
    return connection;
  } catch (thrown) {
    connection.close();
    throw thrown;
  }
}

const port = parentPort;
if (port !== null) {
  const thread = new ReportThread((reply) => port.postMessage(reply));
  port.on("message", (request: ReportRequest) => thread.receive(request));
}
