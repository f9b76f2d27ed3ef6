/**
 * How fast lost authority bites, with many sockets that ask and hear all the time. Owns: the sockets, the moment of the
 * commit, what each socket got after it. Refuses to know: which ways of losing authority there are.
 */
import { join } from "node:path";
import { WebSocket } from "ws";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import type { Database } from "#src/storage/database.ts";
import type { TestApp } from "./start-app.ts";

/** What one socket got, by the wall clock. */
export interface Watched {
  readonly group: string;
  readonly socket: WebSocket;
  lastAcceptedMs: number;
  lastEventMs: number;
  closed: { code: number; atMs: number } | undefined;
}

/** Milliseconds from the commit, one entry per socket; 0 for what was over before it. */
export interface Bite {
  name: string;
  sockets: number;
  accepted: number[];
  heard: number[];
  closed: number[];
  codes: number[];
}

/** How often the feed of changes is looked at to find the moment of a commit. */
const LOOK_MS = 5;
const ASK_MS = 10;

/** See the head of this file. */
export class RevocationMeter {
  readonly watched = new Set<Watched>();
  private readonly world: TestApp;
  private readonly roundMs: number;
  private readonly databases = new SqliteDatabases({
    migrationsDirectory: new URL("../../migrations", import.meta.url).pathname,
  });
  private readonly control: Database;
  private readonly timers: NodeJS.Timeout[] = [];
  private seq = 0;
  private unchangedMs = Date.now();
  private committedMs: number | undefined;
  private queue: Watched[] = [];

  /** @param roundMs every socket asks something once in this time */
  constructor(world: TestApp, roundMs: number) {
    this.world = world;
    this.roundMs = roundMs;
    // As another process would: nothing is told to it.
    this.control = this.databases.open("control", join(world.stateDir, "control.db"), "control");
  }

  start(): void {
    this.timers.push(setInterval(() => void this.look(), LOOK_MS));
    this.timers.push(setInterval(() => this.ask(), ASK_MS));
  }

  /** Open sockets with one credential; each follows the tenant's sessions. */
  async open(group: string, token: string, count: number): Promise<void> {
    for (let left = count; left > 0; left -= 40) {
      await Promise.all(Array.from({ length: Math.min(left, 40) }, () => this.openOne(group, token)));
    }
  }

  /** Sockets that are open now, of all groups or of one. */
  live(group?: string): Watched[] {
    return [...this.watched].filter(
      (one) => one.closed === undefined && (group === undefined || one.group === group),
    );
  }

  /**
   * Take the authority of a group away and see what its sockets get after the commit; resolves when all are closed, or
   * after `patienceMs`.
   */
  async bite(name: string, group: string, act: () => Promise<unknown>, patienceMs = 10_000): Promise<Bite> {
    const hit = this.live(group);
    await this.look();
    this.committedMs = undefined;
    const done = act();
    const deadline = Date.now() + patienceMs;
    while (Date.now() < deadline && (this.committedMs === undefined || this.live(group).length > 0))
      await new Promise((resolve) => setTimeout(resolve, 20));
    await done;
    // Whatever still came would come now.
    await new Promise((resolve) => setTimeout(resolve, 300));
    const from = this.committedMs ?? Number.NaN;
    const since = (ms: number) => Math.max(0, ms - from);
    return {
      name,
      sockets: hit.length,
      accepted: hit.map((one) => since(one.lastAcceptedMs)),
      heard: hit.map((one) => since(one.lastEventMs)),
      closed: hit.map((one) =>
        one.closed === undefined ? Number.POSITIVE_INFINITY : since(one.closed.atMs),
      ),
      codes: hit.map((one) => one.closed?.code ?? 0),
    };
  }

  async close(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    for (const { socket } of this.watched) socket.terminate();
    await this.databases.close();
  }

  private async openOne(group: string, token: string): Promise<void> {
    const socket = new WebSocket(this.world.wsUrl);
    const one: Watched = { group, socket, lastAcceptedMs: 0, lastEventMs: 0, closed: undefined };
    await new Promise<void>((resolve, reject) => {
      socket.on("message", (data) => {
        const text = String(data);
        if (text.startsWith('{"type":"event","event":"connect.challenge"')) return greet(socket, token);
        if (text.startsWith('{"type":"event"')) one.lastEventMs = Date.now();
        else if (!text.includes('"ok":true')) return;
        else if (text.includes('"hello-ok"'))
          socket.send(request("follow", "sessions.subscribe", { limit: 1 }));
        else if (text.includes('"follow"')) resolve();
        else one.lastAcceptedMs = Date.now();
      });
      socket.on("error", reject);
      socket.on("close", (code) => {
        one.closed = { code, atMs: Date.now() };
        reject(new Error(`closed ${code}`));
      });
    });
    this.watched.add(one);
  }

  /** Some sockets ask something cheap. */
  private ask(): void {
    if (this.queue.length === 0) this.queue = this.live();
    const some = Math.ceil((this.watched.size * ASK_MS) / this.roundMs);
    for (const { socket } of this.queue.splice(0, some))
      if (socket.readyState === socket.OPEN) socket.send(request("ask", "gateway.identity.get", {}));
  }

  /** The commit was after the last look that did not see it: what is measured from there is never too little. */
  private async look(): Promise<void> {
    const startedMs = Date.now();
    const row = await this.control.find<{ seq: number | null }>("SELECT max(seq) AS seq FROM access_changes");
    const seq = row?.seq ?? 0;
    if (seq > this.seq) {
      this.committedMs ??= this.unchangedMs;
      this.seq = seq;
    }
    this.unchangedMs = startedMs;
  }
}

function greet(socket: WebSocket, token: string): void {
  const client = { id: "test", version: "1.0.0", platform: "linux", mode: "test" };
  const about = { minProtocol: 4, maxProtocol: 4, client, role: "operator", scopes: ["operator.admin"] };
  socket.send(request("hello", "connect", { ...about, auth: { token } }));
}

function request(id: string, method: string, params: unknown): string {
  return JSON.stringify({ type: "req", id, method, params });
}

/** The value below which `part` of the numbers lie. */
export function percentile(numbers: readonly number[], part: number): number {
  const sorted = [...numbers].sort((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

const STEPS_MS = [1, 5, 10, 25, 50, 100, 200, 300, 400, 500, 750, 1_000, Number.POSITIVE_INFINITY];

/** What was measured, as lines for people: one row per way, then how the worst of each socket is spread. */
export function histogram(bites: readonly Bite[]): string[] {
  const head = [
    "ms from commit".padEnd(34),
    "sockets",
    ...["accepted p99", "heard p99", "closed p99", "max"],
  ];
  const rows = bites.map((bite) => {
    const worst = Math.max(...bite.accepted, ...bite.heard, ...bite.closed);
    const figures = [bite.accepted, bite.heard, bite.closed].map((list) => percentile(list, 0.99));
    return [bite.name.padEnd(34), String(bite.sockets), ...figures.map(String), String(worst)];
  });
  const all = bites.flatMap((bite) => bite.accepted.map((ms, index) => Math.max(ms, bite.heard[index] ?? 0)));
  const spread = STEPS_MS.map((step, index) => {
    const below = STEPS_MS[index - 1] ?? -1;
    const count = all.filter((ms) => ms > below && ms <= step).length;
    const bar = "#".repeat(Math.ceil((count / Math.max(1, all.length)) * 50));
    return `${(Number.isFinite(step) ? `<= ${step}` : `> ${below}`).padStart(10)} ms ${String(count).padStart(6)} ${bar}`;
  });
  return [
    ...[head, ...rows].map((row) => row.map((cell, at) => (at === 0 ? cell : cell.padStart(13))).join("")),
    "",
    "last accepted action or delivered event of each socket, after the commit:",
    ...spread,
  ];
}
