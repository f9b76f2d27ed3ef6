/**
 * The end of a tenant whose deletion was not taken back. Owns: the order of the steps, and that each can be done again:
 * killed anywhere, the next run goes on where this one was. Refuses to know: who asked, when it is due is in the row.
 *
 * ORDER: what was there is written down -> the key is destroyed, and with it every sealed secret at once -> handles are
 * released and the files removed, a mark in their place -> one commit forgets every row, keeps the receipt and ends the
 * tenant. Until that commit the tenant is `deleting` and answers nobody.
 */
import { auditRecord, auditStatement, PLATFORM } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database } from "../../storage/database.ts";
import { type Actor, SYSTEM } from "../../tenancy/actor.ts";
import { runInContext } from "../../tenancy/context.ts";
import type { TenantDoor, TenantScope } from "../../tenancy/scoped.ts";
import type { Tenant } from "../../tenancy/tenant.ts";
import type { Tenants } from "../../tenancy/tenants.ts";
import type { Vault } from "../../tenancy/vault.ts";
import { forgetTenantStatements } from "./forget-tenant.ts";
import {
  findReceipt,
  type PurgeFacts,
  RECEIPT_TYPE,
  type Receipt,
  type ReceiptSigner,
  receiptClaims,
  receiptStatement,
} from "./receipt.ts";

/** Steps of a purge, in order. */
export type PurgeStep = "begun" | "key_destroyed" | "files_removed" | "rows_removed";

/** What a purge needs. */
export interface TenantPurgeDeps {
  control: Database;
  tenants: Tenants;
  door: TenantDoor;
  vault: Vault;
  signer: ReceiptSigner;
  clock: Clock;
  log: Log;
  /** Bring what must outlive the tenant out of its database: usage not yet billed, audit records on their way. */
  settle(scope: TenantScope): Promise<void>;
  /** Fold the log of control.db into the file, so that removed rows are in neither. */
  foldControl(): Promise<void>;
  /** A step is done and on disk. */
  onStep?(tenantId: TenantId, step: PurgeStep): Promise<void>;
}

interface PurgeRow {
  facts: string;
  key_destroyed_at_ms: number | null;
  files_removed_at_ms: number | null;
}

const DUE_AT_ONCE = 100;

/** See the head of this file. */
export class TenantPurge {
  private readonly deps: TenantPurgeDeps;

  constructor(deps: TenantPurgeDeps) {
    this.deps = deps;
  }

  /** Do all purges that are due; one that fails is logged and tried again the next time. Returns the receipts. */
  async purgeDue(by: Actor = SYSTEM): Promise<Receipt[]> {
    const due = await this.deps.control.list<{ id: string }>(
      `SELECT id FROM tenants WHERE status = 'deleting' AND (purge_began_at_ms IS NOT NULL OR delete_after_ms <= ?)
        ORDER BY delete_after_ms LIMIT ?`,
      [this.deps.clock.nowMs(), DUE_AT_ONCE],
    );
    const receipts: Receipt[] = [];
    for (const { id } of due) {
      try {
        receipts.push(await this.purge(id as TenantId, by));
      } catch (error) {
        this.deps.log.error({ err: error, tenantId: id }, "a tenant could not be purged; it is tried again");
      }
    }
    return receipts;
  }

  /** Remove folders of tenants that are gone: they can only be back from a backup. Returns how many there were. */
  async removeReturned(): Promise<number> {
    let removed = 0;
    for (const id of await this.deps.door.listFolders()) {
      if ((await findReceipt(this.deps.control, id)) === undefined) continue;
      this.deps.log.warn(
        { tenantId: id },
        "files of a tenant that is gone were back; they are removed again",
      );
      await this.deps.door.remove({ id });
      removed++;
    }
    return removed;
  }

  /**
   * Purge one tenant, or go on with it. Throws `conflict` while the deletion can still be taken back, `not_found`. The
   * answer for a tenant that is gone is its receipt.
   */
  async purge(id: TenantId, by: Actor = SYSTEM): Promise<Receipt> {
    const gone = await findReceipt(this.deps.control, id);
    if (gone !== undefined) return gone;
    const tenant = await this.deps.tenants.getById(id);
    const scope = this.deps.door.scope(tenant);
    const row = (await this.findPurge(id)) ?? (await this.begin(tenant, scope));
    await this.deps.vault.destroyKey(scope);
    await this.mark(id, "key_destroyed");
    await this.deps.door.remove(tenant);
    await this.mark(id, "files_removed");
    return this.finish(tenant, JSON.parse(row.facts) as PurgeFacts, by);
  }

  private async begin(tenant: Tenant, scope: TenantScope): Promise<PurgeRow> {
    const { control, clock } = this.deps;
    const nowMs = clock.nowMs();
    if (tenant.status !== "deleting" || tenant.deleteAfterMs === null || tenant.deleteAfterMs > nowMs) {
      throw new AppError("conflict", "This tenant is not due for removal.");
    }
    // A tenant that was never used has no database, and looking would make one.
    const isUsed = (await this.deps.door.databaseSizeBytes(tenant)) > 0;
    if (isUsed) await this.attempt(scope, () => this.deps.settle(scope), undefined);
    const facts = JSON.stringify(await this.survey(tenant, scope, isUsed));
    await control.write({
      statements: [
        {
          // SECURITY: from here on nothing is taken back; a restore in the same moment wins or loses here.
          sql: `UPDATE tenants SET purge_began_at_ms = ? WHERE id = ? AND status = 'deleting' AND delete_after_ms <= ?
            AND purge_began_at_ms IS NULL`,
          params: [nowMs, tenant.id, nowMs],
          expect: 1,
        },
        {
          sql: "INSERT INTO tenant_purges (tenant_id, facts) VALUES (?, ?) ON CONFLICT DO NOTHING",
          params: [tenant.id, facts],
        },
      ],
    });
    // Refused: it was restored, or another process began, and what that one wrote down counts.
    const row = await this.findPurge(tenant.id);
    if (row === undefined) throw new AppError("conflict", "This tenant is not due for removal.");
    await this.deps.onStep?.(tenant.id, "begun");
    return row;
  }

  private async survey(tenant: Tenant, scope: TenantScope, isUsed: boolean): Promise<PurgeFacts> {
    const { control, door } = this.deps;
    const { files, sizeBytes, sha256 } = await door.survey(tenant);
    const known = await control.find<{ members: number; tokens: number; since_ms: number | null }>(
      `SELECT (SELECT count(*) FROM members WHERE tenant_id = t.id) AS members,
        (SELECT count(*) FROM api_tokens WHERE tenant_id = t.id) AS tokens, t.status_since_ms AS since_ms
        FROM tenants t WHERE t.id = ?`,
      [tenant.id],
    );
    const inside = isUsed
      ? await this.attempt(
          scope,
          () =>
            scope.db.find<{ agents: number; sessions: number; seq: number | null; hash: string | null }>(
              `SELECT (SELECT count(*) FROM agents) AS agents, (SELECT count(*) FROM sessions) AS sessions,
                (SELECT seq FROM audit_end) AS seq, (SELECT hash FROM audit_end) AS hash`,
            ),
          undefined,
        )
      : undefined;
    return {
      slug: tenant.slug,
      createdAtMs: tenant.createdAtMs,
      requestedAtMs: known?.since_ms ?? null,
      counts: {
        members: known?.members ?? 0,
        tokens: known?.tokens ?? 0,
        agents: inside?.agents ?? null,
        sessions: inside?.sessions ?? null,
        files,
        sizeBytes,
      },
      filesSha256: sha256,
      auditHead: inside?.seq && inside.hash ? { seq: inside.seq, hash: inside.hash } : null,
    };
  }

  /** Try something inside the tenant; what is damaged must not keep a tenant from being deleted. */
  private async attempt<T>(scope: TenantScope, work: () => Promise<T>, otherwise: T): Promise<T> {
    try {
      return await runInContext({ tenantId: scope.tenantId, principal: null, requestId: "purge" }, work);
    } catch (error) {
      this.deps.log.warn(
        { err: error, tenantId: scope.tenantId },
        "a tenant that is purged could not be read",
      );
      return otherwise;
    }
  }

  private async mark(id: TenantId, step: "key_destroyed" | "files_removed"): Promise<void> {
    const column = step === "key_destroyed" ? "key_destroyed_at_ms" : "files_removed_at_ms";
    await this.deps.control.write({
      statements: [
        {
          sql: `UPDATE tenant_purges SET ${column} = coalesce(${column}, ?) WHERE tenant_id = ?`,
          params: [this.deps.clock.nowMs(), id],
        },
      ],
    });
    await this.deps.onStep?.(id, step);
  }

  private async finish(tenant: Tenant, facts: PurgeFacts, by: Actor): Promise<Receipt> {
    const { control, clock, signer } = this.deps;
    const { id, slug } = tenant;
    const row = await this.findPurge(id);
    const deletedAtMs = clock.nowMs();
    const times = {
      keyDestroyedAtMs: row?.key_destroyed_at_ms ?? deletedAtMs,
      filesRemovedAtMs: row?.files_removed_at_ms ?? deletedAtMs,
      deletedAtMs,
    };
    const signed = await signer.sign(RECEIPT_TYPE, receiptClaims(id, facts, times));
    const receipt: Receipt = { tenantId: id, slug, deletedAtMs, signed };
    const target = { kind: "tenant", id, name: slug };
    const outcome = await control.write({
      statements: [
        ...(await forgetTenantStatements(control, id)),
        { sql: "DELETE FROM tenants WHERE id = ? AND status = 'deleting'", params: [id], expect: 1 },
        {
          sql: "INSERT INTO old_slugs (slug, tenant_id, retired_at_ms) VALUES (?, ?, ?)",
          params: [slug, id, deletedAtMs],
        },
        receiptStatement(receipt),
        auditStatement(PLATFORM, auditRecord(deletedAtMs, by, "tenant.deleted", target, { ...facts.counts })),
      ],
    });
    // Refused: another process finished first, with a receipt of its own.
    const kept = outcome.committed ? receipt : await findReceipt(control, id);
    if (kept === undefined) throw new AppError("internal", "The rows of a tenant could not be removed.");
    await this.deps.foldControl();
    await this.deps.onStep?.(id, "rows_removed");
    return kept;
  }

  private findPurge(id: TenantId): Promise<PurgeRow | undefined> {
    return this.deps.control.find<PurgeRow>(
      "SELECT facts, key_destroyed_at_ms, files_removed_at_ms FROM tenant_purges WHERE tenant_id = ?",
      [id],
    );
  }
}
