/**
 * Work goes on only while whoever began it may do it. Owns: ending the runs, active and waiting, of people, tokens and
 * devices that lost their place. Refuses to know: what authority rests on (a port tells), transports.
 *
 * Runs look for themselves before each model call and each tool; this ends those that are in the middle of one.
 */
import type { TenantId, UserId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Principal } from "../../tenancy/principal.ts";
import { ACCESS_ENDED, type LiveRuns } from "./live-runs.ts";
import type { RunQueue } from "./run-queue.ts";

/** What the guard needs. */
export interface WorkGuardDeps {
  live: LiveRuns;
  queue: RunQueue;
  log: Log;
  /** Whether what a principal began may go on. */
  mayGoOn(principal: Principal): Promise<boolean>;
}

/** See the head of this file. */
export class WorkGuard {
  private readonly deps: WorkGuardDeps;

  constructor(deps: WorkGuardDeps) {
    this.deps = deps;
  }

  /** Look again at the work that a change may touch: of the tenant, of the person, or, when it names none, all. */
  review(change: { tenantId: TenantId | null; userId: UserId | null }): void {
    for (const { tenantId, lane } of this.deps.live.unscopedLanes(change.tenantId)) {
      const work = [...(lane.active === undefined ? [] : [lane.active]), ...lane.waiting];
      for (const { run, scope, principal } of work) {
        if (change.tenantId !== tenantId && change.userId !== null && change.userId !== run.user_id) continue;
        this.look(principal, () => this.deps.queue.abort(scope, run.session_key, run.run_id, ACCESS_ENDED));
      }
    }
  }

  private look(principal: Principal, end: () => Promise<unknown>): void {
    this.deps
      .mayGoOn(principal)
      .then((mayGoOn) => (mayGoOn ? undefined : end()))
      .catch((thrown: unknown) => {
        // What cannot be checked now is checked before the run's next step.
        this.deps.log.warn({ err: thrown }, "a run whose author's access changed could not be looked at");
      });
  }
}
