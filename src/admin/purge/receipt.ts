/**
 * The proof that a tenant is gone. Owns: what it says, keeping and listing it. Refuses to know: keys (a signer is handed
 * in), how a tenant goes.
 */
import type { TenantId } from "../../kernel/ids.ts";
import type { Database, Statement } from "../../storage/database.ts";

/** Signs claims as a compact JWS (RFC 7515, EdDSA) whose `typ` is given; the key is in `/.well-known/jwks.json`. */
export interface ReceiptSigner {
  sign(typ: string, claims: Record<string, unknown>): Promise<string>;
}

/** `typ` of a receipt. */
export const RECEIPT_TYPE = "creel-deletion-receipt+jws";

/** What was there when a purge began. */
export interface PurgeFacts {
  slug: string;
  createdAtMs: number;
  /** When the deletion was asked for. */
  requestedAtMs: number | null;
  counts: {
    members: number;
    tokens: number;
    /** From the tenant's own database; null when it could not be read. */
    agents: number | null;
    sessions: number | null;
    files: number;
    sizeBytes: number;
  };
  /** SHA-256 over path and size of every file. */
  filesSha256: string;
  /** Where the tenant's audit chain ended; null when it had none or could not be read. */
  auditHead: { seq: number; hash: string } | null;
}

/** A kept receipt. */
export interface Receipt {
  tenantId: TenantId;
  slug: string;
  deletedAtMs: number;
  /** Compact JWS. */
  signed: string;
}

interface ReceiptRow {
  tenant_id: string;
  slug: string;
  deleted_at_ms: number;
  signed: string;
}

/** What a receipt claims; times are wall-clock milliseconds. */
export function receiptClaims(
  tenantId: TenantId,
  facts: PurgeFacts,
  times: { keyDestroyedAtMs: number; filesRemovedAtMs: number; deletedAtMs: number },
): Record<string, unknown> {
  return {
    sub: tenantId,
    ...facts,
    ...times,
    kept: [
      "daily sums of usage without names",
      "the platform's own audit log",
      "id and slugs, never given again",
    ],
  };
}

/** The statement that keeps a receipt, for the batch that ends the tenant. */
export function receiptStatement(receipt: Receipt): Statement {
  return {
    sql: "INSERT INTO tenant_receipts (tenant_id, slug, deleted_at_ms, signed) VALUES (?, ?, ?, ?)",
    params: [receipt.tenantId, receipt.slug, receipt.deletedAtMs, receipt.signed],
    expect: 1,
  };
}

/** The receipt of a tenant, if it is gone. */
export async function findReceipt(control: Database, tenantId: string): Promise<Receipt | undefined> {
  const row = await control.find<ReceiptRow>("SELECT * FROM tenant_receipts WHERE tenant_id = ?", [tenantId]);
  return row === undefined ? undefined : toReceipt(row);
}

/** Receipts, newest first. */
export async function listReceipts(control: Database, limit: number): Promise<Receipt[]> {
  const rows = await control.list<ReceiptRow>(
    "SELECT * FROM tenant_receipts ORDER BY deleted_at_ms DESC, tenant_id LIMIT ?",
    [limit],
  );
  return rows.map(toReceipt);
}

function toReceipt(row: ReceiptRow): Receipt {
  return {
    tenantId: row.tenant_id as TenantId,
    slug: row.slug,
    deletedAtMs: row.deleted_at_ms,
    signed: row.signed,
  };
}
