/**
 * A program in a pseudo-terminal. Owns: making one with `script` (util-linux, part of every Debian and Ubuntu), typing into it,
 * reading what it shows. Refuses to know: which program it is.
 */
import { spawn, spawnSync } from "node:child_process";
import { stripVTControlCharacters } from "node:util";
import { until } from "../target.ts";

/** A running terminal program. */
export type Terminal = {
  /** All it ever showed, without control sequences. */
  shown(): string;
  type(text: string): void;
  /** Resolves when the text has been shown since `from` (an earlier `shown().length`). */
  sees(text: string | RegExp, from?: number): Promise<void>;
  close(): Promise<void>;
};

/** Why there can be no pseudo-terminal here, or undefined when there can. */
export function whyNoTerminal(): string | undefined {
  const found = spawnSync("script", ["--version"], { encoding: "utf8" });
  if (found.status === 0 && found.stdout.includes("util-linux")) return undefined;
  return "needs `script` of util-linux for a pseudo-terminal (Debian, Ubuntu: apt-get install bsdutils)";
}

/** Starts a program in a pseudo-terminal of 160 by 50. */
export function openTerminal(
  command: string[],
  options: { cwd: string; env: Record<string, string> },
): Terminal {
  const line = `stty cols 160 rows 50; exec ${command.map(quoted).join(" ")}`;
  const child = spawn("script", ["--quiet", "--return", "--flush", "--command", line, "/dev/null"], {
    cwd: options.cwd,
    env: options.env,
    stdio: ["pipe", "pipe", "pipe"],
  });
  let raw = "";
  child.stdout.on("data", (chunk: Buffer) => {
    raw += chunk.toString("utf8");
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const shown = () => stripVTControlCharacters(raw);
  return {
    shown,
    type: (text) => void child.stdin.write(text),
    sees: async (text, from = 0) => {
      const found = (screen: string) =>
        typeof text === "string" ? screen.includes(text) : text.test(screen);
      const look = () => (found(shown().slice(from)) ? true : undefined);
      await until(`${text} in the terminal`, look, {
        output: () => shown().slice(-3_000),
        timeoutMs: 45_000,
      });
    },
    close: async () => {
      // Two ctrl+c end the TUI; whatever does not listen loses its terminal.
      child.stdin.write("\u0003");
      setTimeout(() => child.stdin.writable && child.stdin.write("\u0003"), 200);
      const timer = setTimeout(() => child.kill("SIGKILL"), 4_000);
      await ended;
      clearTimeout(timer);
    },
  };
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
