/**
 * The thread in which one shell command runs, over files in memory. Owns: loading them, running, naming what changed.
 * Refuses to know: tenants, disks, networks. SECURITY: it starts with an empty environment and gets nothing but files.
 */
import { parentPort, workerData } from "node:worker_threads";
import { Bash, type CommandName, getCommandNames } from "just-bash";

/** What the thread is started with. */
export interface ShellJob {
  command: string;
  /** Contents by path below the workspace. */
  files: ReadonlyMap<string, Uint8Array>;
  timeoutMs: number;
  outputChars: number;
}

/** What the thread answers with, once. */
export interface ShellAnswer {
  output: string;
  exitCode: number;
  /** New and changed files; null for one that was removed. */
  changes: ReadonlyMap<string, Uint8Array | null>;
}

const MIB = 1024 * 1024;
const HOME = "/workspace";
const CHANGED_FILES = 500;

async function run(job: ShellJob): Promise<ShellAnswer> {
  const files = Object.fromEntries([...job.files].map(([path, bytes]) => [`${HOME}/${path}`, bytes.slice()]));
  const bash = new Bash({
    files,
    cwd: HOME,
    env: { HOME, USER: "agent" },
    // Its engine lives outside of the heap that the thread is held to.
    commands: getCommandNames().filter((name) => name !== "sqlite3") as CommandName[],
    // SECURITY: far below the thread's heap, see shell-sandbox.
    executionLimitProfile: "hardened",
    executionLimits: {
      maxExecutionTimeMs: job.timeoutMs,
      maxFileSystemBytes: 40 * MIB,
      maxLiveBytes: 32 * MIB,
      maxInputBytes: 32 * MIB,
      maxStringLength: 2 * MIB,
      maxHeredocSize: 1 * MIB,
      maxOutputSize: 2 * MIB,
      maxArchiveBytes: 16 * MIB,
      maxArchiveCompressedBytes: 8 * MIB,
      maxArchiveEntryBytes: 8 * MIB,
      maxArrayElements: 50_000,
      maxBraceExpansionResults: 10_000,
      maxQueryElements: 100_000,
      maxCsvRows: 100_000,
      maxCsvCells: 500_000,
    },
  });
  await bash.fs.mkdir(HOME, { recursive: true });
  const result = await bash.exec(job.command);
  const output = [result.stdout, result.stderr].filter((text) => text !== "").join("\n");
  return {
    output: output.slice(0, job.outputChars),
    exitCode: result.exitCode,
    changes: await changesOf(bash, job.files),
  };
}

async function changesOf(bash: Bash, before: ShellJob["files"]): Promise<ShellAnswer["changes"]> {
  const changes = new Map<string, Uint8Array | null>();
  const seen = new Set<string>();
  let count = 0;
  for (const path of bash.fs.getAllPaths()) {
    if (!path.startsWith(`${HOME}/`)) continue;
    const found = await bash.fs.lstat(path);
    if (!found.isFile) continue;
    const name = path.slice(HOME.length + 1);
    seen.add(name);
    const bytes = await bash.fs.readFileBuffer(path);
    const old = before.get(name);
    if (old !== undefined && Buffer.compare(old, bytes) === 0) continue;
    if (++count > CHANGED_FILES) break;
    changes.set(name, bytes);
  }
  for (const name of before.keys()) if (!seen.has(name) && count++ < CHANGED_FILES) changes.set(name, null);
  return changes;
}

run(workerData as ShellJob).then(
  (answer) => parentPort?.postMessage(answer),
  (thrown: unknown) =>
    parentPort?.postMessage({
      output: thrown instanceof Error ? thrown.message : "failed",
      exitCode: 1,
      changes: new Map(),
    } satisfies ShellAnswer),
);
