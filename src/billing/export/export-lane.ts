/**
 * Work for many tenants at once, one at a time for each. Owns: places, order, that those who failed or were slow share
 * few of the places. Refuses to know: the work.
 */
import type { TenantId } from "../../kernel/ids.ts";

/** What a lane needs. */
export interface LaneWork {
  /** Tenants at once, and how many of them failed or were slow the last time. */
  places: number;
  doubtedPlaces: number;
  /** Must not reject; says whether it went well, and fast. */
  work(tenantId: TenantId): Promise<boolean>;
}

/** Tenants that wait in one queue. */
const QUEUE = 500;

/** See the head of this file. */
export class ExportLane {
  private readonly deps: LaneWork;
  private readonly queues = { sound: new Set<TenantId>(), doubted: new Set<TenantId>() };
  private readonly underWay = new Map<TenantId, { isDoubted: boolean; done: Promise<void> }>();
  /** Offered again while they were under way. */
  private readonly again = new Set<TenantId>();
  private readonly doubted = new Set<TenantId>();
  private isClosed = false;

  constructor(deps: LaneWork) {
    this.deps = deps;
  }

  /** How many more may be offered. */
  room(isDoubted: boolean): number {
    return Math.max(0, QUEUE - this.queues[isDoubted ? "doubted" : "sound"].size);
  }

  /** Do the work for this tenant when there is a place. */
  offer(tenantId: TenantId, isDoubted: boolean): void {
    if (this.isClosed || this.underWay.has(tenantId)) return;
    this.enqueue(tenantId, isDoubted);
    this.pump();
  }

  /** As `offer`, for a reason that is new: once more when it is going on now. */
  offerNews(tenantId: TenantId): void {
    if (this.underWay.has(tenantId) && !this.isClosed) this.again.add(tenantId);
    else this.offer(tenantId, false);
  }

  /** Resolves when nothing waits and nothing is under way. */
  async idle(): Promise<void> {
    while (this.underWay.size > 0) await Promise.all([...this.underWay.values()].map(({ done }) => done));
  }

  /** Begin nothing more. */
  close(): void {
    this.isClosed = true;
    this.again.clear();
    for (const queue of Object.values(this.queues)) queue.clear();
  }

  private enqueue(tenantId: TenantId, isDoubted: boolean): void {
    const { sound, doubted } = this.queues;
    if (sound.has(tenantId) || doubted.has(tenantId)) return;
    (isDoubted || this.doubted.has(tenantId) ? doubted : sound).add(tenantId);
  }

  private pump(): void {
    const { places, doubtedPlaces } = this.deps;
    for (const tenantId of this.queues.sound) {
      if (this.underWay.size >= places) return;
      this.begin(tenantId, false);
    }
    for (const tenantId of this.queues.doubted) {
      const going = [...this.underWay.values()].filter(({ isDoubted }) => isDoubted).length;
      if (this.underWay.size >= places || going >= doubtedPlaces) return;
      this.begin(tenantId, true);
    }
  }

  private begin(tenantId: TenantId, isDoubted: boolean): void {
    this.queues[isDoubted ? "doubted" : "sound"].delete(tenantId);
    const done = this.deps.work(tenantId).then((isGood) => {
      this.underWay.delete(tenantId);
      if (isGood) this.doubted.delete(tenantId);
      else this.doubted.add(tenantId);
      if (this.again.delete(tenantId)) this.enqueue(tenantId, !isGood);
      this.pump();
    });
    this.underWay.set(tenantId, { isDoubted, done });
  }
}
