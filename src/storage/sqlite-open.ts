/**
 * Opening one SQLite file the only way the product may. Owns: pragmas, their assertion, ownership of a file.
 * Refuses to know: threads, caches, tables (but the one that says whose file it is).
 */
import SqliteDatabase from "better-sqlite3";
import { sha256Hex } from "../kernel/crypto.ts";
import { AppError } from "../kernel/errors.ts";

/** A raw connection. */
export type Connection = SqliteDatabase.Database;

/** Open a connection; a reader cannot write. Throws `tenant_unavailable` when the file is no sound database. */
export function openConnection(path: string, mode: "reader" | "writer"): Connection {
  let connection: Connection;
  try {
    connection = new SqliteDatabase(path, { fileMustExist: mode === "reader", timeout: 5_000 });
  } catch (cause) {
    throw new AppError("tenant_unavailable", "The database cannot be opened.", { cause });
  }
  try {
    setPragmas(connection, mode);
    if (mode === "writer") addFunctions(connection);
    return connection;
  } catch (cause) {
    connection.close();
    if (cause instanceof AppError) throw cause;
    throw new AppError("tenant_unavailable", "The database cannot be used.", { cause });
  }
}

function setPragmas(connection: Connection, mode: "reader" | "writer"): void {
  if (mode === "writer") connection.pragma("journal_mode = WAL");
  // ORDER: switching to WAL silently lowers synchronous to NORMAL in this build, so FULL comes after it.
  connection.pragma("synchronous = FULL");
  connection.pragma("foreign_keys = ON");
  connection.pragma("trusted_schema = OFF");
  connection.pragma("cell_size_check = ON");
  connection.pragma("mmap_size = 0");
  // The default of this build is 16 MiB per handle; a thousand tenants would reach 16 GiB.
  connection.pragma("cache_size = -512");
  // SECURITY: what is deleted is overwritten, not left to be read in the file.
  if (mode === "writer") connection.pragma("secure_delete = ON");
  if (mode === "reader") connection.pragma("query_only = ON");
  const synchronous = connection.pragma("synchronous", { simple: true });
  const journal = connection.pragma("journal_mode", { simple: true });
  if (synchronous !== 2 || journal !== "wal") {
    throw new AppError("tenant_unavailable", "The database does not promise durability.", {
      cause: new Error(`synchronous=${String(synchronous)} journal_mode=${String(journal)}`),
    });
  }
}

/**
 * `sha256_json(a, b, …)`: SHA-256, as lower-case hex, of the JSON array of the arguments (texts, whole numbers, NULLs;
 * written as RFC 8785 says). A row can so be chained to the one before it inside the transaction that adds it,
 * whichever process that is.
 */
function addFunctions(connection: Connection): void {
  const options = { varargs: true, deterministic: true, directOnly: true };
  connection.function("sha256_json", options, (...values: unknown[]) => sha256Hex(JSON.stringify(values)));
}

/** SECURITY: refuse a file that belongs to somebody else, e.g. after two tenants' files were swapped on disk. */
export function assertOwner(connection: Connection, owner: string): void {
  const row = connection.prepare("SELECT owner FROM file_owner").get() as { owner: string } | undefined;
  if (row?.owner !== owner) {
    throw new AppError("tenant_unavailable", "The database belongs to somebody else.", {
      cause: new Error(`file is owned by ${row?.owner ?? "nobody"}, expected ${owner}`),
    });
  }
}
