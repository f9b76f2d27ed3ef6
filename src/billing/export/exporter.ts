/**
 * Sending usage out. Owns: the timer, which exports are due, order and repetition of messages. Refuses to know: how a message
 * travels (sinks), what a meter is sent (meter/), where settings are kept.
 *
 * Nothing is opened for tenants without an export, or without news. A message's end is on disk before it is sent, so it is
 * sent again with the same contents and the same id. Tenants do not wait for each other's addresses, nor the operator for
 * any of them.
 */
import type { Clock, Timer } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { Complaints } from "./complaints.ts";
import {
  type Cursor,
  type ExportKind,
  isAhead,
  LONGEST_WAIT_MS,
  PLATFORM,
  RESTORED,
} from "./export-cursors.ts";
import { ExportLane } from "./export-lane.ts";
import { Charges } from "./meter/charges.ts";
import { MeterExport } from "./meter/meter-export.ts";
import type { UsageExports } from "./usage-exports.ts";
import { MESSAGE_EVENTS, readMessage } from "./usage-message.ts";
import type { PlatformExport, UsageSink } from "./usage-sink.ts";
import type { WebhookTarget } from "./usage-sink.webhook.ts";

/** What the exporter needs. */
export interface ExporterDeps {
  control: Database;
  exports: UsageExports;
  clock: Clock;
  log: Log;
  /** The operator's own export, about every tenant; null for none. */
  platform: PlatformExport | null;
  /** The sink of a tenant's own export. */
  sinkOf(target: WebhookTarget): UsageSink;
  /** The tenant's scope; undefined when it is gone. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
  currencyOf(scope: TenantScope): Promise<string>;
}

/** Where messages of one export go, and what it is called when it asks for no more. */
interface Address {
  sink: UsageSink;
  url: string | null;
}

interface Side {
  kind: ExportKind;
  lane: ExportLane;
  /** News up to this number were handed to the lane. */
  position: number;
  rescannedMs: number;
  /** There were more with news than waiting room. */
  isFull: boolean;
}

const TICK_MS = 15_000;
/** So much waiting room has to be free before those are fetched for whom there was none. */
const ROOM_AGAIN = 400;
const PLACES = { places: 8, doubtedPlaces: 3 };
/** All tenants with news are looked for again so often, and at the start; news are otherwise looked at once. */
const RESCAN_MS = 3_600_000;
/** Messages for one tenant in one round; the rest follows in the next. */
const MESSAGES_AT_ONCE = 50;
/** An address that takes longer for a message is slow: it gets one in a round, and few of the places. */
const SLOW_MS = 5_000;
const FIRST_WAIT_MS = 5_000;
const CLOSING_MS = 2_000;

/** See the head of this file. */
export class UsageExporter {
  private readonly deps: ExporterDeps;
  private readonly complaints: Complaints;
  private readonly meter: MeterExport | null;
  private readonly sides: Side[];
  private timer: Timer | undefined;
  private looking: Promise<void> | undefined;
  private isClosed = false;
  /** Why looks fail at present. */
  private trouble: string | undefined;

  constructor(deps: ExporterDeps) {
    this.deps = deps;
    const { platform, control, clock, exports } = deps;
    this.complaints = new Complaints(clock, deps.log);
    this.meter =
      platform?.kind !== "charges"
        ? null
        : new MeterExport({
            ...{ control, clock, meter: platform.meter, charges: new Charges(control, clock) },
            ...{ cursors: exports.cursors, complaints: this.complaints, currencyOf: deps.currencyOf },
            nextTryMs: (failures) => this.nextTryMs(failures),
          });
    this.sides = (platform === null ? ["tenants" as const] : ["tenants" as const, "platform" as const]).map(
      (kind) => this.makeSide(kind),
    );
  }

  private makeSide(kind: ExportKind): Side {
    const work = async (tenantId: TenantId) => {
      const isSound = await this.attempt(kind, tenantId);
      if (side.isFull && lane.room(false) > ROOM_AGAIN) void this.look();
      return isSound;
    };
    const lane = new ExportLane({ ...PLACES, work });
    const side = { kind, lane, position: 0, rescannedMs: this.deps.clock.monotonicMs(), isFull: false };
    return side;
  }

  start(): void {
    this.timer ??= this.deps.clock.every(TICK_MS, () => void this.look());
  }

  /** Begin nothing more; what is under way and does not end soon is sent again after the next start. */
  async close(): Promise<void> {
    this.timer?.cancel();
    this.timer = undefined;
    this.isClosed = true;
    for (const { lane } of this.sides) lane.close();
    await this.looking;
    const late = Promise.withResolvers<void>();
    const timer = this.deps.clock.after(CLOSING_MS, () => late.resolve());
    await Promise.race([this.idle(), late.promise]);
    timer.cancel();
  }

  /** One look, and the end of all that it began; never rejects. */
  async tick(): Promise<void> {
    await this.look();
    await this.idle();
  }

  private async idle(): Promise<void> {
    do {
      await this.looking;
      await Promise.all(this.sides.map(({ lane }) => lane.idle()));
    } while (this.looking !== undefined);
  }

  /** One look at who is due; resolves when everybody is on the way. Never rejects. */
  private look(): Promise<void> {
    if (this.isClosed) return Promise.resolve();
    this.looking ??= Promise.all(this.sides.map((side) => this.lookAt(side)))
      .then(() => {
        this.trouble = undefined;
      })
      .catch((error: unknown) => {
        // A disk that is full all night is one line, not one for each look.
        if (String(error) !== this.trouble)
          this.deps.log.warn({ err: error }, "usage could not be exported; it is tried again");
        this.trouble = String(error);
      })
      .finally(() => {
        this.looking = undefined;
      });
    return this.looking;
  }

  private async lookAt(side: Side): Promise<void> {
    const { clock, exports } = this.deps;
    const { kind, lane } = side;
    for (const isFailing of [false, true]) {
      const due = await exports.cursors.listDue(kind, isFailing, lane.room(isFailing));
      for (const tenantId of due) lane.offer(tenantId, isFailing);
    }
    if (kind === "platform" && this.meter !== null)
      for (const tenantId of await this.meter.listForgotten(lane.room(true))) lane.offer(tenantId, true);
    if (clock.monotonicMs() - side.rescannedMs > RESCAN_MS) {
      side.rescannedMs = clock.monotonicMs();
      side.position = 0;
    }
    // ORDER: before the list: what comes after it has a higher number.
    const newest = await exports.cursors.newestNumber();
    side.isFull = true;
    for (let room = lane.room(false); room > 0; room = lane.room(false)) {
      const news = await exports.cursors.listNews(kind, side.position, room);
      for (const { tenantId } of news) lane.offerNews(tenantId);
      side.position = news.length < room ? Math.max(side.position, newest) : (news.at(-1)?.number ?? newest);
      side.isFull = news.length === room;
      if (!side.isFull) return;
    }
  }

  /** Must not reject; says whether it went well and fast. */
  private async attempt(kind: ExportKind, tenantId: TenantId): Promise<boolean> {
    const exportOf = kind === "platform" ? PLATFORM : tenantId;
    try {
      const { failures, nextAtMs } = await this.deps.exports.cursors.get(exportOf, tenantId);
      // News do not make an address well.
      if (failures > 0 && isAhead(nextAtMs, this.deps.clock.nowMs())) return false;
      const scope = await this.deps.scopeOf(tenantId);
      if (kind === "platform" && this.meter !== null) return await this.meter.run(tenantId, scope);
      const address = scope === undefined ? undefined : await this.addressOf(kind, scope);
      if (scope === undefined || address === undefined) return true;
      return await this.send(exportOf, scope, address);
    } catch (error) {
      this.complaints.tell(tenantId, "a tenant's usage could not be exported; it is tried again", {
        err: error,
      });
      await this.deps.exports.cursors
        .get(exportOf, tenantId)
        .then((at) => this.putOff(at, "The usage could not be read."))
        .catch(() => undefined);
      return false;
    }
  }

  private async addressOf(kind: ExportKind, scope: TenantScope): Promise<Address | undefined> {
    const { platform, exports, sinkOf } = this.deps;
    if (kind === "platform")
      return platform?.kind === "messages" ? { sink: platform.sink, url: null } : undefined;
    const target = await exports.findTarget(scope);
    return target === undefined ? undefined : { sink: sinkOf(target), url: target.url };
  }

  private async send(exportOf: string, scope: TenantScope, address: Address): Promise<boolean> {
    const { exports, clock } = this.deps;
    const { cursors } = exports;
    const number = await cursors.numberOf(scope.tenantId);
    const currency = await this.deps.currencyOf(scope);
    let at = await this.startOf(exportOf, scope);
    for (let sent = 0; sent < MESSAGES_AT_ONCE; sent++) {
      const message = await readMessage(scope, exportOf, at.cursorSeq, at.pendingSeq, currency);
      if (message === undefined) {
        await cursors.rest(at, number);
        return true;
      }
      if (!(await cursors.begin(at, message.lastSeq))) return true;
      const beganMs = clock.monotonicMs();
      const delivery = await address.sink.deliver(message);
      const isSlow = clock.monotonicMs() - beganMs > SLOW_MS;
      if (!delivery.ok) {
        await this.putOff(at, delivery.reason, delivery.retryAfterMs);
        if (delivery.isGone && address.url !== null) await exports.end(scope.tenantId, address.url);
        if (exportOf === PLATFORM && at.failures === 0)
          this.complaints.tell(scope.tenantId, "a tenant's usage did not arrive; it is sent again", {
            reason: delivery.reason,
          });
        return false;
      }
      if (!(await cursors.confirm(at, message))) return true;
      const isLast = message.events.length < MESSAGE_EVENTS && at.pendingSeq === null;
      const cursorKey = message.keys.at(-1) ?? "";
      at = { ...at, cursorSeq: message.lastSeq, cursorKey, pendingSeq: null, failures: 0 };
      if (isLast) await cursors.rest(at, number);
      else if (isSlow) await cursors.goOn(at);
      if (isLast || isSlow) return !isSlow;
    }
    // More is waiting; a place must not be one tenant's.
    await cursors.goOn(at);
    return true;
  }

  /** Where to go on. After a backup that is older than what is remembered from the beginning: events have ids of their own. */
  private async startOf(exportOf: string, scope: TenantScope): Promise<Cursor> {
    const { cursors } = this.deps.exports;
    const known = await cursors.get(exportOf, scope.tenantId);
    const at = (await cursors.mend(known, scope)) ?? (await cursors.restart(known));
    if (at.moves !== known.moves) this.complaints.tell(scope.tenantId, RESTORED, { cursor: at.cursorSeq });
    return at;
  }

  private async putOff(at: Cursor, reason: string, askedMs = 0): Promise<void> {
    await this.deps.exports.cursors.fail(at, reason, this.nextTryMs(at.failures, askedMs));
  }

  /** Twice as long every time, up to an hour, with a fifth of chance in it; never sooner than the other side asks. */
  private nextTryMs(failures: number, askedMs = 0): number {
    const waitMs = Math.min(FIRST_WAIT_MS * 2 ** Math.min(failures, 20), LONGEST_WAIT_MS);
    const spreadMs = waitMs * (0.9 + Math.random() * 0.2);
    return this.deps.clock.nowMs() + Math.ceil(Math.min(Math.max(spreadMs, askedMs), LONGEST_WAIT_MS));
  }
}
