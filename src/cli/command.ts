/**
 * What a command is and how its arguments are read. Owns: flags every command has, usage errors, help texts.
 * Refuses to know: what commands do.
 */
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import type { Output } from "./output.ts";

/** A mistake in how the command was called: exit code 2. */
export class UsageError extends Error {}

/** Arguments as a command sees them. */
export interface CommandCall {
  /** Absolute. */
  stateDir: string;
  positionals: readonly string[];
  /** Value of a flag, or undefined. */
  flag(name: string): string | undefined;
  /** Value of a flag; a usage error without it. */
  required(name: string): string;
  /** Whether a flag without a value was given. */
  isSet(name: string): boolean;
  /** All values of a flag that may be repeated. */
  all(name: string): readonly string[];
  out: Output;
}

/** One command, e.g. `tenant create`. */
export interface Command {
  name: string;
  /** Flags and arguments after the name, for the help. */
  usage: string;
  summary: string;
  /** Flags besides `--state-dir`, `--json` and `--help`. */
  options: ParseArgsOptionsConfig;
  /** How many arguments without a flag are taken. */
  positionals: number;
  /** @returns the exit code, 0 when nothing is returned */
  run(call: CommandCall): Promise<number | undefined>;
}

/** Flags that every command has. */
export const SHARED_OPTIONS: ParseArgsOptionsConfig = {
  "state-dir": { type: "string" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
};

/** Read the arguments of a command; throws UsageError. */
export function readCall(
  command: Command,
  args: readonly string[],
  makeOutput: (isJson: boolean) => Output,
): CommandCall | "help" {
  const { values, positionals } = parse(command, args);
  if (values["help"] === true) return "help";
  if (positionals.length !== command.positionals) {
    const problem = positionals.length < command.positionals ? "Something is missing" : "There is too much";
    throw new UsageError(`${problem} after "creel ${command.name}".`);
  }
  const flag = (name: string) => {
    const value = values[name];
    return typeof value === "string" && value.length > 0 ? value : undefined;
  };
  return {
    stateDir: stateDirectory(flag("state-dir")),
    positionals,
    flag,
    required(name) {
      const value = flag(name);
      if (value === undefined) throw new UsageError(`--${name} is missing.`);
      return value;
    },
    isSet: (name) => values[name] === true,
    all(name) {
      const value = values[name];
      return Array.isArray(value) ? value.map(String) : [];
    },
    out: makeOutput(values["json"] === true),
  };
}

function parse(command: Command, args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: { ...SHARED_OPTIONS, ...command.options },
      allowPositionals: true,
      strict: true,
    });
  } catch (thrown) {
    const text = thrown instanceof Error ? thrown.message : String(thrown);
    throw new UsageError(text.split(". To specify")[0] ?? text);
  }
}

/** Where state is kept: the flag, else OPENCLAW_STATE_DIR, else ~/.openclaw. */
function stateDirectory(flag: string | undefined): string {
  return resolve(flag ?? process.env["OPENCLAW_STATE_DIR"] ?? join(homedir(), ".openclaw"));
}
