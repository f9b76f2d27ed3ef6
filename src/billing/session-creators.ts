/**
 * Who began conversations, and what those used: OpenClaw's "started by" (`byCreator`, `creatorOptions`, `creatorKey` of
 * `sessions.usage`). Owns: finding the beginner, sums of whole sessions. Refuses to know: who used what inside a session;
 * that is `byUser`.
 *
 * The beginner of a session, with all its incarnations, is the person of its first event. Each session belongs to one, so
 * that sums over beginners are the sums over sessions.
 */
import { setImmediate as nextRound } from "node:timers/promises";
import type { TenantScope } from "../tenancy/scoped.ts";
import { Tallies, type Tally } from "./tally.ts";
import { FROM_WINDOW, filterParams, type UsageFilter } from "./usage-report.ts";
import type { UsageWindow } from "./usage-window.ts";

/** What people are called; undefined for whom nobody knows any more. */
export type PersonName = (scope: TenantScope, userId: string) => Promise<string | undefined>;

/** A beginner as clients know one; without an actor for sessions that nobody in particular began. */
export interface Creator {
  key: string;
  actor?: { type: "human"; id: string; label: string };
}

/** A session as far as sums over beginners need it. */
export interface CreatedSession {
  key: string;
  all: Tally;
  byDay: Tallies<string>;
}

/** OpenClaw's clients use the same key for sessions without an actor. */
const NOBODY: Creator = { key: JSON.stringify(["unknown"]) };
const MOST_SESSIONS = 10_000;
/** A few milliseconds of the event loop. */
const SESSIONS_AT_ONCE = 50;

const BEGINNER = `(SELECT e.user_id FROM usage_events e WHERE e.session_id = (
    SELECT s.session_id FROM usage_sessions s WHERE s.session_key = k.key ORDER BY s.first_ms, s.session_id LIMIT 1)
  ORDER BY e.seq LIMIT 1)`;

/** Beginners of sessions by session key. */
export class SessionCreators {
  private readonly byKey = new Map<string, Creator>();

  /** Those of the sessions that are named. */
  static async of(
    scope: TenantScope,
    keys: readonly string[],
    nameOf: PersonName | undefined,
  ): Promise<SessionCreators> {
    return SessionCreators.read(scope, "json_each(?)", "value", [JSON.stringify(keys)], nameOf);
  }

  /** Those of all sessions with usage in the window, at most 10,000. */
  static async within(
    scope: TenantScope,
    window: UsageWindow,
    filter: UsageFilter,
    nameOf: PersonName | undefined,
  ): Promise<SessionCreators> {
    const from = `(SELECT DISTINCT q.session_key AS value ${FROM_WINDOW} LIMIT ${MOST_SESSIONS})`;
    return SessionCreators.read(scope, from, "value", filterParams(window, filter), nameOf);
  }

  private static async read(
    scope: TenantScope,
    from: string,
    column: string,
    params: readonly (string | null)[],
    nameOf: PersonName | undefined,
  ): Promise<SessionCreators> {
    const rows = await scope.db.report<{ key: string; userId: string | null }>(
      `SELECT k.key, ${BEGINNER} AS userId FROM (SELECT ${column} AS key FROM ${from}) k`,
      [...params],
    );
    const creators = new SessionCreators();
    const byUser = new Map<string, Creator>();
    for (const { key, userId } of rows) {
      const known = byUser.get(userId ?? "") ?? (await creatorOf(scope, userId ?? "", nameOf));
      byUser.set(userId ?? "", known);
      creators.byKey.set(key, known);
    }
    return creators;
  }

  of(sessionKey: string): Creator {
    return this.byKey.get(sessionKey) ?? NOBODY;
  }

  /** Keys of the sessions that somebody began. */
  keysOf(creatorKey: string): string[] {
    return [...this.byKey].filter(([, { key }]) => key === creatorKey).map(([sessionKey]) => sessionKey);
  }

  /** Everybody who began one of the sessions, once. */
  options(): Creator[] {
    return [...new Map([...this.byKey.values()].map((creator) => [creator.key, creator])).values()];
  }

  /** `byCreator` of these sessions, the dearest first. */
  async sums(sessions: readonly CreatedSession[]): Promise<Record<string, unknown>[]> {
    const groups = new Map<string, CreatorSums>();
    const all = new Tallies<string>();
    for (const [n, session] of sessions.entries()) {
      // Others are served between pieces of a long list.
      if (n % SESSIONS_AT_ONCE === SESSIONS_AT_ONCE - 1) await nextRound();
      const creator = this.of(session.key);
      const group = groups.get(creator.key) ?? new CreatorSums(creator);
      groups.set(creator.key, group);
      group.add(session);
      all.at(creator.key).include(session.all);
    }
    return all.ranked().map(([key, tally]) => ({ ...groups.get(key)?.toWire(), totals: tally.totals() }));
  }
}

/** What all sessions of one beginner used, by day. */
class CreatorSums {
  private readonly days = new Tallies<string>();
  /** How many sessions were active on exactly the same days: from it a client counts those of any days it picks. */
  private readonly byDates = new Map<string, number>();
  private readonly creator: Creator;
  private count = 0;

  constructor(creator: Creator) {
    this.creator = creator;
  }

  add({ byDay }: CreatedSession): void {
    this.count += 1;
    for (const [day, tally] of byDay.entries()) this.days.at(day).include(tally);
    const dates = byDay
      .entries()
      .map(([day]) => day)
      .sort()
      .join();
    this.byDates.set(dates, (this.byDates.get(dates) ?? 0) + 1);
  }

  toWire(): Record<string, unknown> {
    const daily = this.days.entries().map(([date, tally]) => ({ date, ...tally.totals() }));
    const activity = [...this.byDates].map(([dates, sessionCount]) => ({
      dates: dates.split(","),
      sessionCount,
    }));
    return {
      ...this.creator,
      sessionCount: this.count,
      daily: daily.sort((left, right) => (left.date < right.date ? -1 : 1)),
      sessionActivity: activity.sort((left, right) => (left.dates.join() < right.dates.join() ? -1 : 1)),
    };
  }
}

async function creatorOf(
  scope: TenantScope,
  userId: string,
  nameOf: PersonName | undefined,
): Promise<Creator> {
  if (userId === "") return NOBODY;
  const label = (await nameOf?.(scope, userId)) ?? userId;
  return { key: JSON.stringify(["human", userId]), actor: { type: "human", id: userId, label } };
}
