/**
 * Tokens of tenants whose plan limits them, in windows of a minute. Owns: counting, how long a tenant must wait.
 * Refuses to know: plans, what is done with the answer.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";

const WINDOW_MS = 60_000;
/** Windows kept before those that are over are swept out. */
const SWEEP_AT = 1_000;

interface Window {
  endMs: number;
  tokens: number;
  /** Of accepted messages that no call has used yet. */
  expected: number;
}

/** See the head of this file. */
export class TokenPace {
  private readonly clock: Clock;
  private readonly windows = new Map<TenantId, Window>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Count tokens that a model call used; those that were expected are among them. */
  note(tenantId: TenantId, tokens: number): void {
    const window = this.window(tenantId);
    window.tokens += tokens;
    window.expected = Math.max(0, window.expected - tokens);
  }

  /** Count tokens that an accepted message will use at least. */
  expect(tenantId: TenantId, tokens: number): void {
    this.window(tenantId).expected += tokens;
  }

  /** Milliseconds until the tenant may use tokens again; 0 for at once. */
  waitMs(tenantId: TenantId, tokensPerMinute: number): number {
    const window = this.windows.get(tenantId);
    if (window === undefined || window.tokens + window.expected < tokensPerMinute) return 0;
    return Math.max(0, Math.ceil(window.endMs - this.clock.monotonicMs()));
  }

  private window(tenantId: TenantId): Window {
    const nowMs = this.clock.monotonicMs();
    const known = this.windows.get(tenantId);
    if (known !== undefined && known.endMs > nowMs) return known;
    if (this.windows.size >= SWEEP_AT) this.sweep(nowMs);
    const window = { endMs: nowMs + WINDOW_MS, tokens: 0, expected: 0 };
    this.windows.set(tenantId, window);
    return window;
  }

  private sweep(nowMs: number): void {
    for (const [tenantId, { endMs }] of this.windows) if (endMs <= nowMs) this.windows.delete(tenantId);
  }
}
