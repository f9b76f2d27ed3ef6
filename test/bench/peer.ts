/**
 * `npm run bench:peer [-- --write]`: Creel against the stock OpenClaw gateway, same driver, same mock model, one run.
 * Owns: the order of measuring. The stock package is the one of `npm run test:clients`.
 */
import { startCreel } from "../clients/creel.ts";
import { installOpenClaw, OPENCLAW_VERSION, startOpenClaw } from "../clients/openclaw.ts";
import type { Gateway, Target } from "../clients/target.ts";
import {
  addedTurnMs,
  createSessions,
  healthPerSecond,
  idleMegabytes,
  listMs,
  type ModelProcess,
  turnsPerSecond,
} from "./measure.ts";
import { publish, type Row } from "./report.ts";
import { startModel } from "./servers.ts";

type Numbers = {
  health: number;
  turns: number;
  added: number;
  idle: number;
  ready: number;
  list: number;
  after: number;
};

const say = (line: string) => process.stderr.write(`${line}\n`);
const [SESSIONS, FEW_TURNS, MANY_TURNS] = [200, 60, 2_000];

async function measure(gateway: Gateway, model: ModelProcess): Promise<Numbers> {
  const target = gateway.targets[0] as Target;
  const slow = gateway.kind === "openclaw";
  say(`${gateway.kind}: idle memory`);
  const idle = await idleMegabytes(gateway);
  say(`${gateway.kind}: added time per turn`);
  const added = await addedTurnMs(target, model, slow ? 15 : 200);
  say(`${gateway.kind}: health`);
  const health = await healthPerSecond(target);
  say(`${gateway.kind}: turns`);
  const turns = await turnsPerSecond(target, slow ? FEW_TURNS : MANY_TURNS);
  say(`${gateway.kind}: sessions.list of ${SESSIONS}`);
  await createSessions(target, SESSIONS);
  const list = await listMs(target, slow ? 30 : 200);
  return {
    health,
    turns,
    added,
    idle,
    ready: gateway.readyMs / 1000,
    list,
    after: await idleMegabytes(gateway),
  };
}

await installOpenClaw(say);
const model = await startModel();
const creel = await startCreel({ modelBaseUrl: model.baseUrl });
// Every start but the first of an installation finds the sources compiled; that is what is measured.
await creel.restart();
const ours = await measure(creel, model).finally(() => creel.stop());
const stock = await startOpenClaw({ modelBaseUrl: model.baseUrl });
const theirs = await measure(stock, model).finally(() => stock.stop());
await model.stop();

const row = (measure: string, unit: string, name: keyof Numbers, target?: Row["target"]): Row => ({
  measure,
  unit,
  ours: ours[name],
  theirs: theirs[name],
  target,
});
publish(
  "bench:peer",
  [
    row("`health` answers", "/s", "health"),
    row("durable turns, 20 at once", "/s", "turns", { of: "ratio", atLeast: 50 }),
    row("added time per turn, p50", "ms", "added", { of: "value", atMost: 6 }),
    row("memory, idle", "MB", "idle", { of: "value", atMost: 130 }),
    row("memory after the load", "MB", "after"),
    row("spawn to ready", "s", "ready", { of: "value", atMost: 1.5 }),
    row(`\`sessions.list\` p50, ${SESSIONS} sessions`, "ms", "list"),
  ],
  `OpenClaw ${OPENCLAW_VERSION}`,
);
