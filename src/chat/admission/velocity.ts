/**
 * Telling a loop from people, per session, per sender and per tenant. Owns: the counts, the judgement, its words.
 * Refuses to know: what is done about it, plans.
 *
 * How often turns may begin says little of real models: one that takes ten seconds loops at six turns a minute. So turns
 * are also counted over an hour, and in chains: a turn that is sent within `AT_ONCE_MS` of the end of the one before it,
 * or while that one goes on, was hardly sent by somebody who read the answer. Any longer pause begins the chain anew.
 * What is kept is bounded: of a tenant the places it used last, and nothing of tenants that began no turn for an hour.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { SessionKey, TenantId } from "../../kernel/ids.ts";

/** Turns that still look like people; 0 for any number. See the options `turns.*`. */
export interface VelocityLimits {
  sessionPerMinute: number;
  sessionPerHour: number;
  /** Turns of one session, each sent at once after the one before. */
  sessionChain: number;
  /** Turns of one sender in whatever sessions, each sent at once after the end of the one before. */
  senderChain: number;
  tenantPerMinute: number;
  tenantPerHour: number;
}

/** Where a turn begins, and by whom. */
export interface TurnPlace {
  key: SessionKey;
  /** The credential that the message was sent with. */
  sender: string;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Nobody reads an answer and writes another message as quickly, time after time. */
const AT_ONCE_MS = 2_000;
/** Sessions, and senders, of one tenant that are remembered, those used last. */
const MOST_PLACES = 1_000;

/** Turns in a span that begins with the first of them. */
class Span {
  private readonly lengthMs: number;
  private endMs = 0;
  private turns = 0;

  constructor(lengthMs: number) {
    this.lengthMs = lengthMs;
  }

  count(nowMs: number): number {
    return nowMs < this.endMs ? this.turns : 0;
  }

  add(nowMs: number): void {
    if (nowMs >= this.endMs) {
      this.endMs = nowMs + this.lengthMs;
      this.turns = 0;
    }
    this.turns++;
  }

  takeBack(): void {
    this.turns = Math.max(0, this.turns - 1);
  }
}

/** A session or a sender. */
class Place {
  readonly minute = new Span(MINUTE_MS);
  readonly hour = new Span(HOUR_MS);
  chain = 0;
  going = 0;
  private endedAtMs = Number.NEGATIVE_INFINITY;

  isAtOnce(nowMs: number): boolean {
    return nowMs - this.endedAtMs <= AT_ONCE_MS;
  }

  ended(nowMs: number): void {
    this.going = Math.max(0, this.going - 1);
    this.endedAtMs = nowMs;
  }
}

/** What one tenant did lately. */
class Recent {
  readonly minute = new Span(MINUTE_MS);
  readonly hour = new Span(HOUR_MS);
  readonly sessions = new Map<string, Place>();
  readonly senders = new Map<string, Place>();
  usedAtMs = 0;
}

/** See the head of this file. */
export class Velocity {
  private readonly clock: Clock;
  private readonly limits: VelocityLimits;
  /** Those used last stand last. */
  private readonly tenants = new Map<TenantId, Recent>();

  constructor(clock: Clock, limits: VelocityLimits) {
    this.clock = clock;
    this.limits = limits;
  }

  /** Count a turn, or say why it looks like one of a loop: then it is not counted. */
  add(tenantId: TenantId, { key, sender }: TurnPlace): string | Counted {
    const nowMs = this.clock.monotonicMs();
    const recent = this.recentOf(tenantId, nowMs);
    const session = placeOf(recent.sessions, key);
    const from = placeOf(recent.senders, sender);
    const sessionChain = session.going > 0 || session.isAtOnce(nowMs) ? session.chain + 1 : 1;
    // Work that is sent side by side answers nothing of its own.
    const senderChain = from.going === 0 && from.isAtOnce(nowMs) ? from.chain + 1 : 1;
    const { limits } = this;
    const here = `in the session ${key}`;
    const lately = `, the last of them ${here}`;
    const because = tooMany([
      [session.minute.count(nowMs) + 1, limits.sessionPerMinute, `turns began within a minute ${here}`],
      [session.hour.count(nowMs) + 1, limits.sessionPerHour, `turns began within an hour ${here}`],
      [sessionChain, limits.sessionChain, `turns followed each other without a pause ${here}`],
      [senderChain, limits.senderChain, `turns of one sender followed each other without a pause${lately}`],
      [recent.minute.count(nowMs) + 1, limits.tenantPerMinute, `turns began within a minute${lately}`],
      [recent.hour.count(nowMs) + 1, limits.tenantPerHour, `turns began within an hour${lately}`],
    ]);
    if (because !== undefined) return because;
    const spans = [session.minute, session.hour, recent.minute, recent.hour];
    for (const span of spans) span.add(nowMs);
    const before = { session: session.chain, sender: from.chain };
    session.chain = sessionChain;
    from.chain = senderChain;
    return {
      takeBack() {
        for (const span of spans) span.takeBack();
        session.chain = before.session;
        from.chain = before.sender;
      },
    };
  }

  /** A turn begins to be worked on, or waits for that; call what is returned once, at its end. */
  going(tenantId: TenantId, { key, sender }: TurnPlace): () => void {
    const recent = this.recentOf(tenantId, this.clock.monotonicMs());
    const places = [placeOf(recent.sessions, key), placeOf(recent.senders, sender)];
    for (const place of places) place.going++;
    return () => {
      const nowMs = this.clock.monotonicMs();
      for (const place of places) place.ended(nowMs);
    };
  }

  /** Begin anew for a tenant that was stopped. */
  forget(tenantId: TenantId): void {
    this.tenants.delete(tenantId);
  }

  /** Tenants, and places of all of them, of which something is kept. */
  get size(): { tenants: number; places: number } {
    let places = 0;
    for (const { sessions, senders } of this.tenants.values()) places += sessions.size + senders.size;
    return { tenants: this.tenants.size, places };
  }

  private recentOf(tenantId: TenantId, nowMs: number): Recent {
    const recent = this.tenants.get(tenantId) ?? new Recent();
    this.tenants.delete(tenantId);
    this.tenants.set(tenantId, recent);
    recent.usedAtMs = nowMs;
    // At most two go for each that comes, so no call pays for many.
    for (const [id, { usedAtMs }] of first(this.tenants, 2))
      if (nowMs - usedAtMs > HOUR_MS) this.tenants.delete(id);
    return recent;
  }
}

/** A turn that was counted. */
export interface Counted {
  /** It came to nothing: nothing began. */
  takeBack(): void;
}

function placeOf(places: Map<string, Place>, name: string): Place {
  const place = places.get(name) ?? new Place();
  places.delete(name);
  places.set(name, place);
  if (places.size > MOST_PLACES) for (const [oldest] of first(places, 1)) places.delete(oldest);
  return place;
}

function first<K, V>(map: Map<K, V>, count: number): [K, V][] {
  const found: [K, V][] = [];
  for (const entry of map) {
    if (found.length === count) break;
    found.push(entry);
  }
  return found;
}

function tooMany(counts: readonly [count: number, limit: number, what: string][]): string | undefined {
  const over = counts.find(([count, limit]) => limit > 0 && count > limit);
  return over === undefined ? undefined : `More than ${over[1]} ${over[2]}.`;
}
