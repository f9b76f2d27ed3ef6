/**
 * Calling as one tenant and looking at what comes back. Owns: both transports, the scan for canaries of the other
 * tenant, the form in which two answers are compared.
 */
import { expect } from "vitest";
import { type Frame, SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";
import { callByHttp, hastyClock } from "../support/world.ts";
import type { ForeignPair } from "./probes.ts";
import { NOBODY, plantTwin, type Twin } from "./twins.ts";

/** The two tenants, and who watches. */
export interface Stage {
  world: TestApp;
  /** Who acts. */
  mine: Twin;
  /** Who must neither see nor feel it. */
  other: Twin;
  actor: SocketClient;
  /** The other's socket, subscribed to all there is. */
  witness: SocketClient;
  /** Another socket of the other's, which reads its own things meanwhile. */
  neighbour: SocketClient;
  /** What of the other's the actor has said itself. */
  said: Set<string>;
}

/** Plant the twins, start anew so that nothing is under way, and connect. */
export async function openStage(): Promise<Stage> {
  const world = await startApp({ app: { clock: hastyClock } });
  const mine = await plantTwin(world, "azure");
  const other = await plantTwin(world, "beige");
  await world.restart();
  const actor = new SocketClient(world.wsUrl);
  await actor.connect(mine.tokens.owner, { caps: ["tool-events"] });
  const witness = new SocketClient(world.wsUrl);
  await witness.connect(other.tokens.owner, { caps: ["tool-events"] });
  await witness.call("sessions.subscribe", {});
  for (const key of [mine.only.key, other.only.key, "agent:main:main", "*", "agent:*"]) {
    await witness.call("sessions.messages.subscribe", { key });
  }
  witness.frames.length = 0;
  const neighbour = new SocketClient(world.wsUrl);
  await neighbour.connect(other.tokens.owner);
  return { world, mine, other, actor, witness, neighbour, said: new Set() };
}

/** Stop everything. */
export async function closeStage(stage: Stage): Promise<void> {
  stage.actor.close();
  stage.witness.close();
  stage.neighbour.close();
  await stage.world.close();
}

/** What came back, as text, and whether it was a success. */
export interface Reply {
  ok: boolean;
  text: string;
  code: string;
}

/** Call by socket; also looks at everything else that arrived meanwhile. */
export async function callBySocket(stage: Stage, method: string, params: unknown): Promise<Reply> {
  const { actor } = stage;
  const id = actor.send(method, params);
  // A frame that is refused before its id counts is answered under the id "invalid".
  const frame = await actor.until(
    (one) => one.type === "res" && (one["id"] === id || one["id"] === "invalid"),
  );
  const seen = JSON.stringify(actor.frames);
  actor.frames.length = 0;
  assertClean(stage, seen, params);
  const error = frame["error"] as { code?: string; details?: { code?: string } } | undefined;
  return {
    ok: frame["ok"] === true,
    text: JSON.stringify({ ...frame, id: undefined } satisfies Partial<Frame>),
    code: String(error?.details?.code ?? error?.code ?? ""),
  };
}

/** Let the other tenant ask the same of its own: caches that both share by mistake are then warm with its things. */
export async function askBeside(stage: Stage, method: string, params: unknown): Promise<void> {
  const { neighbour, mine } = stage;
  const id = neighbour.send(method, params);
  const frame = await neighbour.until((one) => one.type === "res" && one["id"] === id);
  const text = JSON.stringify(neighbour.frames);
  neighbour.frames.length = 0;
  expect(frame["ok"], `its own things are refused, see probes.ts: ${text}`).toBe(true);
  expect(
    marksOf(mine).filter((one) => text.includes(one)),
    "canaries of the acting tenant",
  ).toEqual([]);
}

/** Call a route by HTTP with a token of the acting tenant. */
export async function callRoute(
  stage: Stage,
  path: string,
  body: unknown,
  options: { method?: string; headers?: Record<string, string> } = {},
): Promise<Reply & { status: number }> {
  const { mine, world } = stage;
  const answer = await callByHttp(
    world.url,
    path,
    mine.tokens.owner,
    body,
    options.headers,
    options.method ?? "POST",
  );
  assertClean(stage, `${answer.headers}\n${answer.text}`, [body, path, options.headers]);
  const text = `${answer.status}\n${answer.headers}\n${answer.text}`;
  return { ok: answer.status < 300, text, code: "", status: answer.status };
}

/**
 * Nothing of the other tenant may be in what came, unless the caller said it first: from then on it is the caller's too.
 * Each surface has canaries that no probe ever says.
 */
export function assertClean(stage: Stage, text: string, sent: unknown): void {
  const saying = JSON.stringify(sent) ?? "";
  const { other, said } = stage;
  for (const one of marksOf(other)) if (saying.includes(one)) said.add(one);
  const leaked = marksOf(other).filter((one) => text.includes(one) && !said.has(one));
  expect(leaked, "canaries of the other tenant").toEqual([]);
}

function marksOf(twin: Twin): string[] {
  return [...twin.canaries, ...twin.ids];
}

/** The failures that mean that we broke, not the caller. */
export const OUR_FAULTS = new Set([
  "INTERNAL",
  "STORAGE_UNCERTAIN",
  "STORAGE_FULL",
  "TENANT_UNAVAILABLE",
  "SHUTTING_DOWN",
]);

/** An answer without what differs between any two calls: ids, times, counters, and the values that were sent. */
export function comparable(reply: Reply, pair: ForeignPair, stage: Stage): string {
  let { text } = reply;
  for (const sent of [pair.foreign, pair.absent]) {
    text = text
      .replaceAll(JSON.stringify(sent).slice(1, -1), "<sent>")
      .replaceAll(encodeURIComponent(sent), "<sent>");
  }
  return text
    .replaceAll(stage.other.slug, "<slug>")
    .replaceAll(NOBODY, "<slug>")
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "<id>")
    .replaceAll(/"(deltaCursor|requestId|token|prefix|last4)":"[^"]*"/g, '"$1":"<id>"')
    .replaceAll(/#invite=[\w-]{43}/g, "#invite=<secret>")
    .replaceAll(/"(\w*[aA]ge(?:Ms)?|\w*[dD]urationMs|runtimeMs)":\d+/g, '"$1":0')
    .replaceAll(/"created":\d{10}\b/g, '"created":0')
    .replaceAll(/\b1[0-9]{12}\b/g, "<ms>")
    .replaceAll(/^(date|x-request-id|content-length): .*$/gm, "$1")
    .replaceAll(/(?:own label|[Ff]resh|own)[- ]\d+/g, "<own>");
}
