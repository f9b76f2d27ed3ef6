/**
 * What is measured, one function each. Owns: driving a target and computing the number. Refuses to know: which server it is, what
 * was hoped for (report.ts).
 */
import { randomUUID } from "node:crypto";
import { type Gateway, type Target, treeRssBytes } from "../clients/target.ts";
import { Wire } from "./wire.ts";

/** Turns of one conversation before the next begins: with every turn the model is sent more, and that is not what is measured. */
const TURNS_PER_SESSION = 10;

/** A mock model in a process of its own. */
export type ModelProcess = { url: string; baseUrl: string; stop(): Promise<void> };

/** `health` answers per second, pipelined over several connections. */
export async function healthPerSecond(
  target: Target,
  connections = 8,
  window = 32,
  forMs = 4_000,
): Promise<number> {
  const wires = await openWires(target, connections);
  await Promise.all(wires.map((wire) => wire.flood("health", window, 800)));
  const startedAt = performance.now();
  const counts = await Promise.all(wires.map((wire) => wire.flood("health", window, forMs)));
  const seconds = (performance.now() - startedAt) / 1000;
  closeAll(wires);
  return counts.reduce((sum, count) => sum + count, 0) / seconds;
}

/** Chat turns per second with `concurrent` sessions of one tenant on one connection. */
export async function turnsPerSecond(target: Target, turns: number, concurrent = 20): Promise<number> {
  const [wire] = await openWires(target, 1);
  const tag = newTag();
  await runEach(concurrent, concurrent, (n) => wire!.turn(`agent:main:warm-${n}`, "warm up"));
  const startedAt = performance.now();
  await runLanes(concurrent, turns, (lane, n) =>
    wire!.turn(sessionOf(tag, lane, n), "a turn of the benchmark"),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  wire!.close();
  return turns / seconds;
}

/** The same with every lane in a tenant of its own. */
export async function turnsPerSecondAcross(targets: Target[], turns: number): Promise<number> {
  const tag = newTag();
  const wires = await Promise.all(targets.map((target) => Wire.open(target)));
  await Promise.all(wires.map((wire) => wire.turn("agent:main:main", "warm up")));
  const startedAt = performance.now();
  await runLanes(wires.length, turns, (lane, n) => {
    return wires[lane]!.turn(sessionOf(tag, lane, n), "a turn of the benchmark");
  });
  const seconds = (performance.now() - startedAt) / 1000;
  closeAll(wires);
  return turns / seconds;
}

/** Median milliseconds that a single turn takes beyond the model's own time for it. */
export async function addedTurnMs(target: Target, model: ModelProcess, turns: number): Promise<number> {
  const [wire] = await openWires(target, 1);
  const tag = newTag();
  for (let n = 0; n < Math.min(10, turns); n += 1) await wire!.turn("agent:main:warm", "warm up");
  await fetch(`${model.url}/_mock/reset`, { method: "POST" });
  const took = new Map<string, number>();
  for (let n = 0; n < turns; n += 1) {
    const startedAt = performance.now();
    await wire!.turn(sessionOf(tag, 0, n), `timed-${n}.`);
    took.set(`timed-${n}.`, performance.now() - startedAt);
  }
  wire!.close();
  const calls = (await (await fetch(`${model.url}/_mock/requests`)).json()) as CallRecord[];
  const added = [...took].map(([mark, ms]) => ms - modelMs(calls, mark));
  return median(added);
}

type CallRecord = { lastUserText: string; durationMs: number };

function modelMs(calls: CallRecord[], mark: string): number {
  const call = calls.find((record) => record.lastUserText.includes(mark));
  if (!call) throw new Error(`the model was never asked about ${mark}`);
  return call.durationMs;
}

/** Rows asked for: as many as the smallest tenant measured has, so that answers are alike. */
const ROWS = 10;

/** Median milliseconds of a `sessions.list` of 10 rows, asked one after the other. */
export async function listMs(target: Target, times = 200): Promise<number> {
  const [wire] = await openWires(target, 1);
  const list = () => wire!.request("sessions.list", { limit: ROWS });
  for (let n = 0; n < 20; n += 1) await list();
  const took: number[] = [];
  for (let n = 0; n < times; n += 1) {
    const startedAt = performance.now();
    await list();
    took.push(performance.now() - startedAt);
  }
  wire!.close();
  return median(took);
}

/** Makes sessions over the socket; returns the seconds it took. */
export async function createSessions(target: Target, count: number): Promise<number> {
  const [wire] = await openWires(target, 1);
  const startedAt = performance.now();
  await runEach(count, 32, async (n) => {
    await wire!.request("sessions.create", {
      agentId: "main",
      key: `agent:main:seed-${String(n).padStart(5, "0")}`,
    });
  });
  wire!.close();
  return (performance.now() - startedAt) / 1000;
}

/** One visit: connect, list the sessions, one chat turn, leave. */
export async function touch(target: Target): Promise<void> {
  const wire = await Wire.open(target);
  await wire.request("sessions.list", { limit: 50 });
  await wire.turn("agent:main:main", "a first message");
  wire.close();
}

/** Resident megabytes of the server and its children, the lowest seen while it has nothing to do. */
export async function idleMegabytes(gateway: Gateway, forMs = 5_000): Promise<number> {
  let lowest = Number.POSITIVE_INFINITY;
  const endAt = performance.now() + forMs;
  while (performance.now() < endAt) {
    lowest = Math.min(lowest, treeRssBytes(gateway.pid));
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  return lowest / 1024 / 1024;
}

/** Runs `count` pieces of work, at most `width` at a time. */
export async function runEach(
  count: number,
  width: number,
  work: (n: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) {
      const n = next;
      next += 1;
      await work(n);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, lane));
}

/** The middle value. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

async function runLanes(
  lanes: number,
  turns: number,
  work: (lane: number, n: number) => Promise<void>,
): Promise<void> {
  let left = turns;
  const lane = async (_: unknown, index: number) => {
    for (let n = 0; left > 0; n += 1) {
      left -= 1;
      await work(index, n);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

/** A new conversation every few turns, never one of an earlier measurement, whose tag is another. */
function sessionOf(tag: string, lane: number, n: number): string {
  return `agent:main:${tag}-${lane}-${Math.floor(n / TURNS_PER_SESSION)}`;
}

function newTag(): string {
  return `bench-${randomUUID().slice(0, 8)}`;
}

function openWires(target: Target, count: number): Promise<Wire[]> {
  return Promise.all(Array.from({ length: count }, () => Wire.open(target)));
}

function closeAll(wires: Wire[]): void {
  for (const wire of wires) wire.close();
}
