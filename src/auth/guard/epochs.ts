/**
 * How new our knowledge of everybody's authority is. Owns: one number that grows with every change, and for whom it grew
 * last. Refuses to know: what changed, who must look again.
 *
 * Whoever looked at a caller's authority keeps the number of that moment. While no later change touches the caller's
 * tenant or person, nothing has to be looked up again: one comparison tells, so it can be made before every send.
 */
import type { TenantId, UserId } from "../../kernel/ids.ts";
import type { AccessChange, AccessFeed } from "./access-feed.ts";

/** Tenants and persons whose last change is kept; when there are more, everybody looks once more. */
const KEPT = 20_000;

/** See the head of this file. */
export class Epochs {
  private readonly kept: number;
  private readonly byTenant = new Map<string, number>();
  private readonly byUser = new Map<string, number>();
  private now = 1;
  /** Whoever looked before this must look again, whoever they are. */
  private floor = 0;

  constructor(feed: AccessFeed, kept = KEPT) {
    this.kept = kept;
    feed.subscribe((change) => this.advance(change));
  }

  /** The present number. ORDER: take it before looking authority up, so that a change during the look counts as later. */
  get current(): number {
    return this.now;
  }

  /** Whether something changed for the tenant or the person since `epoch`. */
  isStale(tenantId: TenantId, userId: UserId, epoch: number): boolean {
    if (epoch === this.now) return false;
    if (epoch < this.floor) return true;
    return (this.byTenant.get(tenantId) ?? 0) > epoch || (this.byUser.get(userId) ?? 0) > epoch;
  }

  private advance({ tenantId, userId }: AccessChange): void {
    this.now++;
    if (tenantId === null && userId === null) this.forget();
    if (tenantId !== null) this.byTenant.set(tenantId, this.now);
    if (userId !== null) this.byUser.set(userId, this.now);
    if (this.byTenant.size > this.kept || this.byUser.size > this.kept) this.forget();
  }

  private forget(): void {
    this.floor = this.now;
    this.byTenant.clear();
    this.byUser.clear();
  }
}
