/** Commands about the audit log. Owns: `audit …`. Refuses to know: how rows are chained, what heads say. */
import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { exportLog } from "../audit/export.ts";
import { HeadKeeper, makeHeadReader } from "../audit/heads.ts";
import { AuditLog, type LogOf } from "../audit/log.ts";
import { AuditMover } from "../audit/recording/mover.ts";
import type { Verdict } from "../audit/verify.ts";
import { systemClock } from "../kernel/clock.ts";
import { toAppError } from "../kernel/errors.ts";
import { makeLog } from "../kernel/log.ts";
import { type Command, type CommandCall, UsageError } from "./command.ts";
import { type State, withState } from "./state.ts";
import { everyTenant } from "./tenants/tenant-commands.ts";

const VERIFIER = fileURLToPath(new URL("../audit/verify-audit.mjs", import.meta.url));

/** A chain and what people call it. */
interface Named {
  name: string;
  of: LogOf;
}

interface Finding {
  log: string;
  verdict: Verdict | null;
  /** Why it could not be read. */
  failure: string | null;
  /** Records of it that wait in control.db. */
  waiting: number;
}

const CHOICE = { tenant: { type: "string" }, platform: { type: "boolean" } } as const;

const verify: Command = {
  name: "audit verify",
  usage: "[--tenant S | --platform | --file F [--heads F] [--jwks F] [--expect N:HASH]]",
  summary: "Check the chain of one log, of all, or of an export; names the first row that is wrong.",
  options: {
    ...CHOICE,
    ...{ file: { type: "string" }, heads: { type: "string" } },
    ...{ jwks: { type: "string" }, expect: { type: "string" } },
  },
  positionals: 0,
  run: (call) => (call.flag("file") === undefined ? verifyState(call) : verifyFile(call)),
};

/** The offline verifier as its own program: what it says here is what an auditor sees. */
async function verifyFile(call: CommandCall): Promise<number> {
  const file = resolve(call.required("file"));
  const flags = ["heads", "jwks", "expect"].flatMap((name) => {
    const value = call.flag(name);
    return value === undefined ? [] : [`--${name}`, value];
  });
  const args = [VERIFIER, file, ...flags, ...(call.out.isJson ? ["--json"] : [])];
  const child = spawn(process.execPath, args, { stdio: "inherit" });
  return new Promise((done, failed) => {
    child.on("error", failed);
    child.on("exit", (code) => done(code ?? 1));
  });
}

function verifyState(call: CommandCall): Promise<number> {
  return withState(call.stateDir, async (state) => {
    const log = new AuditLog(state.control);
    const readHead = makeHeadReader(state.auth.signingKeys);
    const findings: Finding[] = [];
    for (const { name, of } of await chosen(state, call, true)) {
      const found = await log.verify(of, readHead).then(
        (verdict) => ({ verdict, failure: null }),
        (thrown: unknown) => ({ verdict: null, failure: toAppError(thrown).publicMessage }),
      );
      findings.push({ log: name, ...found, waiting: await waitingOf(state, of) });
    }
    call.out.answer({ logs: findings }, findings.map(describe));
    return findings.every(({ verdict }) => verdict?.ok === true) ? 0 : 1;
  });
}

function describe({ log, verdict, failure, waiting }: Finding): string {
  const rest = waiting === 0 ? "" : `; ${waiting} records wait to be added`;
  if (verdict === null) return `${log}: cannot be read: ${failure ?? ""}`;
  const { problem, checked, end } = verdict;
  if (problem === null)
    return `${log}: sound, ${checked} rows${end === null ? "" : `, last ${end.seq}:${end.hash}`}${rest}`;
  return `${log}: NOT SOUND (${problem.kind}) at row ${problem.seq}: ${problem.message}`;
}

async function waitingOf(state: State, of: LogOf): Promise<number> {
  const sql = "SELECT count(*) AS n FROM audit_outbox WHERE tenant_id = ?";
  const row = await state.control.find<{ n: number }>(sql, [of === "platform" ? "" : of.tenantId]);
  return row?.n ?? 0;
}

const exportCommand: Command = {
  name: "audit export",
  usage: "(--tenant S | --platform) [--format jsonl|csv] [--out FILE]",
  summary: "Write a log out, oldest row first; JSON lines can be checked offline.",
  options: { ...CHOICE, format: { type: "string" }, out: { type: "string" } },
  positionals: 0,
  run: (call) =>
    withState(call.stateDir, async (state) => {
      const format = call.flag("format") ?? "jsonl";
      if (format !== "jsonl" && format !== "csv") throw new UsageError("--format is jsonl or csv.");
      const { of } = await one(state, call);
      await moverOf(state).drain();
      const pieces = Readable.from(exportLog(new AuditLog(state.control), of, {}, format));
      const file = call.flag("out");
      if (file === undefined) await pipeline(pieces, process.stdout, { end: false });
      else await pipeline(pieces, createWriteStream(file, { mode: 0o600, flags: "wx" }));
      return undefined;
    }),
};

const heads: Command = {
  name: "audit heads",
  usage: "(--tenant S | --platform)",
  summary: "Print the signed daily heads of a log, newest first.",
  options: CHOICE,
  positionals: 0,
  run: (call) =>
    withState(call.stateDir, async (state) => {
      const { of } = await one(state, call);
      await moverOf(state).drain();
      const log = new AuditLog(state.control);
      const keeper = new HeadKeeper({
        ...{ log, signer: state.auth.signer, clock: systemClock, logger: makeLog({ level: "warn" }) },
      });
      const found = await keeper.list(of);
      call.out.answer(
        { heads: found },
        found
          .map((head) => `${head.day}  ${head.seq}  ${head.hash}\n${head.signed}`)
          .flatMap((text) => text.split("\n")),
      );
      return undefined;
    }),
};

function moverOf({ control, tenants, door }: State): AuditMover {
  return new AuditMover({ control, tenants, door, clock: systemClock, log: makeLog({ level: "warn" }) });
}

/** The logs that are meant; without a flag all of them, where that is allowed. */
async function chosen(state: State, call: CommandCall, mayBeAll: boolean): Promise<Named[]> {
  const slug = call.flag("tenant");
  const isPlatform = call.isSet("platform");
  if (slug !== undefined && isPlatform)
    throw new UsageError("--tenant and --platform are two logs; name one.");
  if (slug !== undefined) return [{ name: slug, of: state.door.scope(await state.tenants.getBySlug(slug)) }];
  if (isPlatform) return [{ name: "platform", of: "platform" }];
  if (!mayBeAll) throw new UsageError("Say which log: --tenant S, or --platform.");
  const all: Named[] = [{ name: "platform", of: "platform" }];
  for await (const tenant of everyTenant(state))
    all.push({ name: tenant.slug, of: state.door.scope(tenant) });
  return all;
}

async function one(state: State, call: CommandCall): Promise<Named> {
  const [named] = await chosen(state, call, false);
  if (named === undefined) throw new UsageError("Say which log: --tenant S, or --platform.");
  return named;
}

/** The commands, in the order of the help. */
export const AUDIT_COMMANDS: readonly Command[] = [verify, exportCommand, heads];
