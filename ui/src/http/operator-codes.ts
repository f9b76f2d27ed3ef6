/** Redemption codes on the operators' surface over HTTP. Owns: those shapes. Refuses to know: redeeming. */
import { requestJson } from "./request.ts";

/** Codes that were made together; the codes themselves can be read nowhere. */
export interface CodeBatch {
  /** Null for old ones, which cannot be voided. */
  id: string | null;
  madeAtMs: number;
  madeBy: string;
  madeByName: string | null;
  amountMicros: number;
  currency: string;
  expiresAtMs: number | null;
  made: number;
  redeemed: number;
  isExpired: boolean;
  redemptions: { tenantId: string; slug: string | null; name: string | null; atMs: number }[];
}

const PATH = "/operator/api/codes";

/** All batches, the newest first, and the currency of new ones. */
export function listCodes(): Promise<{ currency: string; batches: CodeBatch[]; isCut: boolean }> {
  return requestJson("GET", PATH);
}

/** Ends those of a batch that nobody redeemed. */
export async function voidCodes(batch: string): Promise<number> {
  return (await requestJson<{ voided: number }>("DELETE", `${PATH}/${encodeURIComponent(batch)}`)).voided;
}

/** Makes codes, once per key; the answer is the only place where they are. */
export async function makeCodes(wish: {
  count: number;
  amountMicros: number;
  currency: string;
  expiresAtMs?: number;
  idempotencyKey: string;
}): Promise<string[]> {
  return (await requestJson<{ codes: string[] }>("POST", PATH, wish)).codes;
}
