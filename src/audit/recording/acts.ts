/**
 * Recording what methods and routes declare as acts, after they succeeded and before their answer. Owns: that an act
 * which happened gets its record, also when the tenant's file takes none just then. Refuses to know: which acts there are.
 *
 * For acts whose commit is in the tenant's own file. What is committed in control.db carries its record itself (record.ts).
 */
import type { Clock } from "../../kernel/clock.ts";
import type { Log } from "../../kernel/log.ts";
import type { AuditedAct } from "../../protocol/methods.ts";
import type { Database } from "../../storage/database.ts";
import type { Actor } from "../../tenancy/actor.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { AuditLog } from "../log.ts";
import { auditRecord, auditStatement } from "../record.ts";

/** What the recorder needs. */
export interface ActDeps {
  log: AuditLog;
  /** Whose outbox takes the record when the tenant's own file does not. */
  control: Database;
  clock: Clock;
  logger: Log;
  /** A chain has a new row; must not throw. */
  onAppended?(of: TenantScope): void;
}

/** See the head of this file. */
export class Acts {
  private readonly deps: ActDeps;

  constructor(deps: ActDeps) {
    this.deps = deps;
  }

  /** Record an act that happened; on disk when this resolves. Never rejects: the act is done and must be answered so. */
  async done(scope: TenantScope, actor: Actor, act: AuditedAct): Promise<void> {
    const { log, control, clock, logger } = this.deps;
    const record = auditRecord(clock.nowMs(), actor, act.action, act.target, act.details);
    try {
      await log.append(scope, record);
      this.deps.onAppended?.(scope);
    } catch (first) {
      // The same id: should the first attempt have taken after all, this one changes nothing.
      await control
        .write({ statements: [auditStatement(scope.tenantId, record)] })
        .catch((second: unknown) =>
          logger.error({ err: second, first, record }, "an act could not be recorded"),
        );
    }
  }
}
