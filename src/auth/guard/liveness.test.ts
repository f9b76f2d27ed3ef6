import { describe, expect, it } from "vitest";
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId, UserId } from "../../kernel/ids.ts";
import type { Principal } from "../../tenancy/principal.ts";
import { scopesOf } from "../../tenancy/scopes.ts";
import type { AccessFeed } from "./access-feed.ts";
import type { Epochs } from "./epochs.ts";
import { Liveness } from "./liveness.ts";
import type { Standing } from "./standings.ts";

const clock = { nowMs: () => 1_000, monotonicMs: () => 1_000 } as Clock;
const feed = { refresh: async () => undefined } as unknown as AccessFeed;

const member: Standing = {
  ...{ role: "member", displayName: "Ann", scopes: new Set(scopesOf("member")) },
  ...{ agents: null, addresses: null, readOnly: null, endsAtMs: null, expiresAtMs: null },
};

function principal(change: Partial<Principal> = {}, id = "t1"): Principal {
  return {
    ...{ tenantId: "acme" as TenantId, userId: "ann" as UserId, displayName: "Ann", role: "member" },
    ...{ scopes: new Set(scopesOf("member")), credential: { kind: "api_token", id, expiresAtMs: null } },
    ...change,
  };
}

function make(standing: () => Standing | undefined, epochs = { current: 1, isStale: () => false }) {
  const looks: number[] = [];
  const liveness = new Liveness(feed, epochs as unknown as Epochs, clock, async (_tenant, asked) => {
    looks.push(asked.length);
    return asked.map(standing);
  });
  return { liveness, looks };
}

describe("whether a caller stands", () => {
  it("is looked up for a thousand at once in a few looks, and then remembered", async () => {
    const { liveness, looks } = make(() => member);
    const callers = Array.from({ length: 1_000 }, (_, i) => principal({}, `t${i}`));
    const all = await Promise.all(callers.map((one) => liveness.isLive(one)));
    expect(all.every(Boolean)).toBe(true);
    expect(looks).toHaveLength(8);
    expect(Math.max(...looks)).toBe(128);
    await Promise.all(callers.map((one) => liveness.isLive(one)));
    expect(looks).toHaveLength(8);
  });

  it("is denied for another role, a scope that is gone, a new cause to only read, and an end that has come", async () => {
    const ofStanding = (change: Partial<Standing>) => make(() => ({ ...member, ...change })).liveness;
    expect(await ofStanding({}).isLive(principal())).toBe(true);
    expect(await ofStanding({ role: "readonly" }).isLive(principal())).toBe(false);
    expect(await ofStanding({ role: "owner" }).isLive(principal())).toBe(false);
    expect(await ofStanding({ scopes: new Set(["operator.read"]) }).isLive(principal())).toBe(false);
    expect(await ofStanding({ readOnly: "suspended" }).isLive(principal())).toBe(false);
    expect(await ofStanding({ endsAtMs: 1_000 }).isLive(principal())).toBe(false);
    const over = { kind: "api_token", id: "t1", expiresAtMs: 1_000 } as const;
    expect(await ofStanding({}).isLive(principal({ credential: over }))).toBe(false);
    expect(await make(() => undefined).liveness.isLive(principal())).toBe(false);
  });

  it("is looked up anew after a change, also after one that came during the look", async () => {
    const state = { current: 1, stale: 0 };
    const epochs = {
      get current() {
        return state.current;
      },
      isStale: (_tenant: string, _user: string, since: number) => since < state.stale,
    };
    let standing: Standing | undefined = member;
    const { liveness, looks } = make(() => {
      // The change comes while the store is being read: the answer is of before, and must not be remembered as new.
      state.current = 2;
      state.stale = 2;
      return standing;
    }, epochs as never);
    expect(await liveness.isLive(principal())).toBe(true);
    standing = undefined;
    expect(await liveness.isLive(principal())).toBe(false);
    expect(looks).toHaveLength(2);
  });

  it("is not granted when it cannot be looked up", async () => {
    const { liveness } = make(() => {
      throw new Error("disk");
    });
    await expect(liveness.isLive(principal())).rejects.toThrow("disk");
  });
});
