import { describe, expect, it } from "vitest";
import type { Epochs } from "../../auth/guard/epochs.ts";
import type { TenantId, UserId } from "../../kernel/ids.ts";
import { LIMITS } from "../../kernel/limits.ts";
import type { Principal } from "../../tenancy/principal.ts";
import { Gate } from "./gate.ts";

const caller = {
  ...{ tenantId: "acme" as TenantId, userId: "ann" as UserId, displayName: "Ann", role: "member" },
  ...{ scopes: new Set(), credential: { kind: "api_token", id: "t", expiresAtMs: 5_000 } },
} as Principal;

function make() {
  const state = {
    epoch: 1,
    touched: 0,
    nowMs: 1_000,
    looks: 0,
    closed: [] as number[],
    sent: [] as string[],
  };
  const answers: ((isLive: boolean | Error) => void)[] = [];
  const epochs = {
    get current() {
      return state.epoch;
    },
    isStale: (_tenant: string, _user: string, since: number) => state.touched > since,
  } as unknown as Epochs;
  const gate = new Gate(
    {
      epochs,
      isLive: () => {
        state.looks++;
        return new Promise((resolve, reject) => {
          answers.push((isLive) => (isLive instanceof Error ? reject(isLive) : resolve(isLive)));
        });
      },
      nowMs: () => state.nowMs,
      expel: (code) => state.closed.push(code),
    },
    caller,
    1,
  );
  const pass = (text: string, isDroppable = false) =>
    gate.pass(() => state.sent.push(text), text.length, isDroppable);
  const touch = () => {
    state.touched = ++state.epoch;
  };
  const answer = async (isLive: boolean | Error) => {
    answers.shift()?.(isLive);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { gate, state, pass, touch, answer };
}

describe("a gate", () => {
  it("lets everything pass while nothing changed for the caller, without a look", () => {
    const { state, pass } = make();
    pass("a");
    state.epoch = 9;
    pass("b");
    expect(state).toMatchObject({ sent: ["a", "b"], looks: 0, closed: [] });
  });

  it("holds back from a change on, and lets go in order when the authority still stands", async () => {
    const { state, pass, touch, answer } = make();
    touch();
    for (const text of ["a", "b", "c"]) pass(text);
    expect(state).toMatchObject({ sent: [], looks: 1 });
    await answer(true);
    expect(state.sent).toEqual(["a", "b", "c"]);
    pass("d");
    expect(state).toMatchObject({ sent: ["a", "b", "c", "d"], looks: 1, closed: [] });
  });

  it("looks again when more changed during the look", async () => {
    const { state, pass, touch, answer } = make();
    touch();
    pass("a");
    touch();
    await answer(true);
    expect(state).toMatchObject({ sent: [], looks: 2 });
    await answer(true);
    expect(state.sent).toEqual(["a"]);
  });

  it("closes with 4001 and sends nothing of what waited, nor anything after, when it does not", async () => {
    const { state, pass, touch, answer } = make();
    touch();
    pass("a");
    await answer(false);
    pass("b");
    expect(state).toMatchObject({ sent: [], closed: [4001] });
  });

  it("closes at the credential's end without being asked", () => {
    const { state, pass } = make();
    state.nowMs = 5_000;
    pass("a");
    expect(state).toMatchObject({ sent: [], closed: [4001], looks: 0 });
  });

  it("does not grant what cannot be checked", async () => {
    const { state, pass, touch, answer } = make();
    touch();
    pass("a");
    await answer(new Error("disk"));
    expect(state).toMatchObject({ sent: [], closed: [1013] });
  });

  it("holds a bounded amount, and drops what a later event carries too", async () => {
    const { state, pass, touch, answer } = make();
    touch();
    pass("first");
    pass("x".repeat(LIMITS.deltaDropBytes), true);
    pass("last");
    await answer(true);
    expect(state.sent).toEqual(["first", "last"]);
    touch();
    for (let i = 0; i <= LIMITS.heldFrames; i++) pass(`e${i}`);
    expect(state.closed).toEqual([1013]);
    await answer(true);
    expect(state.sent).toEqual(["first", "last"]);
  });
});
