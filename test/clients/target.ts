/**
 * What a client test or a benchmark is pointed at. Owns: the shape of a running gateway and the waiting that any of them
 * needs. Refuses to know: how Creel or stock OpenClaw is started (creel.ts, openclaw.ts).
 */
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";

/** One door of a gateway: where to knock and with which credential. */
export type Target = {
  /** The tenant's slug, or `openclaw` for the stock gateway. */
  name: string;
  wsUrl: string;
  httpUrl: string;
  token: string;
};

/** A gateway process under test. */
export type Gateway = {
  kind: "creel" | "openclaw" | "bare";
  pid: number;
  /** Milliseconds from spawn to the first answered `/readyz`. */
  readyMs: number;
  /** The doors that exist from the start; Creel has two tenants, the others one. */
  targets: Target[];
  /** The last output of the process, for messages of failing tests. */
  output(): string;
  stop(): Promise<void>;
};

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Resolves with the first defined result; throws with `what` and the process's output when time is up. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined> | T | undefined,
  options: { timeoutMs?: number; everyMs?: number; output?: () => string } = {},
): Promise<T> {
  const deadline = performance.now() + (options.timeoutMs ?? 30_000);
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (performance.now() > deadline) {
      throw new Error(`${what}: not seen in time\n${options.output?.() ?? ""}`);
    }
    await new Promise((resolve) => setTimeout(resolve, options.everyMs ?? 20));
  }
}

/** Keeps the tail of what a child prints. */
export function tailOf(child: ChildProcess, limitChars = 8_000): () => string {
  let text = "";
  const add = (chunk: Buffer) => {
    text = (text + chunk.toString("utf8")).slice(-limitChars);
  };
  child.stdout?.on("data", add);
  child.stderr?.on("data", add);
  return () => text;
}

/** Waits until the process answers `/readyz` with 200, or says why it will not. */
export async function waitReady(child: ChildProcess, httpUrl: string, output: () => string): Promise<number> {
  const startedAt = performance.now();
  await until(
    `${httpUrl}/readyz`,
    async () => {
      if (child.exitCode !== null) throw new Error(`the gateway ended with ${child.exitCode}\n${output()}`);
      const answer = await fetch(`${httpUrl}/readyz`).catch(() => undefined);
      await answer?.arrayBuffer();
      return answer?.status === 200 ? true : undefined;
    },
    { timeoutMs: 60_000, everyMs: 10, output },
  );
  return performance.now() - startedAt;
}

/** Ends a child politely, then firmly. */
export async function stopChild(child: ChildProcess, graceMs = 10_000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
  await ended;
  clearTimeout(timer);
}

/** Resident memory of a process and its descendants, bytes (Linux). */
export function treeRssBytes(pid: number): number {
  const children = readChildren(pid);
  return rssBytes(pid) + children.reduce((sum, child) => sum + treeRssBytes(child), 0);
}

function rssBytes(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

function readChildren(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}
