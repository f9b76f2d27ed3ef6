/**
 * How many bytes each tenant keeps on disk. Owns: the running count, what is held back for writes under way, counting
 * anew now and then. Refuses to know: limits, prices, what the files hold.
 *
 * The database's size is one look at one file; the other files are counted by what is written and removed, beginning
 * with what control.db says. A folder is walked when nothing is known of it, when a process died before it wrote down
 * what it knew, and now and then for tenants that write. No database is opened, and the folders of idle tenants are walked
 * once.
 */
import type { Clock, Timer } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { TenantDoor } from "../../tenancy/scoped.ts";

/** Bytes held back for a write; `end` once it is over. */
export interface HeldBytes {
  /** @param changedBytes by how much files grew (negative: shrank), unless somebody else notes it; 0 for a failure */
  end(changedBytes: number): void;
}

/** What came of asking for room. */
export type HoldOutcome = { isHeld: true; hold: HeldBytes } | { isHeld: false; usedBytes: number };

/** What counting needs. */
export interface StorageCountsDeps {
  control: Database;
  door: Pick<TenantDoor, "fileSizeBytes" | "databaseSizeBytes">;
  clock: Clock;
  log: Log;
}

interface Count {
  /** At the last walk, or as control.db says; undefined until somebody asks. */
  fileBytes: number | undefined;
  /** Since then. */
  changedBytes: number;
  heldBytes: number;
  /** Somebody works with it: it must not be forgotten now. */
  users: number;
  isChanged: boolean;
  quietTicks: number;
  countedAtMs: number;
  /** Something was written while the folder was walked, so it may be counted twice. */
  isDoubtful: boolean;
  loading: Promise<void> | undefined;
}

const TICK_MS = 30_000;
const RECOUNT_MS = 6 * 3_600_000;
const DOUBT_MS = 10 * 60_000;
/** Folders walked in one round. */
const WALKS_AT_ONCE = 5;

const KEEP = `INSERT INTO tenant_storage (tenant_id, file_bytes, database_bytes, counted_at_ms, is_stale)
  SELECT id, ?, ?, ?, 0 FROM tenants WHERE id = ? ON CONFLICT DO UPDATE SET file_bytes = excluded.file_bytes,
  database_bytes = excluded.database_bytes, counted_at_ms = excluded.counted_at_ms, is_stale = 0`;
const SET_CLEAN = `INSERT INTO storage_counting VALUES (1, ?) ON CONFLICT DO UPDATE SET is_clean = excluded.is_clean`;

/** See the head of this file. */
export class StorageCounts {
  private readonly deps: StorageCountsDeps;
  private readonly counts = new Map<TenantId, Count>();
  private timer: Timer | undefined;
  private ticking: Promise<void> | undefined;
  /** How far the search for tenants that were never counted is; null when it is over. */
  private uncountedAfter: string | null = "";

  constructor(deps: StorageCountsDeps) {
    this.deps = deps;
  }

  /** Begin to count. What a process that died knew and did not write down is doubted: those folders are walked anew. */
  async start(): Promise<void> {
    await this.deps.control.write({
      statements: [
        {
          sql: "UPDATE tenant_storage SET is_stale = 1 WHERE EXISTS (SELECT 1 FROM storage_counting WHERE is_clean = 0)",
        },
        { sql: SET_CLEAN, params: [0] },
      ],
    });
    this.timer = this.deps.clock.every(TICK_MS, () => void this.tick());
  }

  /** Write down what is known; the next start believes it. */
  async close(): Promise<void> {
    const hasStarted = this.timer !== undefined;
    this.timer?.cancel();
    await this.ticking;
    try {
      await this.keepAll([...this.counts].filter(([, count]) => count.isChanged));
      const isWhole = [...this.counts.values()].every((count) => !count.isChanged);
      if (hasStarted && isWhole)
        await this.deps.control.write({ statements: [{ sql: SET_CLEAN, params: [1] }] });
    } catch (error) {
      this.deps.log.warn(
        { err: error },
        "storage could not be written down; it is counted anew at the next start",
      );
    }
  }

  /** Files of the tenant grew (or, with a negative number, shrank). Costs nothing. */
  note(tenantId: TenantId, changedBytes: number): void {
    if (changedBytes === 0) return;
    const count = this.countOf(tenantId);
    count.changedBytes += changedBytes;
    count.isChanged = true;
    count.quietTicks = 0;
  }

  /** Bytes that the tenant keeps now: everything in its folder but the database's own scratch files. */
  async read(tenantId: TenantId): Promise<number> {
    return this.using(tenantId, async (count) => {
      await this.ready(tenantId, count);
      return (await this.deps.door.databaseSizeBytes({ id: tenantId })) + fileBytesOf(count);
    });
  }

  /**
   * Hold back room for a write that makes files grow by at most so much.
   * @param limitBytes what the tenant may keep; null for any amount
   */
  async hold(tenantId: TenantId, growBytes: number, limitBytes: number | null): Promise<HoldOutcome> {
    return this.using(tenantId, async (count) => {
      if (limitBytes !== null) {
        await this.ready(tenantId, count);
        const databaseBytes = await this.deps.door.databaseSizeBytes({ id: tenantId });
        // ORDER: nothing is awaited from here until the room is held, so that of two writes one sees the other.
        const usedBytes = databaseBytes + fileBytesOf(count) + count.heldBytes;
        if (growBytes > 0 && usedBytes + growBytes > limitBytes) return { isHeld: false, usedBytes };
      }
      return { isHeld: true, hold: this.held(tenantId, count, Math.max(0, growBytes)) };
    });
  }

  /** One round: write down what changed, count anew what is old or doubted. Never rejects. */
  tick(): Promise<void> {
    this.ticking ??= this.round()
      .catch((error: unknown) =>
        this.deps.log.warn({ err: error }, "storage could not be counted; it is tried again"),
      )
      .finally(() => {
        this.ticking = undefined;
      });
    return this.ticking;
  }

  private held(tenantId: TenantId, count: Count, growBytes: number): HeldBytes {
    let isOver = false;
    count.heldBytes += growBytes;
    count.users++;
    return {
      end: (changedBytes) => {
        if (isOver) return;
        isOver = true;
        count.heldBytes -= growBytes;
        count.users--;
        this.note(tenantId, changedBytes);
      },
    };
  }

  private async using<T>(tenantId: TenantId, work: (count: Count) => Promise<T>): Promise<T> {
    const count = this.countOf(tenantId);
    count.users++;
    try {
      return await work(count);
    } finally {
      count.users--;
    }
  }

  private countOf(tenantId: TenantId): Count {
    let count = this.counts.get(tenantId);
    if (count === undefined) {
      count = {
        ...{ fileBytes: undefined, changedBytes: 0, heldBytes: 0, users: 0, isChanged: false },
        ...{ quietTicks: 0, countedAtMs: 0, isDoubtful: false, loading: undefined },
      };
      this.counts.set(tenantId, count);
    }
    return count;
  }

  private async ready(tenantId: TenantId, count: Count): Promise<void> {
    if (count.fileBytes !== undefined) return;
    count.loading ??= this.load(tenantId, count).finally(() => {
      count.loading = undefined;
    });
    await count.loading;
  }

  private async load(tenantId: TenantId, count: Count): Promise<void> {
    const row = await this.deps.control.find<{ file_bytes: number; counted_at_ms: number }>(
      "SELECT file_bytes, counted_at_ms FROM tenant_storage WHERE tenant_id = ? AND is_stale = 0",
      [tenantId],
    );
    if (row === undefined) return this.walk(tenantId, count);
    count.fileBytes = row.file_bytes;
    count.countedAtMs = row.counted_at_ms;
  }

  private async walk(tenantId: TenantId, count: Count): Promise<void> {
    const before = count.changedBytes;
    const fileBytes = await this.deps.door.fileSizeBytes({ id: tenantId });
    // What came meanwhile may be in both; rather twice, until the next count, than not at all.
    const meanwhile = count.changedBytes - before;
    count.isDoubtful = meanwhile !== 0 || count.heldBytes > 0;
    count.changedBytes = Math.max(0, meanwhile);
    count.fileBytes = fileBytes;
    count.countedAtMs = this.deps.clock.nowMs();
    count.isChanged = true;
  }

  private async round(): Promise<void> {
    await this.countAnew();
    const changed = [...this.counts].filter(([, count]) => count.isChanged);
    await this.keepAll(changed);
    for (const [tenantId, count] of this.counts) {
      count.quietTicks = count.isChanged || count.users > 0 ? 0 : count.quietTicks + 1;
      // What is forgotten was written down above, and nothing happened since.
      if (count.quietTicks >= 2) this.counts.delete(tenantId);
    }
  }

  private async countAnew(): Promise<void> {
    const nowMs = this.deps.clock.nowMs();
    const isDue = (count: Count) =>
      count.fileBytes === undefined ||
      nowMs - count.countedAtMs > RECOUNT_MS ||
      (count.isDoubtful && nowMs - count.countedAtMs > DOUBT_MS);
    const due = [...this.counts].filter(([, count]) => count.isChanged && isDue(count));
    for (const [tenantId, count] of due.slice(0, WALKS_AT_ONCE))
      await this.attempt(tenantId, () =>
        count.fileBytes === undefined ? this.ready(tenantId, count) : this.walk(tenantId, count),
      );
    for (const { id } of [...(await this.listStale()), ...(await this.nextUncounted())])
      await this.attempt(id, (count) => this.ready(id, count));
  }

  /** What of one tenant cannot be read is of no matter to the others. */
  private async attempt(tenantId: TenantId, work: (count: Count) => Promise<void>): Promise<void> {
    await this.using(tenantId, work).catch((error: unknown) =>
      this.deps.log.warn(
        { err: error, tenantId },
        "a tenant's storage could not be counted; it is tried again",
      ),
    );
  }

  private listStale(): Promise<{ id: TenantId }[]> {
    return this.deps.control.list<{ id: TenantId }>(
      "SELECT tenant_id AS id FROM tenant_storage WHERE is_stale = 1 LIMIT ?",
      [WALKS_AT_ONCE],
    );
  }

  /** Tenants from before anybody counted, a few at a time, once in a process; who comes later is noted when it writes. */
  private async nextUncounted(): Promise<{ id: TenantId }[]> {
    if (this.uncountedAfter === null) return [];
    const found = await this.deps.control.list<{ id: TenantId }>(
      `SELECT id FROM tenants t WHERE id > ? AND status <> 'deleting'
        AND NOT EXISTS (SELECT 1 FROM tenant_storage s WHERE s.tenant_id = t.id) ORDER BY id LIMIT ?`,
      [this.uncountedAfter, WALKS_AT_ONCE],
    );
    this.uncountedAfter = found.at(-1)?.id ?? null;
    return found;
  }

  private async keepAll(changed: readonly (readonly [TenantId, Count])[]): Promise<void> {
    const statements: Statement[] = [];
    for (const [tenantId, count] of changed) {
      if (count.fileBytes === undefined) continue;
      const databaseBytes = await this.deps.door.databaseSizeBytes({ id: tenantId });
      // ORDER: what changes from here on makes it changed anew.
      count.isChanged = false;
      const params = [fileBytesOf(count), databaseBytes, count.countedAtMs, tenantId];
      statements.push({ sql: KEEP, params });
    }
    if (statements.length === 0) return;
    await this.deps.control.write({ statements }).catch((error: unknown) => {
      for (const [, count] of changed) count.isChanged = true;
      throw error;
    });
  }
}

function fileBytesOf(count: Count): number {
  return Math.max(0, (count.fileBytes ?? 0) + count.changedBytes);
}
