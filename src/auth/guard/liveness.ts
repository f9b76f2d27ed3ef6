/**
 * Whether a principal still stands. Owns: asking the stores rarely and remembering the answer until the access feed
 * says that it may have changed. Refuses to know: sockets, requests.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { Principal } from "../../tenancy/principal.ts";
import type { Role } from "../../tenancy/scopes.ts";
import type { AccessFeed } from "./access-feed.ts";
import { RecentMap } from "./recent-map.ts";

/** What a credential grants now: a role, until a time. Undefined when nothing. */
export type Standing = { role: Role; endsAtMs: number | null } | undefined;

/** Looks a principal's standing up. */
export type StandingReader = (principal: Principal) => Promise<Standing>;

interface Verdict {
  tenantId: string;
  userId: string;
  standing: Standing;
  lookedAtMs: number;
}

/** Oldest verdict used: looking again tells the session that its person is there, and heals a missed change. */
const VERDICT_MS = 60_000;
/** Verdicts remembered; forgetting one costs a lookup. */
const REMEMBERED = 20_000;

/** See the head of this file. */
export class Liveness {
  private readonly feed: AccessFeed;
  private readonly clock: Clock;
  private readonly readStanding: StandingReader;
  private readonly verdicts = new RecentMap<Verdict>(REMEMBERED);
  /** Grows with every change, so that a lookup that began before a change is not remembered after it. */
  private generation = 0;

  constructor(feed: AccessFeed, clock: Clock, readStanding: StandingReader) {
    this.feed = feed;
    this.clock = clock;
    this.readStanding = readStanding;
    feed.subscribe((change) => {
      this.generation++;
      if (change.tenantId === null && change.userId === null) this.verdicts.clear();
      else
        this.verdicts.deleteWhere(
          (verdict) => verdict.tenantId === change.tenantId || verdict.userId === change.userId,
        );
    });
  }

  /** Whether the credential, the membership with this very role, and the tenant are all still good. */
  async isLive(principal: Principal): Promise<boolean> {
    await this.feed.refresh();
    const { tenantId, userId, credential } = principal;
    const key = `${tenantId}/${credential.kind}/${credential.id}/${userId}`;
    const known = this.verdicts.get(key);
    const isFresh = known !== undefined && this.clock.monotonicMs() - known.lookedAtMs < VERDICT_MS;
    const standing = isFresh ? known.standing : await this.look(key, principal);
    if (standing === undefined || standing.role !== principal.role) return false;
    const nowMs = this.clock.nowMs();
    if (credential.expiresAtMs !== null && credential.expiresAtMs <= nowMs) return false;
    return standing.endsAtMs === null || standing.endsAtMs > nowMs;
  }

  private async look(key: string, principal: Principal): Promise<Standing> {
    const generation = this.generation;
    const lookedAtMs = this.clock.monotonicMs();
    const standing = await this.readStanding(principal);
    if (standing !== undefined && generation === this.generation) {
      const { tenantId, userId } = principal;
      this.verdicts.set(key, { tenantId, userId, standing, lookedAtMs });
    } else {
      this.verdicts.delete(key);
    }
    return standing;
  }
}
