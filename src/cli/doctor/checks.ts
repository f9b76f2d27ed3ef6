/**
 * The checks of `creel doctor`. Owns: how each thing is looked at. Refuses to know: how findings are shown.
 * A check changes nothing and never throws: what it cannot see is a finding too.
 */
import { constants } from "node:fs";
import { access, lstat, mkdtemp, readdir, readFile, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configureFsSafeNative, root } from "@openclaw/fs-safe";
import { loadConfig } from "../../config/load.ts";
import { systemClock } from "../../kernel/clock.ts";
import { isUuid } from "../../kernel/ids.ts";
import { LIMITS } from "../../kernel/limits.ts";
import { CONTROL_FILE, MASTER_KEY_FILE } from "../state.ts";
import { inspectDatabase } from "./databases.ts";
import { inspectProviders } from "./sign-in.ts";

/** What a check found. */
export interface Finding {
  level: "ok" | "warning" | "error";
  /** What was looked at. */
  subject: string;
  message: string;
  /** What to do about it. */
  fix?: string;
}

/** What a check may look at. */
export interface CheckInput {
  stateDir: string;
  config: string | undefined;
}

type Check = (input: CheckInput) => Promise<Finding[]>;

const MIB = 1024 * 1024;
/** Below this, a busy gateway fills the disk within minutes. */
const LOW_DISK_BYTES = 256 * MIB;
const TIGHT_DISK_BYTES = 2048 * MIB;

const runtime: Check = async () => {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const isGood = major > 24 || (major === 24 && minor >= 14);
  return [
    isGood
      ? { level: "ok", subject: "node", message: `version ${process.versions.node}` }
      : {
          level: "warning",
          subject: "node",
          message: `version ${process.versions.node} lacks security fixes`,
          fix: "Run Creel on Node 24.14.1 or newer.",
        },
  ];
};

const stateDirectory: Check = async ({ stateDir }) => {
  const found = await lstat(stateDir).catch(() => undefined);
  const subject = "state directory";
  if (found === undefined) {
    return [
      {
        level: "error",
        subject,
        message: `${stateDir} is not there`,
        fix: "Start the server once (creel serve), or give --state-dir.",
      },
    ];
  }
  if (!found.isDirectory()) {
    return [
      {
        level: "error",
        subject,
        message: `${stateDir} is not a folder`,
        fix: "Give a folder as --state-dir.",
      },
    ];
  }
  const findings: Finding[] = [];
  const canWrite = await access(stateDir, constants.R_OK | constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!canWrite) {
    findings.push({
      level: "error",
      subject,
      message: `${stateDir} cannot be read and written by this user`,
      fix: `chown -R ${userName()} '${stateDir}'`,
    });
  }
  findings.push(...(await openToOthers(stateDir, [""], 0o077, "chmod 700")));
  return findings.length === 0 ? [{ level: "ok", subject, message: stateDir }] : findings;
};

/** Files of the folder that somebody else could read, or that belong to somebody else. */
const ownership: Check = async ({ stateDir }) => {
  const tenants = await readdir(join(stateDir, "tenants")).catch(() => []);
  const names = [
    CONTROL_FILE,
    MASTER_KEY_FILE,
    "tenants",
    ...tenants.filter(isUuid).flatMap((id) => [`tenants/${id}`, `tenants/${id}/tenant.db`]),
  ];
  const secret = await openToOthers(stateDir, [MASTER_KEY_FILE], 0o077, "chmod 600");
  const foreign = await ownedByOthers(stateDir, names);
  const key = await lstat(join(stateDir, MASTER_KEY_FILE)).catch(() => undefined);
  const control = await lstat(join(stateDir, CONTROL_FILE)).catch(() => undefined);
  const findings = [...secret, ...foreign];
  if (key === undefined && control !== undefined) {
    findings.push({
      level: "error",
      subject: "master key",
      message: `${MASTER_KEY_FILE} is missing while ${CONTROL_FILE} is there`,
      fix: "Restore the master key from a backup; without it no token, session or secret can be opened.",
    });
  }
  return findings.length === 0
    ? [{ level: "ok", subject: "ownership", message: "files are private" }]
    : findings;
};

async function openToOthers(folder: string, names: string[], mask: number, fix: string): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const name of names) {
    const path = name === "" ? folder : join(folder, name);
    const found = await lstat(path).catch(() => undefined);
    if (found === undefined || (found.mode & mask) === 0) continue;
    findings.push({
      level: "error",
      subject: "permissions",
      message: `${path} is open to other users (mode ${(found.mode & 0o777).toString(8)})`,
      fix: `${fix} '${path}'`,
    });
  }
  return findings;
}

async function ownedByOthers(folder: string, names: string[]): Promise<Finding[]> {
  const uid = process.getuid?.();
  const findings: Finding[] = [];
  for (const name of names) {
    const found = await lstat(join(folder, name)).catch(() => undefined);
    if (found === undefined || uid === undefined || found.uid === uid) continue;
    findings.push({
      level: "error",
      subject: "ownership",
      message: `${join(folder, name)} belongs to user ${found.uid}, this is user ${uid}`,
      fix: `chown -R ${userName()} '${folder}', or run creel as the user the server runs as`,
    });
  }
  return findings;
}

function userName(): string {
  return String(process.getuid?.() ?? "$(whoami)");
}

const disk: Check = async ({ stateDir }) => {
  const found = await statfs(stateDir).catch(() => undefined);
  if (found === undefined) return [];
  const freeBytes = found.bavail * found.bsize;
  const message = `${Math.floor(freeBytes / MIB)} MiB free`;
  const fix = "Free space on this disk or move the state directory; a full disk stops all writing.";
  if (freeBytes < LOW_DISK_BYTES) return [{ level: "error", subject: "disk", message, fix }];
  if (freeBytes < TIGHT_DISK_BYTES) return [{ level: "warning", subject: "disk", message, fix }];
  return [{ level: "ok", subject: "disk", message }];
};

/** A clock before this program was written is wrong; files from the future say so as well. */
const EARLIEST_MS = Date.UTC(2026, 0, 1);
const AHEAD_MS = 5 * 60 * 1000;

const clock: Check = async ({ stateDir }) => {
  const nowMs = systemClock.nowMs();
  const fix = "Turn time synchronisation on: timedatectl set-ntp true";
  const newest = await lstat(join(stateDir, CONTROL_FILE)).catch(() => undefined);
  if (nowMs < EARLIEST_MS || (newest !== undefined && newest.mtimeMs > nowMs + AHEAD_MS)) {
    return [
      { level: "error", subject: "clock", message: `${new Date(nowMs).toISOString()} cannot be right`, fix },
    ];
  }
  return [{ level: "ok", subject: "clock", message: new Date(nowMs).toISOString() }];
};

const configuration: Check = async ({ stateDir, config }) => {
  try {
    const loaded = loadConfig({ env: process.env, flags: { "state-dir": stateDir, config } });
    return [{ level: "ok", subject: "configuration", message: loaded.file ?? "no file, defaults are used" }];
  } catch (thrown) {
    return [
      {
        level: "error",
        subject: "configuration",
        message: thrown instanceof Error ? thrown.message : String(thrown),
        fix: "Correct the setting named here; docs/config.md lists them all.",
      },
    ];
  }
};

const signInProviders: Check = async ({ stateDir, config }) => {
  // What is wrong with the configuration itself is said by the check before.
  const found = await Promise.resolve()
    .then(() => loadConfig({ env: process.env, flags: { "state-dir": stateDir, config } }))
    .then((loaded) => inspectProviders(loaded.config))
    .catch(() => []);
  return found.map(({ id, issuer, problem }) =>
    problem === null
      ? { level: "ok", subject: `sign-in provider ${id}`, message: issuer }
      : {
          level: "warning",
          subject: `sign-in provider ${id}`,
          message: `${issuer}: ${problem}`,
          fix: "See the troubleshooting part of docs/sign-in.md.",
        },
  );
};

/** Three descriptors for a database on each of two threads, and one for a socket. */
const FILES_WANTED = LIMITS.openDatabases * 6 + 2 * LIMITS.socketsPerTenant;

const openFiles: Check = async () => {
  const limit = await fileLimit();
  if (limit === undefined) return [];
  const message = `${limit} may be open at once`;
  if (limit >= FILES_WANTED) return [{ level: "ok", subject: "open files", message }];
  return [
    {
      level: "warning",
      subject: "open files",
      message,
      fix: `Raise the limit to ${FILES_WANTED} or more: ulimit -n, or LimitNOFILE= in the service's unit.`,
    },
  ];
};

/** Node raises its own limit to the hard one at start, so what this process has, the server has. */
async function fileLimit(): Promise<number | undefined> {
  const text = await readFile("/proc/self/limits", "utf8").catch(() => "");
  const soft = /^Max open files +(\S+)/m.exec(text)?.[1];
  if (soft === undefined) return undefined;
  return soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
}

const fileSafety: Check = async () => {
  const folder = await mkdtemp(join(tmpdir(), "creel-doctor-"));
  try {
    configureFsSafeNative({ mode: "require" });
    const jail = await root(folder);
    await jail.write("probe", "x");
    return [
      { level: "ok", subject: "file safety", message: "native: workspace paths are checked by the kernel" },
    ];
  } catch {
    return [
      {
        level: "warning",
        subject: "file safety",
        message: "JavaScript mode: workspace paths are checked, but not atomically",
        fix: "Run npm ci with Node 22 or newer, so that npm installs the native part of @openclaw/fs-safe.",
      },
    ];
  } finally {
    configureFsSafeNative({ mode: "auto" });
    await rm(folder, { recursive: true, force: true });
  }
};

const databases: Check = async ({ stateDir }) => {
  const control = inspectDatabase(join(stateDir, CONTROL_FILE), "control");
  const findings: Finding[] = [];
  if (control.problem !== undefined) findings.push(broken(CONTROL_FILE, control.problem));
  for (const id of control.tenantIds) {
    const name = `tenants/${id}/tenant.db`;
    if (!isUuid(id)) continue;
    const found = inspectDatabase(join(stateDir, name), id);
    if (found.problem !== undefined && found.problem !== "missing")
      findings.push(broken(name, found.problem));
  }
  if (findings.length > 0) return findings;
  const count = control.tenantIds.length;
  return [
    { level: "ok", subject: "databases", message: `control.db and those of ${count} tenants are sound` },
  ];
};

function broken(name: string, problem: string): Finding {
  return {
    level: "error",
    subject: "databases",
    message: `${name}: ${problem}`,
    fix:
      problem === "missing"
        ? "Start the server once (creel serve), or give --state-dir."
        : "Stop the server, keep a copy of the file, and restore it from the last backup.",
  };
}

/** All checks, in the order in which they help: nothing below makes sense without what is above it. */
export const CHECKS: readonly Check[] = [
  runtime,
  stateDirectory,
  ownership,
  disk,
  clock,
  configuration,
  signInProviders,
  openFiles,
  fileSafety,
  databases,
];
