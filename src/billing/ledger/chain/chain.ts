/**
 * The chain over ledger lines: how a line becomes a hash. Owns: the encoding, the same as the trigger's in
 * migrations/tenant/0009-ledger-chain.sql. Refuses to know: what is wrong with a chain (verify-chain does).
 *
 * Hash of a line = SHA-256 over the UTF-8 of a JSON array (RFC 8785: no spaces, JSON.stringify's escapes) of FORMAT, the
 * columns in the order of HASHED, and the hash of the line before. The first line follows the origin: the hash of FORMAT
 * and the file's owner (the tenant's id), so that no line can be carried over from another tenant's ledger.
 */
import { sha256Hex } from "../../../kernel/crypto.ts";

/** Names the encoding; another encoding would get another number. */
export const FORMAT = "creel.ledger.1";

/** Columns a hash is made over, in this order, before the hash of the line before. */
export const HASHED = [
  ...([
    "seq",
    "source",
    "source_id",
    "ordinal",
    "kind",
    "from_account",
    "to_account",
    "amount_micros",
  ] as const),
  ...(["at_ms", "period", "run_id", "user_id", "agent_id", "key_id", "linked_to", "details"] as const),
] as const;

/** A row of `ledger_transfers`, as far as it is hashed. */
export type ChainedLine = { seq: number } & Record<(typeof HASHED)[number], string | number | null>;

/** The hash that the first line of a ledger follows. */
export function originOf(owner: string): string {
  return sha256Hex(JSON.stringify([FORMAT, owner]));
}

/** The hash that a line should have after another; `seq` lets it be tried at another place. */
export function hashOf(line: ChainedLine, prev: string, seq: number = line.seq): string {
  const values = HASHED.map((column) => (column === "seq" ? seq : line[column]));
  return sha256Hex(JSON.stringify([FORMAT, ...values, prev]));
}
