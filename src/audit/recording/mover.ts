/**
 * Moving records from the outbox of control.db into the chains they belong to. Owns: which chain, in which order, once
 * (a chain takes each record id once; the outbox forgets a record only after the chain has it). Refuses to know: what
 * records say.
 *
 * Records of a tenant whose file cannot be used wait; the others go on. Records of a tenant that is gone, or of none, go
 * into the platform's own chain, and so do copies of what operators do to tenants.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock, Timer } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Batch, Database, Statement } from "../../storage/database.ts";
import { SYSTEM } from "../../tenancy/actor.ts";
import { runInContext } from "../../tenancy/context.ts";
import type { TenantDoor, TenantScope } from "../../tenancy/scoped.ts";
import type { Tenants } from "../../tenancy/tenants.ts";
import { appendStatement } from "../chain.ts";
import type { LogOf } from "../log.ts";
import { type AuditOutcome, type AuditRecord, PLATFORM } from "../record.ts";

/** What the mover needs. */
export interface AuditMoverDeps {
  control: Database;
  tenants: Tenants;
  door: TenantDoor;
  clock: Clock;
  log: Log;
  /** A chain has new rows; must not throw. */
  onAppended?(of: LogOf): void;
}

/** How often the outbox is looked at for what other processes put in. */
const TICK_MS = 5_000;
/** From a commit in this process to its move: many at once are moved together. */
const NUDGE_MS = 20;
const BATCH = 64;
/** How long records of a tenant that cannot be written wait before the next attempt. */
const RETRY_MS = 30_000;

const OUTCOMES: ReadonlySet<string> = new Set<AuditOutcome>(["ok", "denied", "failed"]);

interface OutboxRow {
  seq: number;
  id: string;
  record: string;
}

/** See the head of this file. */
export class AuditMover {
  private readonly deps: AuditMoverDeps;
  private readonly moving = new Map<string, Promise<boolean>>();
  /** Tenants that could not be written, and when to try again (monotonic). */
  private readonly resting = new Map<string, number>();
  private timer: Timer | undefined;
  private nudged: Timer | undefined;
  private draining: Promise<void> | undefined;
  private isClosed = false;

  constructor(deps: AuditMoverDeps) {
    this.deps = deps;
  }

  /** Move what is there, then keep moving in the background. */
  async start(): Promise<void> {
    await this.drain();
    this.timer = this.deps.clock.every(TICK_MS, () => void this.drain());
  }

  /** Something was committed to the outbox: move it soon. Cheap. */
  nudge(): void {
    if (this.nudged !== undefined || this.isClosed) return;
    this.nudged = this.deps.clock.after(NUDGE_MS, () => {
      this.nudged = undefined;
      void this.drain();
    });
  }

  /** Move all that can be moved now; never rejects. Records that come meanwhile may be left for the next time. */
  drain(): Promise<void> {
    this.draining ??= this.round()
      .catch((error: unknown) => this.deps.log.warn({ err: error }, "audit records could not be moved"))
      .finally(() => {
        this.draining = undefined;
      });
    return this.draining;
  }

  /** Move all of one tenant now; false when its file cannot be written at present. Never rejects. */
  async drainTenant(tenantId: TenantId): Promise<boolean> {
    // What is under way may have begun before the last commit.
    await this.moving.get(tenantId);
    return this.attempt(tenantId);
  }

  /** Stop the background work and move what is left. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.timer?.cancel();
    this.nudged?.cancel();
    await this.draining;
    this.resting.clear();
    await this.drain();
  }

  private async round(): Promise<void> {
    for (let after: string | undefined; ; ) {
      const next = await this.nextTenant(after);
      if (next === undefined) return;
      after = next;
      if ((this.resting.get(next) ?? 0) > this.deps.clock.monotonicMs()) continue;
      await this.attempt(next as TenantId);
      // A long queue of one tenant after another must not hold everybody up.
      await nextTurn();
    }
  }

  private async nextTenant(after: string | undefined): Promise<string | undefined> {
    const { control } = this.deps;
    const row =
      after === undefined
        ? await control.find<{ id: string | null }>("SELECT min(tenant_id) AS id FROM audit_outbox")
        : await control.find<{ id: string | null }>(
            "SELECT min(tenant_id) AS id FROM audit_outbox WHERE tenant_id > ?",
            [after],
          );
    return row?.id ?? undefined;
  }

  private attempt(tenantId: TenantId): Promise<boolean> {
    let work = this.moving.get(tenantId);
    if (work === undefined) {
      work = this.moveAll(tenantId)
        .then(() => {
          this.resting.delete(tenantId);
          return true;
        })
        .catch((error: unknown) => {
          this.deps.log.warn({ err: error, tenantId }, "audit records of a tenant wait; they are kept");
          this.resting.set(tenantId, this.deps.clock.monotonicMs() + RETRY_MS);
          return false;
        })
        .finally(() => this.moving.delete(tenantId));
      this.moving.set(tenantId, work);
    }
    return work;
  }

  private async moveAll(tenantId: TenantId): Promise<void> {
    for (;;) {
      const rows = await this.deps.control.list<OutboxRow>(
        "SELECT seq, id, record FROM audit_outbox WHERE tenant_id = ? ORDER BY seq LIMIT ?",
        [tenantId, BATCH],
      );
      if (rows.length === 0) return;
      await this.move(tenantId, rows);
      if (rows.length < BATCH) return;
      await nextTurn();
    }
  }

  private async move(tenantId: TenantId, rows: readonly OutboxRow[]): Promise<void> {
    const records = rows.map(readRecord);
    const scope = await this.destination(tenantId);
    if (scope !== undefined) {
      // SECURITY: the move may have been started by work of another tenant; it acts for this one.
      await runInContext({ tenantId, principal: null, requestId: "audit" }, () =>
        writeAll(scope.db, records.map(appendStatement)),
      );
      this.deps.onAppended?.(scope);
    }
    const platform = records
      .filter((record) => scope === undefined || isPlatformMatter(record))
      .map((record) => appendStatement(tenantId === PLATFORM ? record : named(record, tenantId)));
    // ORDER: forgotten after the chain has it; a crash in between moves it again, and the chain takes an id once.
    await writeAll(this.deps.control, [
      ...platform,
      {
        sql: "DELETE FROM audit_outbox WHERE seq IN (SELECT value FROM json_each(?))",
        params: [JSON.stringify(rows.map((row) => row.seq))],
      },
    ]);
    if (platform.length > 0) this.deps.onAppended?.("platform");
  }

  /** The tenant's own chain, or undefined when the platform's takes its records. */
  private async destination(tenantId: TenantId): Promise<TenantScope | undefined> {
    if (tenantId === PLATFORM) return undefined;
    const { tenants, door } = this.deps;
    const tenant = await tenants.findById(tenantId);
    if (tenant === undefined) return undefined;
    // SECURITY: a file that was destroyed must not be made anew by a late record.
    const mayBeMade = tenant.status === "active" || tenant.status === "suspended";
    if (!mayBeMade && (await door.databaseSizeBytes(tenant)) === 0) return undefined;
    return door.scope(tenant);
  }
}

async function writeAll(db: Database, statements: Statement[]): Promise<void> {
  const outcome = await db.write({ statements });
  if (!outcome.committed) throw new Error(`statement ${outcome.refusedAt} was refused`);
}

/** What an operator did to a tenant, and the life of tenants: the platform has it in its own chain too. */
function isPlatformMatter(record: AuditRecord): boolean {
  return record.actor.kind === "operator" || /^(?:tenant|break_glass|key)\./.test(record.action);
}

function named(record: AuditRecord, tenantId: TenantId): AuditRecord {
  return { ...record, details: { ...record.details, tenantId } };
}

/** A record that cannot be read is kept as it is, in a record that says so. */
function readRecord(row: OutboxRow): AuditRecord {
  try {
    const record = JSON.parse(row.record) as AuditRecord;
    if (!OUTCOMES.has(record.outcome) || !Number.isSafeInteger(record.atMs)) throw new Error("odd record");
    appendStatement(record);
    return record;
  } catch {
    const details = { text: row.record };
    return {
      ...{ id: row.id, atMs: 0, action: "audit.unreadable", outcome: "failed", actor: SYSTEM },
      ...{ target: null, details },
    };
  }
}

/** The same database, which tells when a batch that was committed through it put something into the outbox. */
export function watchOutbox(control: Database, onHandedIn: () => void): Database {
  return {
    find: (sql, params) => control.find(sql, params),
    list: (sql, params) => control.list(sql, params),
    report: (sql, params) => control.report(sql, params),
    async write(batch: Batch) {
      const outcome = await control.write(batch);
      if (outcome.committed && batch.statements.some((one) => one.sql.includes("INTO audit_outbox")))
        onHandedIn();
      return outcome;
    },
  };
}
