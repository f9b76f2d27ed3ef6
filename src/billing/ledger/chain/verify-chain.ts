/**
 * Whether the chain over ledger lines is whole. Owns: walking the lines, naming the first that is wrong and what it is.
 * Refuses to know: sums, where heads were kept. Reads while others write: what is added meanwhile is looked at too.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Database } from "../../../storage/database.ts";
import { type ChainedLine, HASHED, hashOf, originOf } from "./chain.ts";

/**
 * `altered` a line is not what was written; `missing` lines are gone; `reordered` a line stands where another was; `added`
 * a line was put in by somebody else; `truncated` lines at the end are gone; `head` a head that was kept says otherwise.
 */
export type ChainProblemKind = "altered" | "missing" | "reordered" | "added" | "truncated" | "head";

/** The first thing wrong. */
export interface ChainProblem {
  kind: ChainProblemKind;
  /** The first line concerned, by its number. */
  line: number;
  message: string;
}

/** Where the ledger once stood, kept outside of it. */
export interface Head {
  seq: number;
  /** Lower-case hex. */
  hash: string;
  /** Where and when it was kept, for people. */
  from: string;
}

interface Link {
  seq: number;
  prev: string;
  hash: string;
}

type Place = Pick<Link, "seq" | "hash">;
type Reads = Pick<Database, "find" | "list">;

const PAGE = 500;
/** How far a line is looked for from where it stands, before it counts as altered. */
const REACH = 1_000;
const LINK = "seq, lower(hex(prev_hash)) AS prev, lower(hex(hash)) AS hash";

/** Walk the whole chain; `heads` must agree with it. Null when it is whole. */
export async function verifyChain(db: Reads, heads: readonly Head[]): Promise<ChainProblem | null> {
  // ORDER: before the lines: those up to here must be there, whatever is added while they are read.
  const end = await db.find<Place>("SELECT seq, hash FROM ledger_end");
  const kept = [...heads, ...(end === undefined ? [] : [{ ...end, from: "the ledger's own end" }])];
  const bySeq = Map.groupBy(kept, (head) => head.seq);
  const owner = (await db.find<{ owner: string }>("SELECT owner FROM file_owner"))?.owner ?? "";
  let last: Place = { seq: 0, hash: originOf(owner) };
  for (;;) {
    const { lines, links } = await nextPage(db, last.seq, end?.seq ?? 0);
    for (const seq of [...new Set([...lines.keys(), ...links.keys()])].sort((a, b) => a - b)) {
      const wrong = await faultOf(db, seq, lines.get(seq), links.get(seq), last);
      if (wrong !== null) return wrong;
      const skipped =
        seq > last.seq + 1 ? kept.find((head) => head.seq > last.seq && head.seq < seq) : undefined;
      if (skipped !== undefined)
        return problem("missing", skipped.seq, `${skipped.from} knows line ${skipped.seq}, which is gone.`);
      last = { seq, hash: links.get(seq)!.hash };
      const disagreeing = bySeq.get(seq)?.find((head) => head.hash !== last.hash);
      if (disagreeing !== undefined)
        return problem("head", seq, `${disagreeing.from} has another hash for line ${seq}.`);
    }
    if (lines.size < PAGE) break;
    // A long ledger is read while others are served.
    await nextTurn();
  }
  return endFault(db, kept, last);
}

async function nextPage(db: Reads, after: number, endSeq: number) {
  const rows = await db.list<ChainedLine>(
    `SELECT ${HASHED.join(", ")} FROM ledger_transfers WHERE seq > ? ORDER BY seq LIMIT ?`,
    [after, PAGE],
  );
  const newest = rows.at(-1)?.seq ?? 0;
  const to = rows.length < PAGE ? Math.max(newest, endSeq) : newest;
  const links = await db.list<Link>(
    `SELECT ${LINK} FROM ledger_hashes WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`,
    [after, to, 2 * PAGE],
  );
  return {
    lines: new Map(rows.map((row) => [row.seq, row])),
    links: new Map(links.map((link) => [link.seq, link])),
  };
}

/** What is wrong at a number that should follow `last`, or null. */
async function faultOf(
  db: Reads,
  seq: number,
  line: ChainedLine | undefined,
  link: Link | undefined,
  last: Place,
): Promise<ChainProblem | null> {
  if (line === undefined) return goneFrom(db, seq);
  if (link === undefined)
    return problem("added", seq, `Line ${seq} was put in by another program: it has no hash.`);
  if (hashOf(line, link.prev) !== link.hash) {
    const own = await placeOf(db, line, link);
    if (own === undefined) return problem("altered", seq, `Line ${seq} is not what was written.`);
    return problem("reordered", seq, `Line ${seq} was written as line ${own}.`);
  }
  if (link.prev === last.hash) return null;
  if (seq > last.seq + 1) return problem("missing", last.seq + 1, `${span(last.seq + 1, seq - 1)} gone.`);
  const before = await db.find<{ seq: number }>("SELECT seq FROM ledger_hashes WHERE hash = unhex(?)", [
    link.prev,
  ]);
  const why = before === undefined ? "a line that is not there" : `line ${before.seq}`;
  return problem("reordered", seq, `Line ${seq} was written after ${why}, not after line ${last.seq}.`);
}

/** A hash without its line: one of many, or the beginning of the end. */
async function goneFrom(db: Reads, seq: number): Promise<ChainProblem> {
  const next = await db.find<{ seq: number }>(
    "SELECT seq FROM ledger_transfers WHERE seq > ? ORDER BY seq LIMIT 1",
    [seq],
  );
  if (next !== undefined) return problem("missing", seq, `${span(seq, next.seq - 1)} gone.`);
  const newest = await db.find<{ seq: number }>("SELECT max(seq) AS seq FROM ledger_hashes");
  return problem("truncated", seq, `${span(seq, newest?.seq ?? seq)} gone from the end.`);
}

/** The number under which a line was written, near where it stands: it moved with its hash, or without. */
async function placeOf(db: Reads, line: ChainedLine, link: Link): Promise<number | undefined> {
  for (let distance = 1; distance <= REACH; distance++)
    for (const seq of [line.seq - distance, line.seq + distance])
      if (hashOf(line, link.prev, seq) === link.hash) return seq;
  const near = await db.list<Link>(
    `SELECT ${LINK} FROM ledger_hashes WHERE seq BETWEEN ? AND ? ORDER BY seq`,
    [line.seq - REACH, line.seq + REACH],
  );
  return near.find((other) => hashOf(line, other.prev, other.seq) === other.hash)?.seq;
}

async function endFault(db: Reads, kept: readonly Head[], last: Place): Promise<ChainProblem | null> {
  for (const head of kept) {
    if (head.seq <= last.seq) continue;
    const message = `${head.from} knows ${head.seq} lines; the ledger ends at line ${last.seq}.`;
    return problem("truncated", last.seq + 1, message);
  }
  // It only moves on, so by now it is there where the walk was.
  const end = await db.find<Place>("SELECT seq, hash FROM ledger_end");
  if ((end?.seq ?? 0) >= last.seq) return null;
  return problem(
    "altered",
    last.seq,
    `The ledger's own end says line ${end?.seq ?? 0}; it ends at line ${last.seq}.`,
  );
}

function span(from: number, to: number): string {
  return from === to ? `Line ${from} is` : `Lines ${from} to ${to} are`;
}

function problem(kind: ChainProblemKind, line: number, message: string): ChainProblem {
  return { kind, line, message };
}
