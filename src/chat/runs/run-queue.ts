/**
 * Runs of a session one after the other. Owns: starting, the next in line, steering, stopping.
 * Refuses to know: how an input is accepted, transports, models.
 */
import type { EventHub } from "../../events/hub.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { SessionKey } from "../../kernel/ids.ts";
import type { UserMessage } from "../../protocol/message.ts";
import type { SessionAnnouncer } from "../../sessions/announce.ts";
import type { SessionRow } from "../../sessions/session.ts";
import type { Sessions } from "../../sessions/sessions.ts";
import { appendRows, newRow } from "../../sessions/transcript.ts";
import { runInContext } from "../../tenancy/context.ts";
import type { Principal } from "../../tenancy/principal.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { TurnGate } from "../admission/turn-gate.ts";
import { beginStatements } from "./begin-run.ts";
import {
  ACCESS_ENDED,
  type ActiveRun,
  LAID_ASIDE,
  type Lane,
  type LiveRuns,
  type RunResult,
  type WaitingRun,
} from "./live-runs.ts";
import { endRun, findRun, keyOf, pendingInputOf, type RunRow, settingsOf, startRun } from "./run.ts";
import { RunStream } from "./run-stream.ts";
import type { Turns } from "./turns.ts";
import type { WorkMarks } from "./work-marks.ts";

/** What the queue needs. */
export interface QueueDeps {
  sessions: Sessions;
  announcer: SessionAnnouncer;
  turns: Turns;
  live: LiveRuns;
  marks: WorkMarks;
  hub: EventHub;
  clock: Clock;
  gate: TurnGate;
  /** Whether what a principal began may go on. */
  mayGoOn(principal: Principal): Promise<boolean>;
  /** Which of these credentials have a budget of their own. */
  limitedKeys(scope: TenantScope, keyIds: readonly string[]): Promise<ReadonlySet<string>>;
}

/** Pause before a write that the store refused is tried again. */
const RETRY_MS = 2_000;
/** A timer takes no more; longer deadlines are as good as none. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** See the head of this file. */
export class RunQueue {
  private readonly deps: QueueDeps;
  /** Fires when the process ends. */
  private readonly ending = new AbortController();

  constructor(deps: QueueDeps) {
    this.deps = deps;
  }

  /**
   * Put a run whose input is a transcript row into its lane and make the turn after the acknowledgement left.
   * @param joined runs whose input was told to this one before a crash
   */
  start(
    by: { scope: TenantScope; principal: Principal },
    lane: Lane,
    run: RunRow,
    joined: readonly RunRow[] = [],
  ): void {
    const { scope, principal } = by;
    const { promise, resolve } = Promise.withResolvers<RunResult>();
    const active: ActiveRun = {
      run,
      scope,
      principal,
      stream: new RunStream(this.deps.hub, this.deps.clock, scope.tenantId, run),
      controller: new AbortController(),
      abortOrigin: undefined,
      isAbandoned: false,
      joined: [...joined],
      done: promise,
    };
    lane.active = active;
    const timeoutMs = Math.min(settingsOf(run).timeoutMs ?? 0, LONGEST_TIMER_MS);
    const deadline =
      timeoutMs > 0 ? this.deps.clock.after(timeoutMs, () => abortActive(active, "timeout")) : undefined;
    // SECURITY: a timer or a finished run of somebody else may be what calls us; bind our own tenant anew.
    const context = { tenantId: scope.tenantId, principal, requestId: run.run_id };
    setImmediate(() => {
      void runInContext(context, async () => {
        const session = await this.announceAccepted(scope, run);
        const takeSteering = () => this.steer(scope, lane, active);
        const checkpoint = () => this.checkpoint(active);
        const place = { key: run.session_key, sender: principal.credential.id };
        const leave = await this.deps.gate.enter(scope, place, active.controller.signal);
        const result = await this.deps.turns
          .make({ ...{ scope, principal, active, session }, takeSteering, checkpoint })
          .finally(leave);
        deadline?.cancel();
        await this.deps.live
          .exclusive(scope.tenantId, run.session_key, () => this.finish(scope, lane, active, result))
          .finally(() => resolve(result));
      });
    });
  }

  /** Begin the oldest waiting run of a lane, as whoever sent it; its input becomes a transcript row now. */
  async startNext(scope: TenantScope, lane: Lane, key: SessionKey): Promise<void> {
    for (let next = lane.waiting[0]; next !== undefined; next = lane.waiting[0]) {
      if (lane.active !== undefined) return;
      if (await this.deps.gate.isStopped(scope)) return this.startWhenOpen(scope, key);
      const { run, principal } = next;
      // SECURITY: asked at the time it begins; whoever sent it may have lost their place while it waited.
      if (!(await this.deps.mayGoOn(principal))) {
        await this.endWaiting(scope, lane, [run], "aborted", ACCESS_ENDED);
        continue;
      }
      const now = this.deps.clock.nowMs();
      const session = await this.deps.sessions.find(scope, key);
      if (session === undefined) {
        await this.endWaiting(scope, lane, [run], "failed", "⚠️ The conversation was deleted.");
        continue;
      }
      const begin = beginStatements(scope, session, run, pendingInputOf(run), now);
      const outcome = await scope.db.write({
        appends: [begin.append],
        statements: [startRun(run, session.session_id, now), ...begin.statements],
      });
      const stored = outcome.committed ? undefined : await findRun(scope, run.run_id);
      // The session was reset between our look and our commit.
      if (stored?.state === "queued") continue;
      lane.waiting.shift();
      const begun = { state: "running", session_id: session.session_id, started_at_ms: now } as const;
      if (outcome.committed) {
        const started = { ...run, ...begun, pending_input: null, attempts: run.attempts + 1 };
        this.start({ scope, principal }, lane, started);
      } else if (stored?.state === "running") {
        // An earlier commit of which the disk said nothing took after all.
        this.start({ scope, principal }, lane, stored);
      }
    }
  }

  /**
   * Stop runs of a session: the named one, or the active and all waiting ones. Resolves when they have ended.
   * @returns ids of the runs that were stopped
   */
  async abort(
    scope: TenantScope,
    key: SessionKey,
    runId: string | undefined,
    origin: string,
  ): Promise<string[]> {
    const { live } = this.deps;
    if (live.find(scope.tenantId, key) === undefined) return [];
    const { waiting, active } = await live.exclusive(scope.tenantId, key, async (lane) => {
      const named = lane.waiting
        .map(({ run }) => run)
        .filter((run) => runId === undefined || run.run_id === runId);
      await this.endWaiting(scope, lane, named, "aborted", origin);
      return { waiting: named.map((run) => run.run_id), active: lane.active };
    });
    if (active === undefined || !isNamed(active, runId)) return waiting;
    abortActive(active, origin);
    const { status } = await active.done;
    // The answer may have been complete before the wish to stop it came.
    if (status !== "aborted") return waiting;
    return [active.run.run_id, ...active.joined.map((run) => run.run_id), ...waiting];
  }

  /** Stop working, for the process ends: runs stay open in the store and the next start takes them up. */
  async abandonAll(): Promise<void> {
    this.ending.abort();
    const active = this.deps.live.unscopedActive();
    for (const one of active) {
      one.isAbandoned = true;
      one.controller.abort();
    }
    await Promise.all(active.map((one) => one.done));
  }

  /** Wait for the tenant's pace, and stop the run if whoever began it may not go on; before each model call and each tool. */
  private async checkpoint(active: ActiveRun): Promise<void> {
    const { signal } = active.controller;
    await this.deps.gate.keepPace(active.scope, signal);
    if (signal.aborted || (await this.deps.mayGoOn(active.principal))) return;
    abortActive(active, ACCESS_ENDED);
  }

  private async announceAccepted(scope: TenantScope, run: RunRow): Promise<SessionRow | undefined> {
    try {
      const session = await this.deps.sessions.find(scope, run.session_key);
      if (session !== undefined) await this.deps.announcer.changed(scope, session, { reason: "send" });
      return session;
    } catch {
      // Only an announcement is lost; the turn meets the same trouble and reports it.
      return undefined;
    }
  }

  private async finish(scope: TenantScope, lane: Lane, active: ActiveRun, result: RunResult): Promise<void> {
    const { tenantId } = scope;
    lane.active = undefined;
    this.deps.live.ended(tenantId, active.run.run_id, result);
    for (const joined of active.joined) {
      if (result.stopReason !== LAID_ASIDE) this.endJoined(scope, joined, result);
      this.deps.live.ended(tenantId, joined.run_id, { ...result, text: "", stopReason: "steered" });
    }
    if (result.settle !== undefined) this.settleLater(scope, result.settle);
    if (!active.isAbandoned) await this.goOn(scope, lane, active.run.session_key);
    this.deps.marks.quiet(tenantId, () => this.deps.live.isBusy(tenantId));
  }

  /** The one terminal event of a run that was told to another one. */
  private endJoined(scope: TenantScope, joined: RunRow, result: RunResult): void {
    const stream = new RunStream(this.deps.hub, this.deps.clock, scope.tenantId, joined);
    if (result.status === "done") stream.final("steered", undefined);
    else if (result.status === "aborted") stream.aborted(result.stopReason);
    else stream.failed(result.errorMessage ?? "The run failed.", {});
  }

  /** Start the next run; when the store cannot, again after a while: what waits was acknowledged. */
  private async goOn(scope: TenantScope, lane: Lane, key: SessionKey): Promise<void> {
    try {
      await this.startNext(scope, lane, key);
    } catch {
      this.deps.clock.after(RETRY_MS, () => {
        void this.deps.live.exclusive(scope.tenantId, key, (now) => this.goOn(scope, now, key));
      });
    }
  }

  /** The tenant's turns are stopped: what waits is kept as it is, and goes on when an admin says so. */
  private startWhenOpen(scope: TenantScope, key: SessionKey): void {
    const { signal } = this.ending;
    void this.deps.gate.untilOpen(scope, signal).then(() => {
      if (signal.aborted) return;
      // SECURITY: whoever let it go on may be somebody else; bind our own tenant anew.
      const context = { tenantId: scope.tenantId, principal: null, requestId: "queue" };
      void runInContext(context, () =>
        this.deps.live.exclusive(scope.tenantId, key, (lane) => this.goOn(scope, lane, key)),
      );
    });
  }

  /** Store the end of a run that could not be stored; the tenant counts as busy until then, so a restart looks too. */
  private settleLater(scope: TenantScope, settle: () => Promise<void>): void {
    const release = this.deps.live.hold(scope.tenantId);
    const tryAgain = () => {
      this.deps.clock.after(RETRY_MS, () => void settle().then(release, tryAgain));
    };
    tryAgain();
  }

  /** Hand waiting inputs to the model between two of its calls. */
  private steer(
    scope: TenantScope,
    lane: Lane,
    active: ActiveRun,
  ): Promise<{ message: UserMessage; seq: number }[]> {
    return lane.exclusive(async () => {
      const taken = await this.sharingBudgets(scope, lane, active);
      if (taken.length === 0) return [];
      const now = this.deps.clock.nowMs();
      const rows = taken.map((run) => newRow(pendingInputOf(run), run.run_id));
      const ref = { agentId: active.run.agent_id, sessionId: active.run.session_id };
      const added = appendRows(scope, ref, rows);
      const starts = taken.map((run) => startRun(run, active.run.session_id, now));
      const outcome = await scope.db.write({
        appends: [added.append],
        statements: [...added.statements, ...starts],
      });
      if (!outcome.committed) return [];
      removeWaiting(lane, taken);
      active.joined.push(...taken);
      const steered = rows.map((row, index) => ({
        ...row,
        seq: Number(outcome.results[index]?.rows[0]?.["seq"]),
      }));
      const session = await this.deps.sessions.find(scope, active.run.session_key);
      for (const row of session === undefined ? [] : steered) {
        await this.deps.announcer.message(scope, session!, row);
      }
      return steered.map(({ message, seq }) => ({ message: message as UserMessage, seq }));
    });
  }

  /**
   * Inputs that may join the run. What joins is paid for as the run is, so a key's budget must be asked by a run of its own:
   * neither that of the input may be passed by, nor that of the run be used for it.
   */
  private async sharingBudgets(scope: TenantScope, lane: Lane, active: ActiveRun): Promise<RunRow[]> {
    const fitting = lane.waiting.filter((one) => isSteerable(one, active)).map(({ run }) => run);
    const ownKey = keyOf(active.run);
    const others = new Set(fitting.map(keyOf).filter((key) => key !== ownKey));
    if (others.size === 0) return fitting;
    const limited = await this.deps.limitedKeys(scope, [ownKey, ...others]);
    const joins = (key: string) => key === ownKey || !(limited.has(key) || limited.has(ownKey));
    return fitting.filter((run) => joins(keyOf(run)));
  }

  /** End runs that wait; `why` is who stopped them, or what went wrong. */
  private async endWaiting(
    scope: TenantScope,
    lane: Lane,
    runs: readonly RunRow[],
    state: "aborted" | "failed",
    why: string,
  ): Promise<void> {
    if (runs.length === 0) return;
    const now = this.deps.clock.nowMs();
    const stopReason = state === "aborted" ? why : "error";
    const errorMessage = state === "aborted" ? undefined : why;
    const end = { state, stopReason, errorMessage };
    await scope.db.write({ statements: runs.map((run) => endRun(run.run_id, end, now, false)) });
    removeWaiting(lane, runs);
    const result = { status: state, text: "", stopReason, errorMessage, endedAtMs: now };
    for (const run of runs) {
      const stream = new RunStream(this.deps.hub, this.deps.clock, scope.tenantId, run);
      if (state === "aborted") stream.aborted(stopReason);
      else stream.failed(why, {});
      this.deps.live.ended(scope.tenantId, run.run_id, result);
    }
  }
}

/**
 * SECURITY: only an input of the same person may join a run, and of a limited token only the same token's: the run goes on
 * with the authority of whoever began it, and a limited token must not speak with more.
 */
function isSteerable({ run, principal }: WaitingRun, active: ActiveRun): boolean {
  if (settingsOf(run).queueMode !== "steer" || run.user_id !== active.run.user_id) return false;
  const isLimited = principal.agents != null || active.principal.agents != null;
  return !isLimited || principal.credential.id === active.principal.credential.id;
}

function isNamed(active: ActiveRun, runId: string | undefined): boolean {
  if (runId === undefined || active.run.run_id === runId) return true;
  return active.joined.some((run) => run.run_id === runId);
}

function removeWaiting(lane: Lane, taken: readonly RunRow[]): void {
  const left = lane.waiting.filter(({ run }) => !taken.includes(run));
  lane.waiting.splice(0, lane.waiting.length, ...left);
}

function abortActive(active: ActiveRun, origin: string): void {
  active.abortOrigin ??= origin;
  active.controller.abort();
}
