/**
 * Asking again where that may help. Owns: how often and after how long.
 * Refuses to know: the provider. After the first piece of an answer nothing is ever asked again.
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { isRetryable } from "./failure.ts";
import type { ModelEvent, ModelProvider, ModelRequest } from "./model.ts";

/** Knobs; `random` gives 0 to 1. */
export interface RetryOptions {
  clock: Clock;
  random: () => number;
  /** First pause; doubles. 500 unless said. */
  pauseMs?: number;
}

const RETRIES = 2;
/** A provider that wants us to wait longer than this gets no second try: a person is waiting. */
const LONGEST_PAUSE_MS = 8_000;

/** A provider that tries again, at most twice. */
export class RetryingModel implements ModelProvider {
  private readonly inner: ModelProvider;
  private readonly options: RetryOptions;

  constructor(inner: ModelProvider, options: RetryOptions) {
    this.inner = inner;
    this.options = options;
  }

  async *stream(request: ModelRequest): AsyncGenerator<ModelEvent> {
    for (let attempt = 0; ; attempt++) {
      let hasStarted = false;
      try {
        for await (const event of this.inner.stream(request)) {
          hasStarted = true;
          yield event;
        }
        return;
      } catch (thrown) {
        const pauseMs = this.pauseBefore(attempt, thrown);
        if (hasStarted || pauseMs === undefined || request.signal.aborted) throw thrown;
        // A stop while nothing is open: the refusal is what came of the call.
        if (!(await this.wait(pauseMs, request.signal))) throw thrown;
      }
    }
  }

  private pauseBefore(attempt: number, thrown: unknown): number | undefined {
    if (attempt >= RETRIES || !(thrown instanceof AppError) || !isRetryable(thrown)) return undefined;
    const backoffMs = (this.options.pauseMs ?? 500) * 2 ** attempt * (0.5 + this.options.random());
    const pauseMs = Math.max(backoffMs, thrown.retryAfterMs ?? 0);
    return pauseMs > LONGEST_PAUSE_MS ? undefined : pauseMs;
  }

  /** Whether the pause passed without a stop. */
  private wait(pauseMs: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const onAbort = () => {
        timer.cancel();
        resolve(false);
      };
      const timer = this.options.clock.after(pauseMs, () => {
        signal.removeEventListener("abort", onAbort);
        resolve(true);
      });
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }
}
