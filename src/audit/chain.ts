/**
 * The chain: how a record becomes a row, a row a hash, and a hash the next row's beginning. Owns: columns, the encoding
 * (docs/audit.md), the one statement that appends. Refuses to know: who appends, who reads.
 *
 * Hash of a row = SHA-256 over the UTF-8 of a JSON array (RFC 8785: no spaces, JSON.stringify's escapes) of the column
 * values in the order of HASHED, headed by FORMAT. The first row follows ORIGIN: the hash of FORMAT and the chain's name
 * (the tenant's id), so that no row can be carried over from another tenant's log.
 */
import { sha256Hex } from "../kernel/crypto.ts";
import type { Statement } from "../storage/database.ts";
import type { AuditOutcome, AuditRecord } from "./record.ts";

/** Names the encoding; another encoding would get another number. */
export const FORMAT = "creel.audit.1";

/** A row of `audit_log`. */
export interface AuditRow {
  seq: number;
  id: string;
  at_ms: number;
  action: string;
  outcome: AuditOutcome;
  actor_kind: string;
  actor_id: string;
  actor_name: string;
  actor_role: string | null;
  credential_kind: string | null;
  credential_id: string | null;
  address: string | null;
  request_id: string | null;
  target_kind: string | null;
  target_id: string | null;
  target_name: string | null;
  /** JSON text, hashed as it stands. */
  details: string;
  prev_hash: string;
  hash: string;
}

/** Columns of a record, as they are bound. */
const RECORDED = [
  "id",
  "at_ms",
  "action",
  "outcome",
  "actor_kind",
  "actor_id",
  "actor_name",
  "actor_role",
  "credential_kind",
  "credential_id",
  "address",
  "request_id",
  "target_kind",
  "target_id",
  "target_name",
  "details",
] as const;

/** What a hash is made over, after FORMAT, in this order. */
export const HASHED = ["seq", ...RECORDED, "prev_hash"] as const;

/** All columns. */
export const COLUMNS = [...HASHED, "hash"] as const;

/** Longest texts of a row, in characters; longer ones are cut. Details longer than this are kept as a cut text. */
const NAME_CHARS = 200;
const ID_CHARS = 300;
const DETAILS_CHARS = 8_000;

/** The hash that the first row of a chain follows. */
export function originOf(chain: string): string {
  return sha256Hex(JSON.stringify([FORMAT, chain]));
}

/** The hash that a row should have; `seq` lets a row be tried at another place. */
export function hashOf(row: AuditRow, seq: number = row.seq): string {
  const values = HASHED.map((column) => (column === "seq" ? seq : row[column]));
  return sha256Hex(JSON.stringify([FORMAT, ...values]));
}

const RECORD = RECORDED.map((column) => `? AS ${column}`).join(", ");
const VALUES = ["next.seq", ...RECORDED.map((column) => `record.${column}`), "next.prev"].join(", ");

// The end is asked for, not the last row: when rows were taken off the end, the gap stays to be seen.
const APPEND = `INSERT INTO audit_log (${COLUMNS.join(", ")})
  SELECT ${VALUES}, sha256_json('${FORMAT}', ${VALUES})
  FROM (SELECT ${RECORD}) AS record,
    (SELECT coalesce((SELECT seq FROM audit_end), 0) + 1 AS seq,
      coalesce((SELECT hash FROM audit_end), sha256_json('${FORMAT}', (SELECT owner FROM file_owner))) AS prev) AS next
  WHERE NOT EXISTS (SELECT 1 FROM audit_log WHERE id = record.id)`;

/** The statement that appends a record, in the tenant's database or in control.db; twice counts once. */
export function appendStatement(record: AuditRecord): Statement {
  const { actor, target } = record;
  return {
    sql: APPEND,
    params: [
      ...[cut(record.id, ID_CHARS), Math.trunc(record.atMs), cut(record.action, ID_CHARS), record.outcome],
      ...[actor.kind, cut(actor.id, ID_CHARS), cut(actor.name, NAME_CHARS), actor.role ?? null],
      actor.credential?.kind ?? null,
      maybeCut(actor.credential?.id, ID_CHARS),
      maybeCut(actor.address, NAME_CHARS),
      maybeCut(actor.requestId, NAME_CHARS),
      maybeCut(target?.kind, NAME_CHARS),
      maybeCut(target?.id, ID_CHARS),
      maybeCut(target?.name, NAME_CHARS),
      detailsText(record.details),
    ],
  };
}

/** Details as JSON with sorted keys; what is too long is kept as the beginning of its text. */
function detailsText(details: Readonly<Record<string, unknown>>): string {
  const text = JSON.stringify(sorted(details)).toWellFormed();
  if (text.length <= DETAILS_CHARS) return text;
  return JSON.stringify({ cut: true, text: cut(text, DETAILS_CHARS / 2) });
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}

/** SECURITY: half a character would be stored as another one than was hashed. */
function cut(text: string, chars: number): string {
  return (text.length > chars ? `${text.slice(0, chars - 1)}…` : text).toWellFormed();
}

function maybeCut(text: string | null | undefined, chars: number): string | null {
  return text === null || text === undefined ? null : cut(text, chars);
}
