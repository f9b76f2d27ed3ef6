/**
 * How much one tenant's flood moves another's answers. Owns: taking turns between quiet and flood in one run.
 * Refuses to know: what the flood does (flood.ts), what is hoped for.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { constants, setPriority } from "node:os";
import { join } from "node:path";
import { stopChild, type Target } from "../clients/target.ts";
import { Wire } from "./wire.ts";

/** 99th percentiles of another tenant, in milliseconds. */
export interface Fairness {
  quietMs: number;
  floodedMs: number;
}

/**
 * Measure `victim` with and without a flood of `perSecond` requests by `flooder`, in turns of `forMs`, so that both see the
 * same machine: what else happens on it changes from second to second.
 */
export async function floodFairness(
  victim: Target,
  flooder: Target,
  perSecond: number,
  rounds: number,
  forMs: number,
): Promise<Fairness> {
  const wire = await Wire.open(victim);
  await wire.turn("main", "hello");
  await warmUp(flooder);
  const flood = await startFlood(flooder, perSecond);
  const [quiet, flooded]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round += 1) {
    // Whatever the last turn left behind is answered before the next begins.
    flood.kill("SIGSTOP");
    await answers(wire, 250);
    quiet.push(...(await answers(wire, forMs)));
    flood.kill("SIGCONT");
    flooded.push(...(await answers(wire, forMs)));
  }
  flood.kill("SIGCONT");
  await stopChild(flood);
  wire.close();
  return { quietMs: percentile(quiet, 0.99), floodedMs: percentile(flooded, 0.99) };
}

/** What a process loads and compiles at the first call of a kind is not the flood's doing. */
async function warmUp(target: Target): Promise<void> {
  const wire = await Wire.open(target);
  await wire.turn("main", "hello");
  for (let n = 0; n < 5; n += 1) await wire.request("sessions.usage", { range: "1y", limit: 1_000 });
  wire.close();
}

/** Milliseconds of answers to `sessions.list`, begun at an even pace whether or not the last one came. */
async function answers(wire: Wire, forMs: number): Promise<number[]> {
  const took: number[] = [];
  const open: Promise<void>[] = [];
  const endAt = performance.now() + forMs;
  while (performance.now() < endAt) {
    const startedAt = performance.now();
    const asked = wire.request("sessions.list", { limit: 10 }).then(() => {
      took.push(performance.now() - startedAt);
    });
    open.push(asked);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await Promise.all(open);
  return took;
}

async function startFlood(target: Target, perSecond: number): Promise<ChildProcess> {
  const script = join(import.meta.dirname, "flood.ts");
  const child = spawn(process.execPath, [script, target.wsUrl, target.token, String(perSecond)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  // Whoever floods has a machine of their own; here the two would share cores, and that is not what is measured.
  setPriority(child.pid ?? 0, constants.priority.PRIORITY_LOW);
  await once(child.stdout!, "data");
  return child;
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
