/**
 * `npm run bench [-- --write] [-- --quick] [-- --flood]`: Creel against the bare server, in one run. Owns: the order of measuring.
 * Refuses to know: how a number is taken (measure.ts) and what is hoped for is only named here, judged in report.ts.
 */
import { type Creel, startCreel } from "../clients/creel.ts";
import type { Gateway, Target } from "../clients/target.ts";
import { floodFairness } from "./fairness.ts";
import {
  addedTurnMs,
  createSessions,
  healthPerSecond,
  idleMegabytes,
  listMs,
  type ModelProcess,
  runEach,
  touch,
  turnsPerSecond,
  turnsPerSecondAcross,
} from "./measure.ts";
import { publish, type Row, toMarkdown } from "./report.ts";
import { startBare, startModel } from "./servers.ts";
import { stallMs } from "./stall.ts";
import { createTenants } from "./tenants.ts";

const onlyFlood = process.argv.includes("--flood");
const quick = process.argv.includes("--quick");
const TURNS = quick ? 300 : 2_000;
const SESSIONS = quick ? 500 : 10_000;
const TENANTS = quick ? 50 : 1_000;
const FEW = 10;

const say = (line: string) => process.stderr.write(`${line}\n`);
const door = (gateway: Gateway): Target => gateway.targets[0] as Target;

/** Ours, then the bare server's. */
type Pair = [number, number];

/** Both servers at rest and under load, taking turns, so that both see the same machine. */
async function compare(creel: Gateway, bare: Gateway, model: ModelProcess): Promise<Row[]> {
  say("idle memory");
  const [oursIdle, theirsIdle] = [await idleMegabytes(creel), await idleMegabytes(bare)];
  say("added time per turn");
  const [oursAdded, theirsAdded] = [
    await addedTurnMs(door(creel), model, 200),
    await addedTurnMs(door(bare), model, 200),
  ];
  const health: Pair = [0, 0];
  const turns: Pair = [0, 0];
  for (let round = 1; round <= (quick ? 1 : 2); round += 1) {
    for (const [index, gateway] of [creel, bare].entries()) {
      say(`health and turns, round ${round}, ${gateway.kind}`);
      health[index] = Math.max(health[index] ?? 0, await healthPerSecond(door(gateway)));
      turns[index] = Math.max(turns[index] ?? 0, await turnsPerSecond(door(gateway), TURNS));
    }
  }
  return [
    row("`health` answers", "/s", health[0], health[1], { of: "ratio", atLeast: 0.5 }),
    row("durable turns, 20 at once", "/s", turns[0], turns[1], { of: "ratio", atLeast: 0.25 }),
    row("added time per turn, p50", "ms", oursAdded, theirsAdded, { of: "value", atMost: 6 }),
    row("memory, idle", "MB", oursIdle, theirsIdle, { of: "value", atMost: 130 }),
    row("spawn to ready", "s", creel.readyMs / 1000, bare.readyMs / 1000, { of: "value", atMost: 1.5 }),
  ];
}

/** What many sessions and many tenants cost; only Creel has them. */
async function grow(creel: Creel): Promise<Row[]> {
  const few = await createTenants(creel, "few", FEW);
  const [small, large] = [few[0] as Target, few[1] as Target];
  await createSessions(small, FEW);
  say(`${SESSIONS} sessions in one tenant`);
  const seconds = await createSessions(large, SESSIONS);
  const [listSmall, listLarge] = [await listMs(small), await listMs(large)];

  say("turns across 20 tenants");
  const twenty = await createTenants(creel, "lane", 20);
  const across = await turnsPerSecondAcross(twenty, TURNS);

  say(`${TENANTS} tenants, each touched once`);
  // The same number of visits to few tenants first: what grows after that is the tenants, not the warm-up.
  await runEach(TENANTS, 8, (n) => touch(few[2 + (n % (FEW - 2))] as Target));
  const before = await idleMegabytes(creel);
  const many = await createTenants(creel, "many", TENANTS - FEW - 20 - creel.targets.length);
  await runEach(many.length, 8, (n) => touch(many[n] as Target));
  const after = await idleMegabytes(creel);
  const listMany = await listMs(small);

  return [
    row("durable turns, 20 tenants at once", "/s", across),
    row("`sessions.create`", "/s", SESSIONS / seconds),
    row(`memory after ${TENANTS} tenants were touched`, "MB", after, undefined, { of: "value", atMost: 300 }),
    row("an idle tenant", "KB", ((after - before) * 1024) / many.length, undefined, {
      of: "value",
      atMost: 100,
    }),
    row(`\`sessions.list\` p50, ${FEW} sessions`, "ms", listSmall),
    row(`… ${SESSIONS} sessions, to ${FEW}`, "×", listLarge / listSmall, undefined, {
      of: "value",
      atMost: 1.3,
    }),
    row(`… ${TENANTS} tenants, to ${FEW}`, "×", listMany / listSmall, undefined, {
      of: "value",
      atMost: 1.3,
    }),
  ];
}

/** Requests a minute of the shipped plan `free`. */
const FREE_PER_MINUTE = 600;

/** One tenant asks fifty times for what its plan allows; another goes on as before. */
async function flood(creel: Creel): Promise<Row[]> {
  say("a flood from one tenant");
  const [victim] = await createTenants(creel, "victim", 1);
  const [flooder] = await createTenants(creel, "flooder", 1, "free");
  await createSessions(victim!, FEW);
  const perSecond = (50 * FREE_PER_MINUTE) / 60;
  const [rounds, forMs] = quick ? [5, 1_000] : [120, 500];
  const { quietMs, floodedMs } = await floodFairness(victim!, flooder!, perSecond, rounds, forMs);
  return [
    row("`sessions.list` p99 of a tenant, quiet", "ms", quietMs),
    row("… while another floods at 50 × its limit", "ms", floodedMs),
    row("… to quiet", "×", floodedMs / quietMs, undefined, { of: "value", atMost: 1.2 }),
  ];
}

function row(measure: string, unit: string, ours: number, theirs?: number, target?: Row["target"]): Row {
  return { measure, unit, ours, theirs, target };
}

const model = await startModel();
const bare = await startBare(model.baseUrl);
// What one process answers is to be seen, and not the platform's ceilings for one tenant, which are far below it; limits of
// plans hold as ever.
const traffic = { tenantRequestsPerMinute: 0, tenantTurnsPerMinute: 0 };
const creel = await startCreel({ modelBaseUrl: model.baseUrl, config: { traffic } });
try {
  // Every start but the first of an installation finds the sources compiled; that is what is measured.
  await creel.restart();
  // Reading also starts the count anew, so the start of the process is not in it.
  await stallMs(creel);
  const rows = onlyFlood ? [] : await compare(creel, bare, model);
  const underLoad = await stallMs(creel);
  rows.push(...(await flood(creel)));
  if (onlyFlood) {
    process.stdout.write(`${toMarkdown(rows, "bare ws")}\n`);
    process.exitCode = 0;
  } else {
    await stallMs(creel);
    rows.push(...(await grow(creel)));
    const whileGrowing = await stallMs(creel);
    rows.push(
      row("longest main-thread stall, chat load", "ms", underLoad, undefined, { of: "value", atMost: 50 }),
    );
    rows.push(row("… many sessions and tenants", "ms", whileGrowing, undefined, { of: "value", atMost: 50 }));
    publish("bench", rows, "bare ws");
  }
} finally {
  await creel.stop();
  await bare.stop();
  await model.stop();
}
