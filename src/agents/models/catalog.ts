/**
 * Which models a tenant may use. Owns: the operator's models, the tenant's own, the built-in one, and choosing.
 * Refuses to know: conversations, quotas.
 *
 * SECURITY: a provider is one of the three and brings its own address and its own key, together. Nothing is ever filled
 * in from another provider, another tenant or the environment.
 */

import type { Clock } from "../../kernel/clock.ts";
import type { Egress, EgressPolicy } from "../../kernel/egress.ts";
import { AppError } from "../../kernel/errors.ts";
import { fetchBoundedJson } from "../../kernel/json.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { KeyOwner } from "../turn/contract.ts";
import type { ModelEntry, PlatformModels, PlatformProvider } from "./catalog-entry.ts";
import { DemoModel } from "./model.demo.ts";
import { OpenAiCompatibleModel } from "./model.openai-compatible.ts";
import type { ModelCost, ModelProvider } from "./model.ts";
import type { OwnProvider, OwnProviders } from "./own-providers.ts";
import { RetryingModel } from "./retry.ts";

/** The built-in model. */
export const DEMO_REF = "demo/demo";
const DEMO_PROVIDER = "demo";
const DEMO_ENTRY: ModelEntry = {
  id: "demo",
  name: "Demo (built in, not a real AI)",
  contextWindow: 32_000,
  maxTokens: 2_000,
};

/** Assumed where the configuration is silent. */
const DEFAULT_CONTEXT_WINDOW = 128_000;
const DEFAULT_MAX_TOKENS = 8_192;

/** Why a model cannot be used now; null when it can. */
export type Unavailable = "missing-auth" | null;

/** A model in a list. */
export interface ListedModel {
  ref: string;
  provider: string;
  id: string;
  name: string;
  contextWindow: number;
  maxTokens: number;
  reasoning: boolean;
  cost: ModelCost | undefined;
  keyOwner: KeyOwner;
  unavailable: Unavailable;
  isDefault: boolean;
}

/** A model ready to be asked. */
export interface ResolvedModel extends Omit<ListedModel, "unavailable" | "isDefault"> {
  takesImages: boolean;
  model: ModelProvider;
}

/** What the catalog is built from. */
export interface CatalogDeps {
  platform: PlatformModels;
  own: OwnProviders;
  egress: Pick<Egress, "fetchFor" | "isOperatorHost">;
  clock: Clock;
  /** Replaced in tests. */
  demoPieceDelayMs?: number;
  random?: () => number;
  retryPauseMs?: number;
  deadlines?: Pick<EgressPolicy, "connectMs" | "idleMs" | "totalMs">;
}

/** See the head of this file. */
export class ModelCatalog {
  private readonly deps: CatalogDeps;
  /** Endpoints of the operator's providers, by id. They hold no tenant's anything; tenants' own are made per run. */
  private readonly platformEndpoints = new Map<string, ModelProvider>();

  constructor(deps: CatalogDeps) {
    this.deps = deps;
  }

  /** Every model of the tenant, the default one marked. */
  async list(scope: TenantScope, agentModel: string | null = null): Promise<ListedModel[]> {
    const own = await this.visibleOwn(scope);
    const listed = [
      ...Object.entries(this.deps.platform.providers).flatMap(([provider, entry]) =>
        entry.models.map((model) =>
          describe(provider, model, "platform", needsKey(entry.baseUrl, entry.apiKey)),
        ),
      ),
      ...own.flatMap((entry) =>
        entry.models.map((model) =>
          describe(entry.id, model, "tenant", needsKey(entry.baseUrl, entry.hasKey ? "set" : undefined)),
        ),
      ),
      describe(DEMO_PROVIDER, DEMO_ENTRY, "none", false),
    ];
    const chosen = agentModel ?? this.defaultRef(own);
    return listed.map((model) => ({ ...model, isDefault: model.ref === chosen }));
  }

  /**
   * The model to ask: the one named, else the agent's, else the operator's primary, else the tenant's first own, else
   * the demo. Throws `not_configured` with words that say what to do.
   */
  async resolve(
    scope: TenantScope,
    ref: string | undefined,
    agentModel: string | null = null,
  ): Promise<ResolvedModel> {
    const own = await this.visibleOwn(scope);
    const wanted = ref ?? agentModel ?? this.defaultRef(own);
    const slash = wanted.indexOf("/");
    const provider = wanted.slice(0, Math.max(0, slash));
    const modelId = wanted.slice(slash + 1);
    if (wanted === DEMO_REF) return this.demo();
    const platform = this.platformProvider(provider);
    if (platform !== undefined) return this.fromPlatform(provider, platform, modelId);
    const mine = own.find((entry) => entry.id === provider);
    const entry = mine?.models.find((model) => model.id === modelId);
    if (mine === undefined || entry === undefined) throw unknownModel(wanted);
    return this.fromOwn(scope, mine, entry);
  }

  /** The reference used where nothing else is said. */
  async defaultFor(scope: TenantScope): Promise<string> {
    return this.defaultRef(await this.visibleOwn(scope));
  }

  /** Whether a tenant's provider may have this id. */
  isReserved(id: string): boolean {
    return id === DEMO_PROVIDER || this.platformProvider(id) !== undefined;
  }

  /** SECURITY: refuse to send a key over the open internet in the clear. */
  checkAddress(baseUrl: string, apiKey: string | undefined): void {
    const url = URL.parse(baseUrl);
    if (isBlank(apiKey) || url?.protocol !== "http:" || this.deps.egress.isOperatorHost(url.hostname)) return;
    throw new AppError("invalid_request", "An address with a key must begin with https://.");
  }

  /** What the operator offers, without addresses and keys. */
  platformOffers(): { id: string; models: readonly ModelEntry[] }[] {
    return Object.entries(this.deps.platform.providers).map(([id, { models }]) => ({ id, models }));
  }

  private platformProvider(id: string): PlatformProvider | undefined {
    const { providers } = this.deps.platform;
    return Object.hasOwn(providers, id) ? providers[id] : undefined;
  }

  /** A tenant's provider whose id the operator took later is hidden: the same name must not change its owner unseen. */
  private async visibleOwn(scope: TenantScope): Promise<OwnProvider[]> {
    return (await this.deps.own.list(scope)).filter((entry) => !this.isReserved(entry.id));
  }

  private defaultRef(own: readonly OwnProvider[]): string {
    const first = own.find((entry) => entry.models.length > 0);
    return (
      this.deps.platform.primary ?? (first === undefined ? DEMO_REF : `${first.id}/${first.models[0]!.id}`)
    );
  }

  private demo(): ResolvedModel {
    const model = new DemoModel({
      clock: this.deps.clock,
      ...(this.deps.demoPieceDelayMs === undefined ? {} : { pieceDelayMs: this.deps.demoPieceDelayMs }),
    });
    return { ...ready(DEMO_PROVIDER, DEMO_ENTRY, "none"), model };
  }

  private fromPlatform(id: string, provider: PlatformProvider, modelId: string): ResolvedModel {
    const entry = provider.models.find((model) => model.id === modelId);
    if (entry === undefined) throw unknownModel(`${id}/${modelId}`);
    if (provider.api !== undefined && provider.api !== "openai-completions") {
      throw new AppError(
        "not_configured",
        `${id}: this kind of provider is not supported. Choose another model.`,
      );
    }
    if (needsKey(provider.baseUrl, provider.apiKey)) {
      throw new AppError(
        "not_configured",
        `${id} has no key yet. Ask the operator of this service to set one, or choose another model.`,
      );
    }
    return { ...ready(id, entry, "platform"), model: this.platformEndpoint(id, provider) };
  }

  private platformEndpoint(id: string, provider: PlatformProvider): ModelProvider {
    let endpoint = this.platformEndpoints.get(id);
    if (endpoint === undefined) {
      const host = URL.parse(provider.baseUrl)?.hostname ?? "";
      const policy = { allowPrivate: true, operatorHosts: [host.replace(/^\[|\]$/g, "")] };
      endpoint = this.connect(id, provider.baseUrl, provider.apiKey, "platform", policy);
      this.platformEndpoints.set(id, endpoint);
    }
    return endpoint;
  }

  private async fromOwn(
    scope: TenantScope,
    provider: OwnProvider,
    entry: ModelEntry,
  ): Promise<ResolvedModel> {
    const apiKey = await this.deps.own.openKey(scope, provider);
    if (needsKey(provider.baseUrl, apiKey)) {
      throw new AppError(
        "not_configured",
        `${provider.id} has no API key. An admin can add one in Settings → Models.`,
      );
    }
    const model = this.connect(provider.id, provider.baseUrl, apiKey, "tenant", { allowPrivate: true });
    return { ...ready(provider.id, entry, "tenant"), model };
  }

  private connect(
    providerId: string,
    baseUrl: string,
    apiKey: string | undefined,
    keyOwner: "tenant" | "platform",
    rights: Pick<EgressPolicy, "allowPrivate" | "operatorHosts">,
  ): ModelProvider {
    const { egress, clock, deadlines, random, retryPauseMs } = this.deps;
    const guarded = egress.fetchFor({ ...rights, ...deadlines, redirects: 0, maxBytes: 64 * 1024 * 1024 });
    const model = new OpenAiCompatibleModel({
      providerId,
      baseUrl,
      apiKey: isBlank(apiKey) ? undefined : apiKey,
      keyOwner,
      fetch: fetchBoundedJson(guarded),
    });
    return new RetryingModel(model, {
      clock,
      random: random ?? Math.random,
      ...(retryPauseMs === undefined ? {} : { pauseMs: retryPauseMs }),
    });
  }
}

function isBlank(key: string | undefined): boolean {
  return key === undefined || key.trim() === "";
}

/** Public providers (https) want a key; a plain-http endpoint is one's own machine, as with Ollama. */
function needsKey(baseUrl: string, apiKey: string | undefined): boolean {
  return isBlank(apiKey) && URL.parse(baseUrl)?.protocol !== "http:";
}

function ready(provider: string, entry: ModelEntry, keyOwner: KeyOwner) {
  const { unavailable: _, isDefault: __, ...rest } = describe(provider, entry, keyOwner, false);
  return { ...rest, takesImages: entry.input?.includes("image") === true };
}

function describe(provider: string, entry: ModelEntry, keyOwner: KeyOwner, lacksKey: boolean): ListedModel {
  return {
    ref: `${provider}/${entry.id}`,
    provider,
    id: entry.id,
    name: entry.name ?? entry.id,
    contextWindow: entry.contextWindow ?? DEFAULT_CONTEXT_WINDOW,
    maxTokens: entry.maxTokens ?? DEFAULT_MAX_TOKENS,
    reasoning: entry.reasoning === true,
    cost: entry.cost,
    keyOwner,
    unavailable: lacksKey ? "missing-auth" : null,
    isDefault: false,
  };
}

function unknownModel(ref: string): AppError {
  return new AppError(
    "not_configured",
    `There is no model "${ref.slice(0, 200)}" here. Choose another one, or add its provider in Settings → Models.`,
  );
}
