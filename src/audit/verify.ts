/**
 * Whether a stored chain is whole. Owns: walking the rows, naming the first thing that is wrong and what it is.
 * Refuses to know: whose chain it is, who asks. The same is done without Creel by src/audit/verify-audit.mjs.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Database } from "../storage/database.ts";
import { type AuditRow, COLUMNS, hashOf, originOf } from "./chain.ts";

/**
 * `altered` a row is not what was written; `missing` rows are gone; `reordered` a row stands where another was;
 * `truncated` rows at the end are gone; `head` a signed head says something else.
 */
export type ProblemKind = "altered" | "missing" | "reordered" | "truncated" | "head";

/** The first thing wrong. */
export interface Problem {
  /** The first row concerned. */
  seq: number;
  kind: ProblemKind;
  message: string;
}

/** What was found. */
export interface Verdict {
  ok: boolean;
  /** Rows looked at. */
  checked: number;
  /** The last row that was sound; null when there is none. */
  end: { seq: number; hash: string } | null;
  problem: Problem | null;
}

/** What a signed head says, after its signature was checked. */
export interface HeadClaims {
  chain: string;
  day: string;
  seq: number;
  hash: string;
}

/** Reads a signed head; throws, or undefined, when the signature is not ours. */
export type HeadReader = (signed: string) => Promise<HeadClaims | undefined>;

interface HeadRow {
  day: string;
  seq: number;
  hash: string;
  signed: string;
}

const PAGE = 500;
/** How far a row is looked for from where it stands, before it counts as altered. */
const REACH = 1_000;

/** Walk the chain named `chain` in `db`; `readHead` checks signatures of heads, without it only their numbers are. */
export async function verifyChain(db: Database, chain: string, readHead?: HeadReader): Promise<Verdict> {
  const heads = await db.list<HeadRow>("SELECT * FROM audit_heads ORDER BY seq, day LIMIT 100000");
  const bySeq = Map.groupBy(heads, (head) => head.seq);
  let checked = 0;
  let last = { seq: 0, hash: originOf(chain) };
  const verdict = (problem: Problem | null): Verdict => {
    return { ok: problem === null, checked, end: last.seq === 0 ? null : last, problem };
  };
  for (;;) {
    const rows = await nextRows(db, last.seq);
    for (const row of rows) {
      checked++;
      const problem = (await faultOf(db, row, last)) ?? disagreement(row, bySeq.get(row.seq) ?? []);
      if (problem !== null) return verdict(problem);
      last = { seq: row.seq, hash: row.hash };
    }
    if (rows.length < PAGE) break;
    // A long chain is read while others are served.
    await nextTurn();
  }
  return verdict((await endFault(db, last)) ?? (await headFault(chain, heads, last, readHead)));
}

function nextRows(db: Database, after: number): Promise<AuditRow[]> {
  return db.list<AuditRow>(`SELECT ${COLUMNS.join(", ")} FROM audit_log WHERE seq > ? ORDER BY seq LIMIT ?`, [
    after,
    PAGE,
  ]);
}

/** What is wrong with a row that should follow `last`, or null. */
async function faultOf(
  db: Database,
  row: AuditRow,
  last: { seq: number; hash: string },
): Promise<Problem | null> {
  const expected = last.seq + 1;
  if (hashOf(row) !== row.hash) {
    const own = placeOf(row);
    if (own === undefined) return problem(row.seq, "altered", `Row ${row.seq} is not what was written.`);
    return problem(row.seq, "reordered", `Row ${row.seq} was written as row ${own}.`);
  }
  if (row.seq !== expected) {
    const gone = row.seq === expected + 1 ? `Row ${expected} is` : `Rows ${expected} to ${row.seq - 1} are`;
    return problem(expected, "missing", `${gone} gone.`);
  }
  if (row.prev_hash === last.hash) return null;
  const before = await db.find<{ seq: number }>("SELECT seq FROM audit_log WHERE hash = ?", [row.prev_hash]);
  const why = before === undefined ? "a row that is not there" : `row ${before.seq}`;
  return problem(row.seq, "reordered", `Row ${row.seq} was written after ${why}, not after row ${last.seq}.`);
}

/** The number under which the row's hash is right, near where it stands. */
function placeOf(row: AuditRow): number | undefined {
  for (let distance = 1; distance <= REACH; distance++) {
    if (hashOf(row, row.seq - distance) === row.hash) return row.seq - distance;
    if (hashOf(row, row.seq + distance) === row.hash) return row.seq + distance;
  }
  return undefined;
}

function disagreement(row: AuditRow, heads: readonly HeadRow[]): Problem | null {
  const head = heads.find((one) => one.hash !== row.hash);
  if (head === undefined) return null;
  return problem(row.seq, "head", `The head of ${head.day} has another hash for row ${row.seq}.`);
}

async function endFault(db: Database, last: { seq: number; hash: string }): Promise<Problem | null> {
  const end = await db.find<{ seq: number; hash: string }>("SELECT seq, hash FROM audit_end");
  const seq = end?.seq ?? 0;
  if (seq > last.seq) {
    return problem(last.seq + 1, "truncated", `The log ended at row ${seq}; it now ends at row ${last.seq}.`);
  }
  if (seq === last.seq && (seq === 0 || end?.hash === last.hash)) return null;
  return problem(last.seq, "altered", `The log should end at row ${seq}; it ends at row ${last.seq}.`);
}

async function headFault(
  chain: string,
  heads: readonly HeadRow[],
  last: { seq: number },
  readHead: HeadReader | undefined,
): Promise<Problem | null> {
  for (const head of heads) {
    if (head.seq > last.seq) {
      const message = `The head of ${head.day} knows ${head.seq} rows; the log ends at row ${last.seq}.`;
      return problem(last.seq + 1, "truncated", message);
    }
    if (readHead === undefined) continue;
    const said = await readHead(head.signed).catch(() => undefined);
    const agrees =
      said?.chain === chain && said.day === head.day && said.seq === head.seq && said.hash === head.hash;
    if (!agrees) return problem(head.seq, "head", `The head of ${head.day} is not what this gateway signed.`);
  }
  return null;
}

function problem(seq: number, kind: ProblemKind, message: string): Problem {
  return { seq, kind, message };
}
