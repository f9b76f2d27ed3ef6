/**
 * Tokens of tenants whose plan limits them, in windows of a minute. Owns: counting, how long a tenant must wait.
 * Refuses to know: plans, what is done with the answer.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";

const WINDOW_MS = 60_000;
/** Windows kept before those that are over are swept out. */
const SWEEP_AT = 1_000;

/** See the head of this file. */
export class TokenPace {
  private readonly clock: Clock;
  private readonly windows = new Map<TenantId, { endMs: number; tokens: number }>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Count tokens that a model call used. */
  note(tenantId: TenantId, tokens: number): void {
    const nowMs = this.clock.monotonicMs();
    const window = this.windows.get(tenantId);
    if (window !== undefined && window.endMs > nowMs) {
      window.tokens += tokens;
      return;
    }
    if (this.windows.size >= SWEEP_AT) this.sweep(nowMs);
    this.windows.set(tenantId, { endMs: nowMs + WINDOW_MS, tokens });
  }

  /** Milliseconds until the tenant may use tokens again; 0 for at once. */
  waitMs(tenantId: TenantId, tokensPerMinute: number): number {
    const window = this.windows.get(tenantId);
    const leftMs = window === undefined ? 0 : window.endMs - this.clock.monotonicMs();
    return window === undefined || leftMs <= 0 || window.tokens < tokensPerMinute ? 0 : Math.ceil(leftMs);
  }

  private sweep(nowMs: number): void {
    for (const [tenantId, { endMs }] of this.windows) if (endMs <= nowMs) this.windows.delete(tenantId);
  }
}
