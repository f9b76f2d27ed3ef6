import { describe, expect, it } from "vitest";
import type { Clock } from "../../kernel/clock.ts";
import type { AppError } from "../../kernel/errors.ts";
import { modelFailure } from "./failure.ts";
import type { ModelEvent, ModelFailure, ModelProvider, ModelRequest } from "./model.ts";
import { RetryingModel } from "./retry.ts";

const FACTS = { provider: "p", model: "m", keyOwner: "tenant" } as const;
const DONE: ModelEvent = { type: "finish", stopReason: "stop", usage: null };

/** Fails as told, in order, then answers; keeps the pauses asked of the clock. */
function world(failures: (AppError | "after-a-piece")[]) {
  const pauses: number[] = [];
  let calls = 0;
  const inner: ModelProvider = {
    async *stream() {
      const failure = failures[calls++];
      if (failure === "after-a-piece") yield { type: "text", delta: "x" };
      if (failure !== undefined) throw failure === "after-a-piece" ? fault("overloaded") : failure;
      yield DONE;
    },
  };
  const clock = {
    after: (delayMs: number, run: () => void) => {
      pauses.push(delayMs);
      queueMicrotask(run);
      return { cancel: () => undefined };
    },
  } as unknown as Clock;
  const model = new RetryingModel(inner, { clock, random: () => 0.5 });
  return { model, pauses, calls: () => calls };
}

function fault(failure: ModelFailure, retryAfterMs?: number): AppError {
  return modelFailure({ ...FACTS, failure, retryAfterMs });
}

async function ask(model: ModelProvider, signal = new AbortController().signal): Promise<ModelEvent[]> {
  const events: ModelEvent[] = [];
  for await (const event of model.stream({ signal } as ModelRequest)) events.push(event);
  return events;
}

describe("asking again", () => {
  it("happens twice at most, with growing pauses", async () => {
    const { model, pauses } = world([fault("overloaded"), fault("unreachable")]);
    expect(await ask(model)).toEqual([DONE]);
    expect(pauses).toEqual([500, 1_000]);
    const hopeless = world([fault("overloaded"), fault("overloaded"), fault("overloaded")]);
    await expect(ask(hopeless.model)).rejects.toMatchObject({ code: "provider_failed" });
    expect(hopeless.calls()).toBe(3);
  });

  it.each([
    "auth",
    "billing",
    "timeout",
    "format",
    "context_overflow",
    "not_found",
    "interrupted",
    "unknown",
  ] as const)("does not happen after %s", async (failure) => {
    const { model, calls } = world([fault(failure)]);
    await expect(ask(model)).rejects.toThrow();
    expect(calls()).toBe(1);
  });

  it("does not happen once a piece was shown", async () => {
    const { model, calls } = world(["after-a-piece"]);
    await expect(ask(model)).rejects.toThrow();
    expect(calls()).toBe(1);
  });

  it("waits as long as the provider wants, but not for ever", async () => {
    const patient = world([fault("rate_limit", 3_000)]);
    await ask(patient.model);
    expect(patient.pauses).toEqual([3_000]);
    const absurd = world([fault("rate_limit", 3_600_000)]);
    await expect(ask(absurd.model)).rejects.toMatchObject({ retryAfterMs: 3_600_000 });
    expect(absurd.calls()).toBe(1);
  });
});

describe("the words of a failure", () => {
  it("tell a tenant what its own provider said, filtered, and nothing of the operator's", () => {
    const said =
      "no model x for sk-live-abcdef123456 of org-secret99 at https://in.example/a AKIA1234567890ABCDEFGHIJKL\u0000";
    const own = modelFailure({ ...FACTS, failure: "not_found", httpStatus: 404, said });
    expect(own.publicMessage).toContain("no model x");
    expect(own.publicMessage).not.toMatch(/sk-live|org-secret|in\.example|AKIA|\u0000/);
    const theirs = modelFailure({
      ...FACTS,
      keyOwner: "platform",
      failure: "not_found",
      httpStatus: 404,
      said,
    });
    expect(theirs.publicMessage).toBe("⚠️ p/m request failed (unknown model or address, HTTP 404).");
  });

  it("never quote what came with a refused key", () => {
    const error = modelFailure({
      ...FACTS,
      failure: "auth",
      httpStatus: 401,
      said: "Incorrect API key provided: abc",
    });
    expect(error.publicMessage).not.toContain("abc");
  });
});
