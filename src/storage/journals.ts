/**
 * The append-only files beside one database, as the writing thread sees them. Owns: where an append goes, and that it
 * is on disk when its batch is. Refuses to know: batches, transactions (others begin and end them), what is written.
 *
 * A small append costs no flush of its own: its bytes are written to the file, and kept in the table `journal_tails`
 * until the file was flushed, which is done for many at once (`settle`). After a power cut the file may lack them or hold
 * anything in their place; then they are written again from the table. A large append is flushed before its commit.
 */
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  openSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { Statement as Prepared } from "better-sqlite3";
import { AppError } from "../kernel/errors.ts";
import type { Append } from "./database.ts";
import { flushFolder, makeFolder } from "./folders.ts";
import type { Connection } from "./sqlite-open.ts";

/** The tables this file reads and writes. `journals` says how much of a file counts. */
export const JOURNAL_TABLES = `
  CREATE TABLE IF NOT EXISTS journals (
    file TEXT PRIMARY KEY, committed_bytes INTEGER NOT NULL CHECK (committed_bytes >= 0)) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS journal_tails (
    id INTEGER PRIMARY KEY AUTOINCREMENT, file TEXT NOT NULL, start_bytes INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT;`;

const NEXT_END = `INSERT INTO journals VALUES (?, ?) ON CONFLICT (file)
  DO UPDATE SET committed_bytes = committed_bytes + excluded.committed_bytes RETURNING committed_bytes`;
const KEEP = "INSERT INTO journal_tails (file, start_bytes, bytes) VALUES (?, ?, ?)";
const TAILS = "SELECT id, file, start_bytes, bytes FROM journal_tails ORDER BY id";
const FORGET = `DELETE FROM journal_tails WHERE id <= ? AND file NOT IN (SELECT value FROM json_each(?))`;

/** Above this an append is flushed by itself: writing it twice would cost more than the flush. */
const LARGE_BYTES = 64 * 1024;
/** Bytes in `journal_tails` before it is time to flush the files; bounds the work at the next opening too. */
const DUE_BYTES = 1024 * 1024;

// SECURITY: a link in place of a file would lead the write elsewhere.
const OPEN = constants.O_RDWR | constants.O_NOFOLLOW;

interface Tail {
  id: number;
  file: string;
  start_bytes: number;
  bytes: Buffer;
}

const flushLater = promisify(fsync);

/** See the head of this file. */
export class Journals {
  private readonly connection: Connection;
  private readonly directory: string;
  private readonly nextEnd: Prepared<unknown[]>;
  private readonly keep: Prepared<unknown[]>;
  /** Files appended to since the last `endGroup`. */
  private readonly touched = new Map<string, { fd: number; isLarge: boolean }>();
  private owedBytes = 0;
  private isSettling = false;

  /** @param directory the folder that names of files are relative to */
  constructor(connection: Connection, directory: string) {
    this.connection = connection;
    this.directory = directory;
    this.nextEnd = connection.prepare(NEXT_END);
    this.keep = connection.prepare(KEEP);
  }

  /** Whether bytes wait in the table. */
  get isOwing(): boolean {
    return this.owedBytes > 0 || this.isSettling;
  }

  /** Whether so many wait that it is time to `settle`. */
  get isDue(): boolean {
    return this.owedBytes >= DUE_BYTES && !this.isSettling;
  }

  /** Write at the committed end of a file. Throws `tenant_unavailable` when the file is shorter than that. */
  append({ file, bytes }: Append): void {
    const row = this.nextEnd.get(file, bytes.length) as { committed_bytes: number };
    const start = row.committed_bytes - bytes.length;
    let open = this.touched.get(file);
    if (open === undefined) {
      const path = join(this.directory, file);
      if (start === 0) makeFolder(dirname(path));
      open = { fd: openSync(path, OPEN | constants.O_CREAT, 0o600), isLarge: false };
      this.touched.set(file, open);
    }
    const { size } = fstatSync(open.fd);
    // SECURITY: writing behind a missing piece would fill the gap with zeros and hide the loss.
    if (size < start) {
      throw new AppError("tenant_unavailable", "A transcript is shorter than what was committed.");
    }
    // A crash or a refused batch can leave bytes past the committed end; they never happened.
    if (size > start) ftruncateSync(open.fd, start);
    writeAll(open.fd, bytes, start);
    if (bytes.length > LARGE_BYTES) open.isLarge = true;
    else {
      this.keep.run(file, start, bytes);
      this.owedBytes += bytes.length;
    }
  }

  /** Put large appends on disk. ORDER: before the commit that says how many bytes of a file count. */
  flush(): void {
    for (const [file, { fd, isLarge }] of this.touched) {
      if (!isLarge) continue;
      fdatasyncSync(fd);
      // The name too: what an earlier small append left in the table makes a lost file anew, but not these bytes.
      flushFolder(dirname(join(this.directory, file)));
    }
  }

  /** The transaction is over. */
  endGroup(): void {
    for (const { fd } of this.touched.values()) closeSync(fd);
    this.touched.clear();
  }

  /** Flush the files of what waits in the table, then forget it there. Commits may go on meanwhile. Never rejects. */
  async settle(): Promise<void> {
    if (this.isSettling || !this.connection.open) return;
    this.isSettling = true;
    try {
      const steps = this.settling();
      for (let step = steps.next(); step.done !== true; ) {
        const isFlushed = await flushLater(step.value).then(
          () => true,
          () => false,
        );
        // Closed meanwhile, which settled all; the files may be somebody else's by now.
        step = this.connection.open ? steps.next(isFlushed) : steps.return();
      }
    } catch {
      // The database cannot be read. What waits stays where it is, and whoever asks for it next is told.
    } finally {
      this.isSettling = false;
    }
  }

  /** The same at once: before the database is used for the first time, and before it is closed. */
  settleNow(): void {
    const steps = this.settling();
    for (let step = steps.next(); step.done !== true; ) {
      let isFlushed = true;
      try {
        fsyncSync(step.value);
      } catch {
        isFlushed = false;
      }
      step = steps.next(isFlushed);
    }
  }

  /**
   * Writes what waits to its files, yields every descriptor that must be flushed and is told whether it was. What could
   * not be written or flushed stays in the table, where it is safe: a full disk may have room the next time.
   */
  private *settling(): Generator<number, void, boolean> {
    this.owedBytes = 0;
    const tails = this.connection.prepare(TAILS).all() as Tail[];
    const unsettled: string[] = [];
    const folders = new Map<string, string[]>();
    for (const [file, pieces] of Map.groupBy(tails, (tail) => tail.file)) {
      const isSettled = yield* flushing(() => this.rewrite(file, pieces));
      if (!isSettled) unsettled.push(file);
      else if (pieces[0]?.start_bytes === 0) addTo(folders, dirname(join(this.directory, file)), file);
    }
    for (const [folder, files] of folders) {
      const isSettled = yield* flushing(() => openSync(folder, constants.O_RDONLY));
      if (!isSettled) unsettled.push(...files);
    }
    const last = tails.at(-1);
    if (last !== undefined) this.forget(last.id, unsettled);
  }

  /**
   * Write the pieces of a file where they belong. Not only after a crash: a flush that failed earlier, or the system's
   * own, may have dropped what was written, and the next flush would say nothing of it.
   */
  private rewrite(file: string, pieces: readonly Tail[]): number {
    const path = join(this.directory, file);
    const isWhole = pieces[0]?.start_bytes === 0;
    if (isWhole) makeFolder(dirname(path));
    const fd = openSync(path, isWhole ? OPEN | constants.O_CREAT : OPEN, 0o600);
    try {
      for (const { start_bytes: start, bytes } of pieces) {
        if (fstatSync(fd).size < start) throw new Error("a piece before this one is missing");
        writeAll(fd, bytes, start);
      }
      return fd;
    } catch (thrown) {
      closeSync(fd);
      throw thrown;
    }
  }

  private forget(lastId: number, unsettled: readonly string[]): void {
    try {
      this.connection.prepare(FORGET).run(lastId, JSON.stringify(unsettled));
    } catch {
      // It is on disk twice then, which harms nobody; the next round forgets it.
    }
  }
}

function writeAll(fd: number, bytes: Uint8Array, start: number): void {
  let written = 0;
  while (written < bytes.length) {
    written += writeSync(fd, bytes, written, bytes.length - written, start + written);
  }
}

/** Yields what `open` opens, and closes it after it was flushed; returns whether all of that worked. */
function* flushing(open: () => number): Generator<number, boolean, boolean> {
  let fd: number;
  try {
    fd = open();
  } catch {
    return false;
  }
  try {
    return yield fd;
  } finally {
    closeSync(fd);
  }
}

function addTo(lists: Map<string, string[]>, key: string, value: string): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}
