import { describe, expect, it } from "vitest";
import type { Clock } from "../../kernel/clock.ts";
import { modelFailure } from "../models/failure.ts";
import type { ModelEvent, ModelProvider } from "../models/model.ts";
import { RetryingModel } from "../models/retry.ts";
import { runModelStep, type StepInput } from "./model-step.ts";

const REFUSAL = modelFailure({ provider: "p", model: "m", keyOwner: "platform", failure: "overloaded" });

/** A step whose provider does what `attempts` say, one after the other; `pause` is called when it waits to ask again. */
function step(attempts: ((signal: AbortSignal) => AsyncIterable<ModelEvent>)[], pause: () => void) {
  const controller = new AbortController();
  const clock = {
    nowMs: () => 1,
    after: (_delayMs: number, run: () => void) => {
      queueMicrotask(() => {
        pause();
        run();
      });
      return { cancel: () => undefined };
    },
  } as unknown as Clock;
  let asked = 0;
  const inner: ModelProvider = { stream: ({ signal }) => attempts[asked++]!(signal) };
  const input = {
    model: {
      ...{ provider: "p", id: "m", keyOwner: "platform", cost: undefined },
      model: new RetryingModel(inner, { clock, random: () => 0.5 }),
    },
    request: {
      ...{ modelId: "m", system: "Be kind.", tools: [], maxOutputTokens: 100, signal: controller.signal },
      messages: [{ role: "user", content: "hello", timestamp: 1 }],
    },
    ...{ step: 1, purpose: "turn", mostInputTokens: 500, clock, emit: () => undefined },
  } as unknown as StepInput;
  return { controller, run: () => runModelStep(input), asked: () => asked };
}

function refuse(): AsyncIterable<ModelEvent> {
  return { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(REFUSAL) }) };
}

/** Says these things, then waits for the stop. */
function hang(...said: ModelEvent[]) {
  return async function* (signal: AbortSignal): AsyncGenerator<ModelEvent> {
    yield* said;
    await new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  };
}

describe("a call that is stopped", () => {
  it("while we wait to ask a refusing provider again has used nothing", async () => {
    const world = step([refuse, refuse], () => world.controller.abort());
    const result = await world.run();
    expect(result).toMatchObject({ kind: "broken", call: null, error: { code: "aborted" } });
    expect(result.message.stopReason).toBe("aborted");
    expect(world.asked()).toBe(1);
  });

  it("while the provider is at work is charged, also when it refused before", async () => {
    const world = step([refuse, hang()], () => setImmediate(() => world.controller.abort()));
    const result = await world.run();
    expect(world.asked()).toBe(2);
    expect(result).toMatchObject({ kind: "broken", error: { code: "aborted" } });
    expect(result.call?.usage).toMatchObject({ isExact: false, outputTokens: 0 });
    expect(result.call?.usage.inputTokens).toBeGreaterThan(0);
  });
});

describe("a call that breaks off while a tool's call is written", () => {
  it("counts what arrived of it", async () => {
    const begun: ModelEvent[] = [
      { type: "tool_input", id: "c", delta: "write" },
      { type: "tool_input", id: "c", delta: "x".repeat(395) },
    ];
    const cut = async function* (): AsyncGenerator<ModelEvent> {
      yield* begun;
      throw REFUSAL;
    };
    const world = step([cut], () => undefined);
    const result = await world.run();
    expect(world.asked()).toBe(1);
    expect(result).toMatchObject({ kind: "broken", call: { usage: { outputTokens: 108, isExact: false } } });
  });

  it("counts a call that came whole once", async () => {
    const whole = async function* (): AsyncGenerator<ModelEvent> {
      yield { type: "tool_input", id: "c", delta: "write" };
      yield { type: "tool_input", id: "c", delta: "x".repeat(395) };
      yield { type: "tool_call", id: "c", name: "write", argsText: "x".repeat(395) };
      yield { type: "finish", stopReason: "toolUse", usage: null };
    };
    const result = await step([whole], () => undefined).run();
    expect(result).toMatchObject({ kind: "answered", call: { usage: { outputTokens: 108 } } });
  });
});
