/**
 * Metering. Owns: what one model call or one tool call adds to the tenant's usage, as statements for the batch that
 * stores the message. Refuses to know: when that batch is written, who asks for sums.
 *
 * An event is told apart by (run, step, kind, ordinal): the same statements may be written again after a crash and
 * count once. The roll-ups of the tenant's file follow by trigger (migrations/tenant/0004-usage.sql).
 */
import type { Clock } from "../kernel/clock.ts";
import type { AgentId, RunId, SessionId, SessionKey, UserId } from "../kernel/ids.ts";
import type { Log } from "../kernel/log.ts";
import type { ModelUsage, WireUsage } from "../protocol/message.ts";
import type { SqlValue, Statement } from "../storage/database.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import { Calendars } from "./calendar.ts";
import { type ConfiguredCost, type Cost, costOf, type PriceBook, toCurrency } from "./prices.ts";
import type { Price, ToolPrice } from "./pricing/price.ts";

/** Whose credential the call was made with; only platform keys cost the platform money. */
export type KeyOwner = "tenant" | "platform" | "none";

/** One finished (or failed, or aborted) call of a model. */
export interface ModelUsageInput {
  runId: RunId;
  step: number;
  agentId: AgentId;
  sessionKey: SessionKey;
  sessionId: SessionId;
  userId: UserId;
  channel: string;
  provider: string;
  model: string;
  purpose: "turn" | "compaction";
  /** `inputTokens` does not contain the cached ones. */
  usage: ModelUsage;
  /** Currency per million tokens, from the model's configuration. */
  cost: ConfiguredCost | undefined;
  keyOwner: KeyOwner;
  /** The price that held when the call began; that of `atMs` unless given. */
  price?: Price | undefined;
  atMs: number;
  isError?: boolean | undefined;
  /** Messages of people that this call answers first; by default 1 for the first call of a run, 0 for the others. */
  userMessages?: number | undefined;
}

/** One call of a tool that has its result. */
export interface ToolUsageInput {
  runId: RunId;
  step: number;
  /** Unique among the tool calls of the step, from `FIRST_TOOL_ORDINAL` on; what was held back for it has the same. */
  ordinal: number;
  callId: string;
  toolName: string;
  /** The price that was told when it began, or `UNCHARGED`. */
  price: ToolPrice;
  isError: boolean;
  agentId: AgentId;
  sessionKey: SessionKey;
  sessionId: SessionId;
  userId: UserId;
  channel: string;
  atMs: number;
}

/** What the meter needs. */
export interface UsageMeterDeps {
  prices: PriceBook;
  clock: Clock;
  log: Log;
  /** Told about every tenant that is about to use something; see rollup. */
  noteChange?: ((scope: TenantScope) => void) | undefined;
  /** Told about the tokens of every model call. */
  noteTokens?: ((scope: TenantScope, tokens: number) => void) | undefined;
}

const COLUMNS = `tenant_id, run_id, step, kind, ordinal, purpose, agent_id, session_key, session_id, user_id, channel,
  at_ms, day, provider, model, call_id, tool_name, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
  reasoning_tokens, assistant_messages, is_error, is_exact, is_cost_missing, input_cost_micros, output_cost_micros,
  cache_read_cost_micros, cache_write_cost_micros, cost_micros, price_origin, key_owner, user_messages`;

// The last value: what the caller says, else 1 when no turn of this run was counted before, else 0.
const INSERT = `INSERT INTO usage_events (${COLUMNS})
  VALUES (${Array(33).fill("?").join(", ")}, coalesce(?, NOT EXISTS (
    SELECT 1 FROM usage_events WHERE run_id = ? AND purpose = 'turn')))
  ON CONFLICT (run_id, step, kind, ordinal) DO NOTHING`;

/** More tokens than any model takes in one call; what is above is a provider's mistake. */
const MOST_TOKENS = 100_000_000;
/** Instants further ahead than this are a caller's mistake. */
const MOST_AHEAD_MS = 24 * 3_600_000;
const NAME_CHARS = 200;

/** See the head of this file. */
export class UsageMeter {
  private readonly deps: UsageMeterDeps;
  private readonly calendars = new Calendars();

  constructor(deps: UsageMeterDeps) {
    this.deps = deps;
  }

  /** The price of a call that begins now; a call ends on it, whatever prices are set meanwhile. */
  priceNow(
    scope: TenantScope,
    call: Pick<ModelUsageInput, "provider" | "model" | "cost" | "keyOwner">,
  ): Price {
    const { provider, model, cost, keyOwner } = call;
    const { tenantId } = scope;
    const atMs = this.deps.clock.nowMs();
    return this.deps.prices.priceOf({ provider, model, cost, keyOwner, atMs, tenantId });
  }

  /**
   * Meter a model call. The statements go into the same batch as the message they belong to.
   * Absurd counts (negative, fractional, not a number, huge) are clamped, and the event is then not called exact.
   */
  modelCall(
    scope: TenantScope,
    input: ModelUsageInput,
  ): { statements: Statement[]; costMicros: number; wire: WireUsage } {
    const usage = this.soundUsage(scope, input);
    const atMs = this.soundTime(input.atMs);
    const price = input.price ?? this.deps.prices.priceOf({ ...input, atMs, tenantId: scope.tenantId });
    const cost = costOf(usage, price);
    const counts = [usage.inputTokens, usage.outputTokens, usage.cacheReadTokens, usage.cacheWriteTokens];
    const thought = usage.reasoningTokens ?? 0;
    const params: SqlValue[] = [
      ...this.where(scope, { ...input, atMs }, "model", input.purpose === "turn" ? 0 : 1, input.purpose),
      ...[name(input.provider), name(input.model), "", "", ...counts, thought],
      input.purpose === "turn" ? 1 : 0,
      ...[flag(input.isError === true), flag(usage.isExact), flag(price.origin === "unknown")],
      ...[cost.input, cost.output, cost.cacheRead, cost.cacheWrite, cost.total, price.origin, input.keyOwner],
      input.purpose === "turn" ? (input.userMessages === undefined ? null : tokens(input.userMessages)) : 0,
      input.runId,
    ];
    this.deps.noteChange?.(scope);
    this.deps.noteTokens?.(
      scope,
      counts.reduce((sum, count) => sum + count, 0),
    );
    return { statements: [{ sql: INSERT, params }], costMicros: cost.total, wire: wireOf(usage, cost) };
  }

  /** What a call of a tool that begins now costs; nothing is read for it. */
  toolPrice(scope: TenantScope, toolName: string): ToolPrice {
    return this.deps.prices.toolPriceOf(scope.tenantId, toolName, this.deps.clock.nowMs());
  }

  /** Meter a tool call. The statements go into the same batch as the tool's result. */
  toolCall(scope: TenantScope, input: ToolUsageInput): { statements: Statement[] } {
    const atMs = this.soundTime(input.atMs);
    const { micros, origin } = input.price;
    const params: SqlValue[] = [
      ...this.where(scope, { ...input, atMs }, "tool", input.ordinal, "tool"),
      ...["", "", name(input.callId), name(input.toolName), 0, 0, 0, 0, 0],
      // A call's price stands with the input: the parts must add up to the whole, and a tool has no other part.
      ...[0, flag(input.isError), 1, 0, micros, 0, 0, 0, micros, origin, micros > 0 ? "platform" : "none"],
      ...[0, input.runId],
    ];
    this.deps.noteChange?.(scope);
    return { statements: [{ sql: INSERT, params }] };
  }

  private where(
    scope: TenantScope,
    input: Pick<
      ToolUsageInput,
      "runId" | "step" | "agentId" | "sessionKey" | "sessionId" | "userId" | "channel" | "atMs"
    >,
    kind: "model" | "tool",
    ordinal: number,
    purpose: string,
  ): SqlValue[] {
    const day = this.calendars.of(scope.tenant.timeZone).dayOf(input.atMs);
    return [
      ...[scope.tenantId, input.runId, input.step, kind, ordinal, purpose],
      ...[
        input.agentId,
        input.sessionKey,
        input.sessionId,
        input.userId,
        name(input.channel),
        input.atMs,
        day,
      ],
    ];
  }

  private soundUsage(scope: TenantScope, input: ModelUsageInput): ModelUsage {
    const { usage } = input;
    const sound: ModelUsage = {
      inputTokens: tokens(usage.inputTokens),
      outputTokens: tokens(usage.outputTokens),
      cacheReadTokens: tokens(usage.cacheReadTokens),
      cacheWriteTokens: tokens(usage.cacheWriteTokens),
      ...(usage.reasoningTokens === undefined
        ? {}
        : { reasoningTokens: Math.min(tokens(usage.reasoningTokens), tokens(usage.outputTokens)) }),
      isExact: usage.isExact === true,
    };
    const isAltered =
      sound.inputTokens !== usage.inputTokens ||
      sound.outputTokens !== usage.outputTokens ||
      sound.cacheReadTokens !== usage.cacheReadTokens ||
      sound.cacheWriteTokens !== usage.cacheWriteTokens ||
      sound.reasoningTokens !== usage.reasoningTokens;
    if (!isAltered) return sound;
    const { provider, model, runId } = input;
    this.deps.log.warn({ tenantId: scope.tenantId, provider, model, runId }, "absurd usage was clamped");
    return { ...sound, isExact: false };
  }

  private soundTime(atMs: number): number {
    const nowMs = this.deps.clock.nowMs();
    return Number.isInteger(atMs) && atMs >= 0 && atMs <= nowMs + MOST_AHEAD_MS ? atMs : Math.floor(nowMs);
  }
}

/** Usage as clients read it. */
function wireOf(usage: ModelUsage, cost: Cost): WireUsage {
  return {
    input: usage.inputTokens,
    output: usage.outputTokens,
    totalTokens: usage.inputTokens + usage.outputTokens + usage.cacheReadTokens + usage.cacheWriteTokens,
    cacheRead: usage.cacheReadTokens,
    cacheWrite: usage.cacheWriteTokens,
    cost: {
      input: toCurrency(cost.input),
      output: toCurrency(cost.output),
      cacheRead: toCurrency(cost.cacheRead),
      cacheWrite: toCurrency(cost.cacheWrite),
      total: toCurrency(cost.total),
    },
  };
}

function tokens(count: unknown): number {
  if (typeof count !== "number" || Number.isNaN(count) || count <= 0) return 0;
  return Math.min(Math.ceil(count), MOST_TOKENS);
}

/** Names come from providers and models; a bound keeps one event from filling the disk. */
function name(text: string): string {
  return text.slice(0, NAME_CHARS);
}

function flag(isSet: boolean): number {
  return isSet ? 1 : 0;
}
