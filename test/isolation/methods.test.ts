/**
 * Every protocol method, every parameter, both transports: nothing of another tenant is read, changed or noticed.
 * Made from the registry: a method is covered from the day that it is registered, and one that cannot be exercised
 * (its own values are not accepted) fails here until test/isolation/probes.ts knows them.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeMethods } from "#src/app/surface.ts";
import type { Method } from "#src/protocol/methods.ts";
import {
  askBeside,
  callBySocket,
  callRoute,
  closeStage,
  comparable,
  OUR_FAULTS,
  openStage,
  type Reply,
  type Stage,
} from "./exercise.ts";
import {
  baseOf,
  foreignPairs,
  MALFORMED_NUMBERS,
  MALFORMED_TEXTS,
  ownValue,
  SOME_MALFORMED,
} from "./probes.ts";
import { type JsonSchema, type Leaf, leavesOf, toInputSchema, withValue } from "./schema-walk.ts";
import { printTenant } from "./state-print.ts";
import { NOBODY, replant } from "./twins.ts";

/**
 * Methods that tell what was done come first: later the actor did things under the twin's names itself. Methods that
 * take things away come last, so that the others have something to work on.
 */
const METHODS = [...describeMethods()].sort((left, right) => turnOf(left) - turnOf(right));

function turnOf(method: Method): number {
  return method.name.startsWith("audit.") ? -1 : Number(takesAway(method));
}

function takesAway({ name }: Method): boolean {
  return /delete|reset|remove|revoke|clear/.test(name);
}

let stage: Stage;
let before: Record<string, string>;
const covered = new Set<string>();

beforeAll(async () => {
  stage = await openStage();
  before = printTenant(stage.world.stateDir, stage.other.tenant.id);
});

afterAll(() => closeStage(stage));

type Call = (params: unknown) => Promise<Reply>;

async function quiet(method: Method): Promise<void> {
  if (method.cost === "turn") await stage.world.app.drained();
}

/** Own things work, the twin's look like nobody's, malformed ones are the caller's mistake. */
async function exerciseLeaf(
  method: Method,
  schema: JsonSchema,
  leaf: Leaf,
  call: Call,
  odd: readonly unknown[],
) {
  const base = () => baseOf(method.name, schema, stage.mine);
  for (const pair of leaf.isText ? foreignPairs(method.name, leaf, stage.other) : []) {
    const theirs = await call(withValue(base(), leaf.steps, pair.foreign));
    await quiet(method);
    const nobodys = await call(withValue(base(), leaf.steps, pair.absent));
    await quiet(method);
    expect(comparable(theirs, pair, stage), `${leaf.label} = ${pair.foreign}`).toBe(
      comparable(nobodys, pair, stage),
    );
  }
  const values = [ownValue(method.name, leaf, stage.mine), ...(leaf.isText ? odd : MALFORMED_NUMBERS)];
  for (const value of values) {
    const reply = await call(withValue(base(), leaf.steps, value));
    await quiet(method);
    expect(
      OUR_FAULTS.has(reply.code),
      `${leaf.label} = ${JSON.stringify(value).slice(0, 80)}: ${reply.text}`,
    ).toBe(false);
  }
}

/** Both tenants ask the same, one right after the other and at once. */
async function besideEachOther(name: string, schema: JsonSchema, call: Call): Promise<void> {
  const theirs = () => askBeside(stage, name, baseOf(name, schema, stage.other));
  const mine = () => call(baseOf(name, schema, stage.mine));
  for (const ask of [theirs, mine, theirs]) await ask();
  await Promise.all([mine(), theirs()]);
}

describe.each(METHODS.map((method) => [method.name, method] as const))("%s", (name, method) => {
  const schema = toInputSchema(method.params);
  const leaves = leavesOf(schema);

  it("keeps to its own tenant by socket", async () => {
    const call: Call = async (params) => {
      await replant(stage.actor, name, stage);
      return callBySocket(stage, name, params);
    };
    const plain = await call(baseOf(name, schema, stage.mine));
    expect(plain.ok, `its own things are refused, see probes.ts: ${plain.text}`).toBe(true);
    await quiet(method);
    if (["free", "read", "report"].includes(method.cost)) await besideEachOther(name, schema, call);
    for (const leaf of leaves) {
      await exerciseLeaf(method, schema, leaf, call, MALFORMED_TEXTS);
      covered.add(`socket ${name} ${leaf.label}`);
    }
    covered.add(`socket ${name}`);
    expect(stage.actor.closed).toBeUndefined();
  });

  it("keeps to its own tenant by HTTP", async () => {
    const call: Call = async (params) => {
      await replant(stage.actor, name, stage);
      const reply = await callRoute(stage, `/rpc/${name}`, params);
      expect(reply.status === 502 ? 200 : reply.status, reply.text).toBeLessThan(500);
      return reply;
    };
    const plain = await call(baseOf(name, schema, stage.mine));
    expect(plain.ok, `its own things are refused, see probes.ts: ${plain.text}`).toBe(true);
    await quiet(method);
    for (const leaf of leaves) {
      await exerciseLeaf(method, schema, leaf, call, SOME_MALFORMED);
      covered.add(`http ${name} ${leaf.label}`);
    }
    covered.add(`http ${name}`);
    const params = baseOf(name, schema, stage.mine);
    const inTheirs = await callRoute(stage, `/t/${stage.other.slug}/rpc/${name}`, params);
    const inNobodys = await callRoute(stage, `/t/${NOBODY}/rpc/${name}`, params);
    expect(inTheirs.status).toBe(403);
    const pair = { foreign: stage.other.slug, absent: NOBODY };
    expect(comparable(inTheirs, pair, stage)).toBe(comparable(inNobodys, pair, stage));
  });
});

describe("after all of this", () => {
  it("every method and every parameter was tried, by both transports", () => {
    const expected = stage.world.app.methods.list().flatMap((method) => {
      const labels = leavesOf(toInputSchema(method.params)).map((leaf) => ` ${leaf.label}`);
      return ["", ...labels].flatMap((label) => [
        `socket ${method.name}${label}`,
        `http ${method.name}${label}`,
      ]);
    });
    expect(expected.length).toBeGreaterThan(300);
    expect(expected.filter((one) => !covered.has(one))).toEqual([]);
  });

  it("the other tenant holds what it held, to the byte", () => {
    expect(printTenant(stage.world.stateDir, stage.other.tenant.id)).toEqual(before);
    expect(Object.keys(before).filter((name) => name.startsWith("tenant/")).length).toBeGreaterThan(10);
    expect(Object.keys(before).filter((name) => name.startsWith("file/")).length).toBeGreaterThan(10);
  });

  it("the other tenant heard nothing but ticks", () => {
    expect(stage.witness.closed).toBeUndefined();
    expect(stage.witness.frames.filter((frame) => frame["event"] !== "tick")).toEqual([]);
  });

  it("the process lives, and the actor has its own things", async () => {
    const health = await fetch(`${stage.world.url}/healthz`);
    expect(health.status).toBe(200);
    const own = await callBySocket(stage, "sessions.list", {});
    expect(stage.mine.canaries.some((canary) => own.text.includes(canary))).toBe(true);
  });
});
