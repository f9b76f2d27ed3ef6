/**
 * The `creel` command: finds the command that is meant and turns what goes wrong into one line and an exit code.
 * Owns: the list of commands, help, exit codes (0 done, 1 failed, 2 called wrongly). Refuses to know: what they do.
 */

import { type Command, readCall, UsageError } from "./cli/command.ts";
import { loadCommands } from "./cli/command-sources.ts";
import { standardOutput } from "./cli/output.ts";
import { AppError } from "./kernel/errors.ts";
import { VERSION } from "./kernel/version.ts";

const SERVE_LINE: readonly [string, string] = [
  "serve [--host H] [--port P] [--config FILE] [--tenant S]",
  "Start the gateway; the first start makes an operator and a tenant.",
];

async function main(args: readonly string[]): Promise<number> {
  const [first = "help", second = ""] = args;
  if (first === "serve" && !args.includes("--help") && !args.includes("-h")) {
    // Only `serve` loads the whole program; the other commands stay quick.
    const { serve } = await import("./main.ts");
    await serve(args.slice(1));
    return -1;
  }
  if (first === "version" || first === "--version" || first === "-v") return version(args.includes("--json"));
  if (first === "help" || first === "serve" || first === "--help" || first === "-h")
    return help(await loadCommands(), topicOf(args.slice(1)));
  const commands = await loadCommands(first);
  const command = commands.find((known) => known.name === first || known.name === `${first} ${second}`);
  if (command === undefined) return unknown(commands, first, second);
  const words = command.name.split(" ").length;
  const call = readCall(command, args.slice(words), standardOutput);
  if (call === "help") return help([command], command.name);
  return (await command.run(call)) ?? 0;
}

/** The words before any flag. */
function topicOf(words: readonly string[]): string {
  const end = words.findIndex((word) => word.startsWith("-"));
  return words.slice(0, end === -1 ? undefined : end).join(" ");
}

function unknown(commands: readonly Command[], first: string, second: string): never {
  const group = commands.filter((known) => known.name.startsWith(`${first} `)).map((known) => known.name);
  if (group.length === 0) throw new UsageError(`"${first}" is not a command. See creel help.`);
  const said = second === "" || second.startsWith("-") ? `"${first}" alone` : `"${first} ${second}"`;
  throw new UsageError(`${said} is not a command; there is: ${group.join(", ")}.`);
}

function help(commands: readonly Command[], topic: string): number {
  const command = commands.find((known) => known.name === topic);
  const wanted = command === undefined ? commands : [command];
  const lines = wanted.map((known) => [`${known.name} ${known.usage}`.trim(), known.summary] as const);
  if (command === undefined) lines.unshift(SERVE_LINE);
  const text = lines.map(([usage, summary]) => `  creel ${usage}\n      ${summary}`).join("\n");
  process.stdout.write(
    `${command === undefined ? "Creel, a tenant-aware OpenClaw gateway.\n\n" : ""}${text}\n
Every command takes --state-dir DIR (default: OPENCLAW_STATE_DIR or ~/.openclaw) and --json, and works beside a
running server. Exit codes: 0 done, 1 failed, 2 called wrongly.\n`,
  );
  return 0;
}

function version(isJson: boolean): number {
  standardOutput(isJson).answer({ version: VERSION }, [VERSION]);
  return 0;
}

/** One line, never a stack: whoever runs a command can act on a sentence. */
function report(thrown: unknown, isJson: boolean): number {
  const isUsage = thrown instanceof UsageError;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const code = isUsage ? "usage" : thrown instanceof AppError ? thrown.code : "internal";
  const cause =
    thrown instanceof AppError && thrown.cause instanceof Error ? ` (${thrown.cause.message})` : "";
  const line = `${message}${code === "internal" || code === "tenant_unavailable" ? cause : ""}`.replace(
    /\s*\n\s*/g,
    " ",
  );
  process.stderr.write(
    isJson ? `${JSON.stringify({ error: { code, message: line } })}\n` : `creel: ${line}\n`,
  );
  return isUsage ? 2 : 1;
}

const args = process.argv.slice(2);
// SECURITY: whatever a command makes is for this user alone, whatever the folder above allows.
process.umask(0o077);
// The store's thread does not keep a process alive, so something has to until the command is done.
const alive = setInterval(() => {}, 60_000);
main(args)
  .finally(() => clearInterval(alive))
  .then(
    (code) => {
      // A server keeps running after it has started; it sets its own exit code when it ends.
      if (code >= 0) process.exitCode = code;
    },
    (thrown: unknown) => {
      process.exitCode = report(thrown, args.includes("--json"));
    },
  );
