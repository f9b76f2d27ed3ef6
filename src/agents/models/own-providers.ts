/**
 * A tenant's own model providers. Owns: keeping them, with their keys sealed.
 * Refuses to know: calling them. A key goes in and is never shown again.
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Vault } from "../../tenancy/vault.ts";
import type { ModelEntry } from "./catalog-entry.ts";

/** A stored provider. */
export interface OwnProvider {
  id: string;
  baseUrl: string;
  models: readonly ModelEntry[];
  hasKey: boolean;
  sealedKey: string | null;
  /** Where it tells what it counted itself; null when it does not. Without a key the model's key is used. */
  usage: { url: string; hasKey: boolean; sealedKey: string | null } | null;
}

/** What an admin sends. Without `apiKey` a stored key stays, unless the address now leads to another host. */
export interface ProviderChange {
  id: string;
  baseUrl: string;
  apiKey?: string | undefined;
  models: readonly ModelEntry[];
  /** As `apiKey`: without `usage` what is stored stays while the address keeps its host, null removes it. */
  usage?: { url: string; apiKey?: string | undefined } | null | undefined;
}

interface ProviderRow {
  id: string;
  base_url: string;
  api_key_sealed: string | null;
  models: string;
  usage_url: string | null;
  usage_key_sealed: string | null;
}

const PROVIDERS_PER_TENANT = 32;
const PROVIDER_ID = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;

/** See the head of this file. */
export class OwnProviders {
  private readonly vault: Vault;
  private readonly clock: Clock;

  constructor(vault: Vault, clock: Clock) {
    this.vault = vault;
    this.clock = clock;
  }

  /** By age, at most 32. */
  async list(scope: TenantScope): Promise<OwnProvider[]> {
    const rows = await scope.db.list<ProviderRow>(
      `SELECT id, base_url, api_key_sealed, models, usage_url, usage_key_sealed FROM model_providers
        ORDER BY created_at_ms, id LIMIT ?`,
      [PROVIDERS_PER_TENANT],
    );
    return rows.map((row) => ({
      id: row.id,
      baseUrl: row.base_url,
      models: JSON.parse(row.models) as ModelEntry[],
      hasKey: row.api_key_sealed !== null,
      sealedKey: row.api_key_sealed,
      usage: usageOf(row),
    }));
  }

  /** The key in the clear, for one call. */
  async openKey(scope: TenantScope, provider: OwnProvider): Promise<string | undefined> {
    if (provider.sealedKey === null) return undefined;
    return this.vault.open(scope, sealName(provider.id), provider.sealedKey);
  }

  /** Where and with which key a provider is asked what it counted; undefined when it does not tell. */
  async findUsage(
    scope: TenantScope,
    id: string,
  ): Promise<{ url: string; apiKey: string | undefined } | undefined> {
    const provider = (await this.list(scope)).find((one) => one.id === id);
    const usage = provider?.usage ?? null;
    // SECURITY: looked at again where it is used: the key goes to the host it was given for, and nowhere else.
    if (provider === undefined || usage === null || originOf(usage.url) !== originOf(provider.baseUrl))
      return undefined;
    const { url, sealedKey } = usage;
    if (sealedKey === null) return { url, apiKey: await this.openKey(scope, provider) };
    return { url, apiKey: await this.vault.open(scope, usageSealName(id), sealedKey) };
  }

  /** Add or replace; throws `invalid_request` or `limit_reached`. */
  async put(scope: TenantScope, change: ProviderChange): Promise<void> {
    checkChange(change);
    const before = (await this.list(scope)).find(({ id }) => id === change.id);
    const sealed = await this.keyToStore(scope, change, before);
    const usage = await this.usageToStore(scope, change, before);
    const nowMs = this.clock.nowMs();
    const outcome = await scope.db.write({
      statements: [
        {
          sql: `INSERT INTO model_providers
              (id, base_url, api_key_sealed, models, created_at_ms, updated_at_ms, usage_url, usage_key_sealed)
            SELECT ?, ?, ?, ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM model_providers WHERE id = ?)
              OR (SELECT count(*) FROM model_providers) < ?
            ON CONFLICT (id) DO UPDATE SET base_url = excluded.base_url, api_key_sealed = excluded.api_key_sealed,
              models = excluded.models, updated_at_ms = excluded.updated_at_ms, usage_url = excluded.usage_url,
              usage_key_sealed = excluded.usage_key_sealed`,
          params: [
            change.id,
            change.baseUrl,
            sealed,
            JSON.stringify(change.models),
            nowMs,
            nowMs,
            usage?.url ?? null,
            usage?.sealedKey ?? null,
            change.id,
            PROVIDERS_PER_TENANT,
          ],
          expect: 1,
        },
      ],
    });
    if (!outcome.committed) {
      throw new AppError("limit_reached", `A tenant may have ${PROVIDERS_PER_TENANT} providers.`);
    }
  }

  /** Forget a provider and its key; false when there was none. */
  async remove(scope: TenantScope, id: string): Promise<boolean> {
    const outcome = await scope.db.write({
      statements: [{ sql: "DELETE FROM model_providers WHERE id = ?", params: [id], expect: 1 }],
    });
    return outcome.committed;
  }

  private async keyToStore(
    scope: TenantScope,
    change: ProviderChange,
    before: OwnProvider | undefined,
  ): Promise<string | null> {
    const given = change.apiKey?.trim();
    if (given !== undefined) return given === "" ? null : this.vault.seal(scope, sealName(change.id), given);
    // SECURITY: a key is only ever sent where its owner meant it to go; a new host needs the key again.
    const isSameHost = before !== undefined && originOf(before.baseUrl) === originOf(change.baseUrl);
    return isSameHost ? before.sealedKey : null;
  }

  private async usageToStore(
    scope: TenantScope,
    { id, baseUrl, usage }: ProviderChange,
    before: OwnProvider | undefined,
  ): Promise<{ url: string; sealedKey: string | null } | null> {
    const isSameHost = before !== undefined && originOf(before.baseUrl) === originOf(baseUrl);
    const kept = isSameHost ? before.usage : null;
    if (usage === null || usage === undefined) return usage === null ? null : kept;
    const given = usage.apiKey?.trim();
    if (given === undefined) return { url: usage.url, sealedKey: kept?.sealedKey ?? null };
    const sealedKey = given === "" ? null : await this.vault.seal(scope, usageSealName(id), given);
    return { url: usage.url, sealedKey };
  }
}

/** Refuse what cannot be stored; throws `invalid_request`. */
export function checkChange(change: ProviderChange): void {
  if (!PROVIDER_ID.test(change.id)) {
    throw new AppError(
      "invalid_request",
      "A provider's id has 1 to 64 characters: a-z, 0-9, dot, dash, underscore.",
    );
  }
  const url = URL.parse(change.baseUrl);
  const isWeb = url?.protocol === "https:" || url?.protocol === "http:";
  if (
    url === null ||
    !isWeb ||
    url.username !== "" ||
    url.password !== "" ||
    url.search !== "" ||
    url.hash !== ""
  ) {
    throw new AppError(
      "invalid_request",
      "The address must look like https://api.example.com/v1, without user name, query or fragment.",
    );
  }
  if (/[\r\n]/.test(`${change.apiKey ?? ""}${change.usage?.apiKey ?? ""}`)) {
    throw new AppError("invalid_request", "The API key must be one line.");
  }
  if (change.usage) checkUsage(change.usage.url, url);
}

/** SECURITY: a tenant's key for a provider is never sent to another host. */
function checkUsage(address: string, base: URL): void {
  const url = URL.parse(address);
  const isSound = url !== null && url.username === "" && url.password === "" && url.hash === "";
  if (isSound && url.origin === base.origin) return;
  throw new AppError(
    "invalid_request",
    "Usage is read from the host of the provider's address, without user name or fragment.",
    { details: { field: "usage.url" } },
  );
}

function usageOf({ usage_url, usage_key_sealed }: ProviderRow): OwnProvider["usage"] {
  if (usage_url === null) return null;
  return { url: usage_url, hasKey: usage_key_sealed !== null, sealedKey: usage_key_sealed };
}

function originOf(address: string): string {
  return URL.parse(address)?.origin ?? "";
}

function sealName(id: string): string {
  return `model-provider/${id}`;
}

function usageSealName(id: string): string {
  return `model-provider-usage/${id}`;
}
