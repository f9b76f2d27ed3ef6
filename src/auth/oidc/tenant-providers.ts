/**
 * The sign-in provider that a tenant brings itself, at most one each. Owns: keeping it, its secret sealed in the
 * tenant's vault, its unguessable binding. Refuses to know: protocols.
 *
 * SECURITY: whoever runs such a provider can call anybody anything. So it has a realm of its own: its people exist for
 * this tenant only, whatever issuer, subject or address it claims (see migrations/control/0007-identities.sql).
 */
import { auditRecord, auditStatement } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { newSecret, type TenantId } from "../../kernel/ids.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { Actor } from "../../tenancy/actor.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Role } from "../../tenancy/scopes.ts";
import type { Vault } from "../../tenancy/vault.ts";

/** The picture beside a provider's name. */
export type ProviderIcon = "github" | "google" | "wechat" | "key" | "building";

/** Roles that a provider's people may get without being invited. */
export type DefaultRole = Exclude<Role, "owner">;

/** A tenant's own provider, without its secret. */
export interface TenantProvider {
  /** Unguessable; stands for the provider in every address. */
  bindingId: string;
  tenantId: TenantId;
  issuer: string;
  clientId: string;
  label: string;
  icon: ProviderIcon;
  /** What somebody becomes at their first sign-in; null: they must be invited. */
  defaultRole: DefaultRole | null;
  sealedSecret: string;
}

/** What an owner sends. Without `clientSecret` the stored one stays, unless it would go to another issuer. */
export interface TenantProviderChange {
  issuer: string;
  clientId: string;
  clientSecret?: string | undefined;
  label: string;
  icon: ProviderIcon;
  defaultRole: DefaultRole | null;
}

interface ProviderRow {
  binding_id: string;
  tenant_id: string;
  issuer: string;
  client_id: string;
  sealed_secret: string;
  label: string;
  icon: string;
  default_role: string | null;
}

const SEAL_NAME = "sign-in-provider";
const SECRET_CHARS = 16;

/** See the head of this file. */
export class TenantProviders {
  private readonly control: Database;
  private readonly vault: Vault;
  private readonly clock: Clock;

  constructor(control: Database, vault: Vault, clock: Clock) {
    this.control = control;
    this.vault = vault;
    this.clock = clock;
  }

  async findOf(tenantId: TenantId): Promise<TenantProvider | undefined> {
    const row = await this.control.find<ProviderRow>(
      "SELECT * FROM own_sign_in_providers WHERE tenant_id = ?",
      [tenantId],
    );
    return row === undefined ? undefined : toProvider(row);
  }

  async findByBinding(bindingId: string): Promise<TenantProvider | undefined> {
    const row = await this.control.find<ProviderRow>(
      "SELECT * FROM own_sign_in_providers WHERE binding_id = ?",
      [bindingId],
    );
    return row === undefined ? undefined : toProvider(row);
  }

  /** The secret in the clear, for one call. Throws `tenant_unavailable` when it cannot be opened. */
  openSecret(scope: TenantScope, provider: TenantProvider): Promise<string> {
    return this.vault.open(scope, SEAL_NAME, provider.sealedSecret);
  }

  /**
   * Set or replace the tenant's provider. Throws `invalid_request` for a missing or short secret. When it now leads
   * elsewhere, browsers that signed in through the former one are signed out.
   */
  async put(scope: TenantScope, change: TenantProviderChange, by: Actor): Promise<TenantProvider> {
    const { tenantId } = scope;
    const before = await this.findOf(tenantId);
    const isSame = before?.issuer === change.issuer && before.clientId === change.clientId;
    const sealed = await this.secretToStore(scope, change, before);
    const bindingId = before?.bindingId ?? newSecret(24);
    const nowMs = this.clock.nowMs();
    const { issuer, clientId, label, icon, defaultRole } = change;
    await this.control.write({
      statements: [
        {
          sql: `INSERT INTO own_sign_in_providers
              (binding_id, tenant_id, issuer, client_id, sealed_secret, label, icon, default_role, created_at_ms, updated_at_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (tenant_id) DO UPDATE SET issuer = excluded.issuer, client_id = excluded.client_id,
              sealed_secret = excluded.sealed_secret, label = excluded.label, icon = excluded.icon,
              default_role = excluded.default_role, updated_at_ms = excluded.updated_at_ms`,
          params: [bindingId, tenantId, issuer, clientId, sealed, label, icon, defaultRole, nowMs, nowMs],
          expect: 1,
        },
        ...(before === undefined || isSame ? [] : [endSessions(before.bindingId, nowMs)]),
        this.record(tenantId, by, "provider.changed", { issuer, clientId, label, defaultRole }),
      ],
    });
    const stored = await this.findOf(tenantId);
    if (stored === undefined) throw new AppError("conflict", "The provider was removed meanwhile.");
    return stored;
  }

  /** Forget the tenant's provider and sign out whoever came through it; throws `not_found` when there is none. */
  async remove(scope: TenantScope, by: Actor): Promise<void> {
    const before = await this.findOf(scope.tenantId);
    const outcome = await this.control.write({
      statements: [
        {
          sql: "DELETE FROM own_sign_in_providers WHERE tenant_id = ?",
          params: [scope.tenantId],
          expect: 1,
        },
        endSessions(before?.bindingId ?? "", this.clock.nowMs()),
        this.record(scope.tenantId, by, "provider.removed", { issuer: before?.issuer ?? null }),
      ],
    });
    if (!outcome.committed)
      throw new AppError("not_found", "This tenant has no sign-in provider of its own.");
  }

  private async secretToStore(
    scope: TenantScope,
    change: TenantProviderChange,
    before: TenantProvider | undefined,
  ): Promise<string> {
    const given = change.clientSecret?.trim();
    // SECURITY: a secret is only ever sent to the issuer it was given for.
    if (given === undefined && before?.issuer === change.issuer) return before.sealedSecret;
    if (given === undefined || given.length < SECRET_CHARS) {
      throw new AppError(
        "invalid_request",
        `A client secret of at least ${SECRET_CHARS} characters is needed.`,
      );
    }
    return this.vault.seal(scope, SEAL_NAME, given);
  }

  private record(
    tenantId: TenantId,
    by: Actor,
    action: string,
    details: Readonly<Record<string, unknown>>,
  ): Statement {
    const target = { kind: "sign_in_provider", id: tenantId };
    return auditStatement(tenantId, auditRecord(this.clock.nowMs(), by, action, target, details));
  }
}

function endSessions(bindingId: string, nowMs: number): Statement {
  return {
    sql: "UPDATE browser_sessions SET revoked_at_ms = ? WHERE provider = ? AND revoked_at_ms IS NULL",
    params: [nowMs, bindingId],
  };
}

function toProvider(row: ProviderRow): TenantProvider {
  return {
    bindingId: row.binding_id,
    tenantId: row.tenant_id as TenantId,
    issuer: row.issuer,
    clientId: row.client_id,
    label: row.label,
    icon: row.icon as ProviderIcon,
    defaultRole: row.default_role as DefaultRole | null,
    sealedSecret: row.sealed_secret,
  };
}
