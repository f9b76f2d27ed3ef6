/**
 * Whether a caller still stands. Owns: asking the stores rarely, for many callers at once, and remembering the answer
 * until the epochs say that it may have changed. Refuses to know: sockets, requests.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Principal } from "../../tenancy/principal.ts";
import type { AccessFeed } from "./access-feed.ts";
import type { Epochs } from "./epochs.ts";
import { RecentMap } from "./recent-map.ts";
import type { Standing } from "./standings.ts";

/** Looks up what principals of one tenant may do now, in their order. */
export type StandingsReader = (
  tenantId: TenantId,
  principals: readonly Principal[],
) => Promise<(Standing | undefined)[]>;

interface Verdict {
  standing: Standing;
  epoch: number;
  lookedAtMs: number;
}

interface Waiting {
  principal: Principal;
  resolve(standing: Standing | undefined): void;
  reject(thrown: unknown): void;
}

/** Oldest verdict used: looking again tells the session that its person is there, and heals a missed change. */
const VERDICT_MS = 60_000;
/** Verdicts remembered; forgetting one costs a lookup. */
const REMEMBERED = 20_000;
/** Callers looked up in one turn of the event loop: about two milliseconds' work, so that nobody else waits for it. */
const PER_LOOK = 128;

/** See the head of this file. */
export class Liveness {
  private readonly feed: AccessFeed;
  private readonly epochs: Epochs;
  private readonly clock: Clock;
  private readonly readStandings: StandingsReader;
  private readonly verdicts = new RecentMap<Verdict>(REMEMBERED);
  private readonly waiting = new Map<TenantId, Waiting[]>();
  private isScheduled = false;

  constructor(feed: AccessFeed, epochs: Epochs, clock: Clock, readStandings: StandingsReader) {
    this.feed = feed;
    this.epochs = epochs;
    this.clock = clock;
    this.readStandings = readStandings;
  }

  /**
   * Whether credential, role, scopes and tenant are all still good. A stronger role is a change too: the caller connects
   * anew and gets all of it.
   */
  async isLive(principal: Principal): Promise<boolean> {
    const standing = await this.find(principal);
    if (standing === undefined || standing.role !== principal.role) return false;
    if (standing.readOnly !== (principal.readOnly ?? null)) return false;
    for (const scope of principal.scopes) if (!standing.scopes.has(scope)) return false;
    return this.isRunning(principal.credential.expiresAtMs) && this.isRunning(standing.endsAtMs);
  }

  /** What the caller may do now; undefined for nothing. Not older than the feed's period. */
  async find(principal: Principal): Promise<Standing | undefined> {
    await this.feed.refresh();
    const { tenantId, userId } = principal;
    const known = this.verdicts.get(keyOf(principal));
    const isFresh =
      known !== undefined &&
      !this.epochs.isStale(tenantId, userId, known.epoch) &&
      this.clock.monotonicMs() - known.lookedAtMs < VERDICT_MS;
    return isFresh ? known.standing : this.look(principal);
  }

  private isRunning(endMs: number | null): boolean {
    return endMs === null || endMs > this.clock.nowMs();
  }

  /** Look up together with whoever else asks in this turn of the event loop. */
  private look(principal: Principal): Promise<Standing | undefined> {
    return new Promise((resolve, reject) => {
      const queue = this.waiting.get(principal.tenantId) ?? [];
      this.waiting.set(principal.tenantId, queue);
      queue.push({ principal, resolve, reject });
      this.schedule();
    });
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    setImmediate(() => {
      this.isScheduled = false;
      let left = PER_LOOK;
      for (const [tenantId, queue] of [...this.waiting]) {
        const some = queue.splice(0, left);
        left -= some.length;
        this.waiting.delete(tenantId);
        // A tenant with many goes to the end of the line.
        if (queue.length > 0) this.waiting.set(tenantId, queue);
        void this.lookAt(tenantId, some);
        if (left <= 0) break;
      }
      if (this.waiting.size > 0) this.schedule();
    });
  }

  private async lookAt(tenantId: TenantId, some: readonly Waiting[]): Promise<void> {
    // ORDER: the epoch before the look; see epochs.
    const epoch = this.epochs.current;
    const lookedAtMs = this.clock.monotonicMs();
    try {
      const standings = await this.readStandings(
        tenantId,
        some.map(({ principal }) => principal),
      );
      for (const [index, { principal, resolve }] of some.entries()) {
        const standing = standings[index];
        if (standing === undefined) this.verdicts.delete(keyOf(principal));
        else this.verdicts.set(keyOf(principal), { standing, epoch, lookedAtMs });
        resolve(standing);
      }
    } catch (thrown) {
      for (const { reject } of some) reject(thrown);
    }
  }
}

function keyOf({ tenantId, userId, credential }: Principal): string {
  return `${tenantId}/${credential.kind}/${credential.id}/${userId}`;
}
