#!/usr/bin/env node
/**
 * Checks an exported audit log without Creel, without a network and without any package: one file, Node 20 or newer.
 * Owns: reading the export, its hashes, signed heads. Refuses to know: the gateway it came from.
 * The format is written down in docs/audit.md; this is a second, independent reading of it.
 */
import { createHash, createPublicKey, verify } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

const HELP = `Check an audit log that was exported as JSON lines.

  node verify-audit.mjs EXPORT.jsonl [--heads FILE] [--jwks FILE] [--expect SEQ:HASH] [--json]

  --heads FILE       signed heads you kept: the answer of /api/audit/heads, or one signed head per line
  --jwks FILE        the gateway's public keys, from /.well-known/jwks.json; keep a copy of your own
  --expect SEQ:HASH  a row number and its hash that you wrote down before
  --json             print one JSON value

Exit codes: 0 sound, 1 something is wrong (the first wrong row is named), 2 called wrongly.
A log that lost its last rows can only be told from a shorter one by what you kept: give --heads or --expect.`;

const FORMAT = "creel.audit.1";
const HEAD_TYPE = "creel-audit-head+jws";
const HASHED = [
  ...["seq", "id", "at_ms", "action", "outcome", "actor_kind", "actor_id", "actor_name", "actor_role"],
  ...["credential_kind", "credential_id", "address", "request_id", "target_kind", "target_id", "target_name"],
  ...["details", "prev_hash"],
];
/** How far from its place a row is looked for before it counts as altered. */
const REACH = 1000;

const sha256 = (value) => createHash("sha256").update(JSON.stringify(value), "utf8").digest("hex");
const originOf = (chain) => sha256([FORMAT, chain]);
const hashOf = (row, seq = row.seq) =>
  sha256([FORMAT, ...HASHED.map((column) => (column === "seq" ? seq : row[column]))]);

/** What is wrong; thrown at the first. */
class Problem extends Error {
  constructor(seq, kind, message) {
    super(message);
    Object.assign(this, { seq, kind });
  }
}

/** A mistake in the call. */
class Misuse extends Error {}

/** The state of one pass over the file. */
class Pass {
  chain = "";
  isWhole = true;
  checked = 0;
  last = { seq: 0, hash: "" };
  /** Hashes of the rows in `wanted`. */
  seen = new Map();
  end = null;
  /** A gap, until it is known whether its rows come later. */
  gap = null;
  /** Numbers of the rows that heads and expectations speak of. */
  wanted = new Set();

  line(text, number) {
    if (text.trim() === "") return;
    let value;
    try {
      value = JSON.parse(text);
    } catch {
      throw new Problem(this.last.seq + 1, "altered", `Line ${number} is no JSON.`);
    }
    // Whatever a reader could take for more than was hashed: other keys, the same key twice, other spelling.
    if (JSON.stringify(value) !== text)
      throw new Problem(this.last.seq + 1, "altered", `Line ${number} is not as an export writes it.`);
    if (number === 1) this.head(value);
    else if (this.end !== null)
      throw new Problem(this.last.seq, "altered", `Line ${number} comes after the end.`);
    else if (value.end === true) this.end = value;
    else this.row(value);
  }

  head(value) {
    if (value.format !== FORMAT || typeof value.chain !== "string")
      throw new Misuse(
        `The file does not begin with {"format":"${FORMAT}", …}: it is no export of an audit log.`,
      );
    this.chain = value.chain;
    this.isWhole = value.whole === true;
    this.last.hash = originOf(value.chain);
  }

  row(row) {
    if (Object.keys(row).join() !== [...HASHED, "hash"].join())
      throw new Problem(
        this.last.seq + 1,
        "altered",
        `Row ${this.last.seq + 1} has other fields than a row has.`,
      );
    if (this.gap !== null) {
      if (row.seq === this.gap.expected) throw this.gap.moved;
      return;
    }
    this.checked++;
    if (hashOf(row) !== row.hash) throw misplaced(row);
    const expected = this.last.seq + 1;
    if (row.seq < expected)
      throw new Problem(row.seq, "reordered", `Row ${row.seq} stands after row ${this.last.seq}.`);
    if (row.seq > expected && this.isWhole) {
      const moved = new Problem(row.seq, "reordered", `Row ${row.seq} stands before row ${expected}.`);
      const rows = row.seq === expected + 1 ? `Row ${expected} is` : `Rows ${expected} to ${row.seq - 1} are`;
      this.gap = { expected, moved, gone: new Problem(expected, "missing", `${rows} gone.`) };
      return;
    }
    if (row.seq === expected && row.prev_hash !== this.last.hash && (this.isWhole || expected > 1)) {
      const follows = `Row ${row.seq} was not written after row ${this.last.seq} as it stands here.`;
      throw new Problem(row.seq, "reordered", follows);
    }
    this.last = { seq: row.seq, hash: row.hash };
    if (this.wanted.has(row.seq)) this.seen.set(row.seq, row.hash);
  }

  finish() {
    const { end, last } = this;
    if (this.gap !== null) throw this.gap.gone;
    const next = last.seq + 1;
    if (end === null)
      throw new Problem(next, "truncated", "The file has no last line: it was cut on the way.");
    if (end.rows > this.checked || end.seq > last.seq) {
      const message = `The file should end at row ${end.seq} after ${end.rows} rows; it ends at row ${last.seq}.`;
      throw new Problem(next, "truncated", message);
    }
    const isSame =
      end.rows === this.checked && end.seq === last.seq && (end.rows === 0 || end.hash === last.hash);
    if (!isSame) throw new Problem(last.seq, "altered", "The last line does not fit the rows before it.");
  }

  /** Compare with something that was known before. */
  compare(what, seq, hash) {
    if (seq > this.last.seq) {
      const message = `${what} knows ${seq} rows; the file ends at row ${this.last.seq}.`;
      if (this.isWhole) throw new Problem(this.last.seq + 1, "truncated", message);
      return false;
    }
    const found = this.seen.get(seq);
    if (found === undefined && !this.isWhole) return false;
    if (found !== hash) throw new Problem(seq, "head", `${what} has another hash for row ${seq}.`);
    return true;
  }
}

/** What to call a row whose hash is wrong where it stands. */
function misplaced(row) {
  for (let distance = 1; distance <= REACH; distance++) {
    for (const seq of [row.seq - distance, row.seq + distance]) {
      if (hashOf(row, seq) === row.hash)
        return new Problem(row.seq, "reordered", `Row ${row.seq} was written as row ${seq}.`);
    }
  }
  return new Problem(row.seq, "altered", `Row ${row.seq} is not what was written.`);
}

/** Signed heads in a file: JSON with `heads`, or one per line. */
function readHeads(path) {
  const text = readFileSync(path, "utf8").trim();
  if (!text.startsWith("{")) return text.split(/\s+/);
  return (JSON.parse(text).heads ?? []).map((head) => head.signed);
}

/** The claims of a signed head; with keys, its signature is checked (JWS, RFC 7515; EdDSA, RFC 8037). */
function openHead(signed, keys) {
  const parts = signed.split(".");
  if (parts.length !== 3) throw new Misuse("A head has three parts with dots between them.");
  const [header, claims] = parts
    .slice(0, 2)
    .map((part) => JSON.parse(Buffer.from(part, "base64url").toString()));
  if (keys === null) return claims;
  const jwk = keys.find((key) => key.kid === header.kid);
  const fault = (why) => new Problem(claims.seq, "head", `The head of ${claims.day} ${why}.`);
  if (jwk === undefined) throw fault("is signed with a key that is not among those given");
  const isRecordKey = jwk.purpose === undefined || jwk.purpose === "record";
  if (header.typ !== HEAD_TYPE || header.alg !== "EdDSA" || jwk.crv !== "Ed25519" || !isRecordKey)
    throw fault("is not what a gateway signs as a head");
  const key = createPublicKey({ key: { kty: jwk.kty, crv: jwk.crv, x: jwk.x }, format: "jwk" });
  const isGood = verify(
    null,
    Buffer.from(`${parts[0]}.${parts[1]}`),
    key,
    Buffer.from(parts[2], "base64url"),
  );
  if (!isGood) throw fault("has a signature that is not good");
  return claims;
}

function readExpectation(text) {
  const [, seq, hash] = /^(\d+):([0-9a-f]{64})$/.exec(text) ?? [];
  if (hash === undefined) throw new Misuse("--expect takes a row number, a colon and 64 hex digits.");
  return { what: "What you expect", seq: Number(seq), hash };
}

/** What was kept from before: what each says, and the row and hash it names. */
function readKept(flags, keys) {
  const heads = flags.heads === undefined ? [] : readHeads(flags.heads).map((head) => openHead(head, keys));
  const kept = heads.map(({ chain, day, seq, hash }) => ({ what: `The head of ${day}`, chain, seq, hash }));
  return flags.expect === undefined ? kept : [...kept, readExpectation(flags.expect)];
}

/** Read the file once; returns how many of the things kept were compared. */
async function walk(file, pass, kept) {
  let number = 0;
  const lines = createInterface({
    input: createReadStream(file, "utf8"),
    crlfDelay: Number.POSITIVE_INFINITY,
  });
  for await (const line of lines) pass.line(line, ++number);
  if (number === 0) throw new Misuse("The file is empty.");
  const foreign = kept.find(({ chain = pass.chain }) => chain !== pass.chain);
  if (foreign !== undefined)
    throw new Problem(foreign.seq, "head", `${foreign.what} is of another log, ${foreign.chain}.`);
  pass.finish();
  return kept.filter(({ what, seq, hash }) => pass.compare(what, seq, hash)).length;
}

async function check(file, flags) {
  const keys = flags.jwks === undefined ? null : JSON.parse(readFileSync(flags.jwks, "utf8")).keys;
  const pass = new Pass();
  let problem = null;
  let compared = 0;
  try {
    const kept = readKept(flags, keys);
    pass.wanted = new Set(kept.map(({ seq }) => seq));
    compared = await walk(file, pass, kept);
  } catch (thrown) {
    if (!(thrown instanceof Problem)) throw thrown;
    problem = { seq: thrown.seq, kind: thrown.kind, message: thrown.message };
  }
  const { chain, isWhole: whole, checked, last } = pass;
  const signatures = flags.heads === undefined ? "none" : keys === null ? "not checked" : "good";
  return { ok: problem === null, chain, whole, checked, last, compared, signatures, problem };
}

function describe(result) {
  if (result.problem !== null)
    return [`NOT SOUND (${result.problem.kind}) at row ${result.problem.seq}: ${result.problem.message}`];
  const lines = [`Sound: ${result.checked} rows, the last is ${result.last.seq}:${result.last.hash}`];
  if (!result.whole)
    lines.push("The export is filtered: each row is sound, rows between them are not here to be seen.");
  if (result.compared === 0)
    lines.push("Nothing kept from before was given: a log that lost its last rows would look the same.");
  if (result.signatures === "not checked") lines.push("Signatures of heads were not checked: give --jwks.");
  return lines;
}

async function main() {
  const { values: flags, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      ...{ heads: { type: "string" }, jwks: { type: "string" }, expect: { type: "string" } },
      ...{ json: { type: "boolean" }, help: { type: "boolean", short: "h" } },
    },
  });
  if (flags.help === true) {
    console.log(HELP);
    return 0;
  }
  if (positionals.length !== 1) throw new Misuse("Name one exported file; see --help.");
  const result = await check(positionals[0], flags);
  console.log(flags.json === true ? JSON.stringify(result) : describe(result).join("\n"));
  return result.ok ? 0 : 1;
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (thrown) => {
    console.error(`verify-audit: ${thrown.message}`);
    process.exitCode = 2;
  },
);
