/**
 * Runs that are going on in this process. Owns: one lane per (tenant, session), what is active and what waits in it.
 * Refuses to know: storage, models, events. All of it can be lost: the `runs` table is the truth.
 */
import type { RunId, SessionKey, TenantId } from "../../kernel/ids.ts";
import type { Principal } from "../../tenancy/principal.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { RunRow } from "./run.ts";
import type { RunStream } from "./run-stream.ts";

/** How a run ended, for those who wait for it. */
export interface RunResult {
  status: "done" | "failed" | "aborted";
  /** All that the assistant said, steps joined by blank lines. */
  text: string;
  stopReason: string;
  errorMessage: string | undefined;
  endedAtMs: number;
  /** Set when the end could not be stored: try again until it resolves. */
  settle?: (() => Promise<void>) | undefined;
}

/** The stop reason of a run that did not end, but was laid aside because the process stops. */
export const LAID_ASIDE = "restart";

/** The stop reason of runs whose author lost their access. */
export const ACCESS_ENDED = "access";

/** A run that is being worked on. */
export interface ActiveRun {
  readonly run: RunRow;
  readonly scope: TenantScope;
  /** Whoever began it. */
  readonly principal: Principal;
  readonly stream: RunStream;
  readonly controller: AbortController;
  /** Who asked for the abort, e.g. `rpc`. */
  abortOrigin: string | undefined;
  /** Set when the process stops: the run is left open in the store, and the next start takes it up. */
  isAbandoned: boolean;
  /** Runs whose input was steered into this one; they end when it ends. */
  readonly joined: RunRow[];
  readonly done: Promise<RunResult>;
}

/** A run whose input waits, with the authority of whoever sent it. */
export interface WaitingRun {
  readonly run: RunRow;
  readonly scope: TenantScope;
  readonly principal: Principal;
}

/** One session's order of work. */
export class Lane {
  active: ActiveRun | undefined;
  readonly waiting: WaitingRun[] = [];
  /** Set while an accepted run is being stored that will be active next. */
  isStarting = false;
  private tail: Promise<unknown> = Promise.resolve();
  private pending = 0;
  private lastAcceptedMs = 0;

  /** Run `work` after all that was handed in before it, so that decisions about the lane never interleave. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    this.pending++;
    const result = this.tail.then(work, work).finally(() => {
      this.pending--;
    });
    this.tail = result.catch(() => undefined);
    return result;
  }

  /** The time to write on the next accepted run: order is read from it, so no two are the same or go back. */
  nextAcceptedMs(nowMs: number): number {
    this.lastAcceptedMs = Math.max(nowMs, this.lastAcceptedMs + 1);
    return this.lastAcceptedMs;
  }

  /** Whether nothing is active, waiting, or about to be: only then may the lane be forgotten. */
  get isIdle(): boolean {
    return this.active === undefined && this.waiting.length === 0 && this.pending === 0;
  }
}

/** See the head of this file. */
export class LiveRuns {
  private readonly byTenant = new Map<TenantId, Map<SessionKey, Lane>>();
  private readonly listeners = new Map<TenantId, Map<string, Set<(result: RunResult) => void>>>();
  private readonly held = new Map<TenantId, number>();

  /** The lane of a session, made if need be. */
  lane(tenantId: TenantId, key: SessionKey): Lane {
    let lanes = this.byTenant.get(tenantId);
    if (lanes === undefined) {
      lanes = new Map();
      this.byTenant.set(tenantId, lanes);
    }
    let lane = lanes.get(key);
    if (lane === undefined) {
      lane = new Lane();
      lanes.set(key, lane);
    }
    return lane;
  }

  /**
   * Decide something about a session's lane, alone. ORDER: a lane is only forgotten when nobody is about to decide, else
   * a second lane of the same session would run beside it.
   */
  async exclusive<T>(tenantId: TenantId, key: SessionKey, work: (lane: Lane) => Promise<T>): Promise<T> {
    const lane = this.lane(tenantId, key);
    try {
      return await lane.exclusive(() => work(lane));
    } finally {
      this.sweep(tenantId, key);
    }
  }

  find(tenantId: TenantId, key: SessionKey): Lane | undefined {
    return this.byTenant.get(tenantId)?.get(key);
  }

  /** The active run with this id, whatever its session. */
  findActive(tenantId: TenantId, runId: string): ActiveRun | undefined {
    for (const lane of this.byTenant.get(tenantId)?.values() ?? []) {
      if (lane.active?.run.run_id === runId) return lane.active;
    }
    return undefined;
  }

  /** Runs of a tenant that are active or about to be. */
  countActive(tenantId: TenantId): number {
    let count = 0;
    for (const lane of this.byTenant.get(tenantId)?.values() ?? []) {
      if (lane.active !== undefined || lane.isStarting) count++;
    }
    return count;
  }

  /** Forget an idle lane, so that memory follows what is active. */
  private sweep(tenantId: TenantId, key: SessionKey): void {
    const lanes = this.byTenant.get(tenantId);
    if (lanes?.get(key)?.isIdle !== true) return;
    lanes.delete(key);
    if (lanes.size === 0) this.byTenant.delete(tenantId);
  }

  /** Count a tenant as busy until the returned function is called: something of its runs is not stored yet. */
  hold(tenantId: TenantId): () => void {
    this.held.set(tenantId, (this.held.get(tenantId) ?? 0) + 1);
    return () => {
      const left = (this.held.get(tenantId) ?? 1) - 1;
      if (left <= 0) this.held.delete(tenantId);
      else this.held.set(tenantId, left);
    };
  }

  /** Whether a tenant has anything active, waiting or held. */
  isBusy(tenantId: TenantId): boolean {
    if (this.held.has(tenantId)) return true;
    for (const lane of this.byTenant.get(tenantId)?.values() ?? []) if (!lane.isIdle) return true;
    return false;
  }

  /** Lanes of a tenant, or of every one; only for news that concern them. */
  unscopedLanes(only: TenantId | null): { tenantId: TenantId; lane: Lane }[] {
    return [...this.byTenant]
      .filter(([tenantId]) => only === null || tenantId === only)
      .flatMap(([tenantId, lanes]) => [...lanes.values()].map((lane) => ({ tenantId, lane })));
  }

  /** Every active run of every tenant; only for draining at shutdown. */
  unscopedActive(): ActiveRun[] {
    return [...this.byTenant.values()].flatMap((lanes) =>
      [...lanes.values()].flatMap((lane) => (lane.active === undefined ? [] : [lane.active])),
    );
  }

  /** Be told when a run ends; the returned function ends the wait. */
  onEnd(tenantId: TenantId, runId: RunId, listener: (result: RunResult) => void): () => void {
    const runs = this.listeners.get(tenantId) ?? new Map<string, Set<(result: RunResult) => void>>();
    this.listeners.set(tenantId, runs);
    const set = runs.get(runId) ?? new Set();
    runs.set(runId, set);
    set.add(listener);
    return () => {
      set.delete(listener);
      if (set.size === 0) runs.delete(runId);
      if (runs.size === 0) this.listeners.delete(tenantId);
    };
  }

  /** Tell those who wait that a run ended. */
  ended(tenantId: TenantId, runId: string, result: RunResult): void {
    const set = this.listeners.get(tenantId)?.get(runId);
    for (const listener of [...(set ?? [])]) listener(result);
  }
}
