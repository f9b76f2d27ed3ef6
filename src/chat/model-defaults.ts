/**
 * Which model a tenant's sessions use by default, remembered for a moment. Owns: that memory, keyed by tenant.
 * Refuses to know: how the default is chosen. Every event that shows a session asks; the answer changes once a month.
 */
import type { ModelCatalog } from "../agents/models/catalog.ts";
import type { Clock } from "../kernel/clock.ts";
import type { TenantId } from "../kernel/ids.ts";
import type { ModelDefaults } from "../sessions/session.ts";
import type { TenantScope } from "../tenancy/scoped.ts";

/** How long an answer is reused. */
const FRESH_MS = 2_000;
/** Tenants remembered. */
const REMEMBERED = 512;

/** See the head of this file. */
export class DefaultModels {
  private readonly models: ModelCatalog;
  private readonly clock: Clock;
  private readonly known = new Map<TenantId, { atMs: number; defaults: ModelDefaults }>();

  constructor(models: ModelCatalog, clock: Clock) {
    this.models = models;
    this.clock = clock;
  }

  async of(scope: TenantScope): Promise<ModelDefaults> {
    const nowMs = this.clock.monotonicMs();
    const known = this.known.get(scope.tenantId);
    if (known !== undefined && nowMs - known.atMs < FRESH_MS) return known.defaults;
    const listed = await this.models.list(scope);
    const chosen = listed.find((model) => model.isDefault) ?? listed.at(-1);
    const ref = chosen?.ref ?? "demo/demo";
    const slash = ref.indexOf("/");
    const defaults = {
      modelProvider: ref.slice(0, slash),
      model: ref.slice(slash + 1),
      contextTokens: chosen?.contextWindow ?? 32_000,
    };
    this.known.delete(scope.tenantId);
    this.known.set(scope.tenantId, { atMs: nowMs, defaults });
    for (const oldest of this.known.keys()) {
      if (this.known.size <= REMEMBERED) break;
      this.known.delete(oldest);
    }
    return defaults;
  }
}
