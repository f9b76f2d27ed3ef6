/**
 * Sending warnings out. Owns: the timer, one message at a time to each address, repetition, giving up.
 * Refuses to know: how a message travels (sinks), what the operator is told besides (handed in).
 *
 * Addresses do not wait for each other, and those that failed lately share few of the places. A message is sent until it
 * is answered with 2xx, always with the same id; after a week it is given up.
 */
import type { Clock, Timer } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Log } from "../../kernel/log.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { WebhookMessage, WebhookSink, WebhookTarget } from "../export/usage-sink.webhook.ts";
import type { AlertOutbox, Delivery } from "./alert-outbox.ts";

/** What the courier needs. */
export interface AlertCourierDeps {
  outbox: AlertOutbox;
  clock: Clock;
  log: Log;
  /** The operator's address; null for none. */
  operator: Pick<WebhookSink, "deliver"> | null;
  /** The address that the tenant set up; undefined when it has none. */
  findTarget(scope: TenantScope): Promise<WebhookTarget | undefined>;
  sinkOf(target: WebhookTarget): Pick<WebhookSink, "deliver">;
  /** The tenant's scope; undefined when it is gone or going. */
  scopeOf(tenantId: TenantId): Promise<TenantScope | undefined>;
  /** What the operator is told of a tenant besides: its names, its plan, whom to write to. */
  introduce(scope: TenantScope): Promise<Record<string, unknown>>;
}

const TICK_MS = 5_000;
/** From a post to the look: its commit comes in between. */
const SOON_MS = 300;
/** From one message to the next to the same address. */
const NEXT_MS = 20;
const DUE_AT_ONCE = 500;
/** Messages under way at once, and of these to addresses that failed before. */
const MOST_UNDER_WAY = 24;
const MOST_DOUBTED = 8;
const FIRST_WAIT_MS = 5_000;
const LONGEST_WAIT_MS = 3_600_000;
/** An address that did not answer is not asked before. */
const ADDRESS_WAIT_MS = 60_000;
const GIVEN_UP_MS = 7 * 24 * 3_600_000;
const CLOSING_MS = 1_000;

/** See the head of this file. */
export class AlertCourier {
  private readonly deps: AlertCourierDeps;
  private readonly underWay = new Map<string, { isDoubted: boolean; done: Promise<void> }>();
  private timer: Timer | undefined;
  private soon: Timer | undefined;
  private ticking: Promise<void> | undefined;
  private isClosed = false;

  constructor(deps: AlertCourierDeps) {
    this.deps = deps;
  }

  start(): void {
    this.deps.outbox.onPost(() => this.nudge());
    this.timer = this.deps.clock.every(TICK_MS, () => void this.tick());
  }

  /** Begin nothing more; what is under way and does not end soon is sent again after the next start. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.timer?.cancel();
    this.soon?.cancel();
    await this.ticking;
    const late = Promise.withResolvers<void>();
    const timer = this.deps.clock.after(CLOSING_MS, () => late.resolve());
    await Promise.race([Promise.all([...this.underWay.values()].map(({ done }) => done)), late.promise]);
    timer.cancel();
  }

  /** One look at what is due; resolves when everything is on its way, not when it arrived. Never rejects. */
  tick(): Promise<void> {
    this.ticking ??= this.round()
      .catch((error: unknown) =>
        this.deps.log.warn({ err: error }, "warnings could not be sent out; it is tried again"),
      )
      .finally(() => {
        this.ticking = undefined;
      });
    return this.ticking;
  }

  private nudge(delayMs = SOON_MS): void {
    if (this.isClosed || this.soon !== undefined) return;
    this.soon = this.deps.clock.after(delayMs, () => {
      this.soon = undefined;
      void this.tick();
    });
  }

  private async round(): Promise<void> {
    if (this.isClosed) return;
    const due = await this.deps.outbox.listDue(this.deps.clock.nowMs(), DUE_AT_ONCE);
    for (const delivery of due) {
      const address = delivery.destination === "operator" ? "" : delivery.tenantId;
      const isDoubted = delivery.failures > 0;
      if (this.underWay.has(address) || this.underWay.size >= MOST_UNDER_WAY) continue;
      if (isDoubted && [...this.underWay.values()].filter((one) => one.isDoubted).length >= MOST_DOUBTED)
        continue;
      const done = this.attempt(delivery).finally(() => {
        this.underWay.delete(address);
        // The next one to the same address.
        if (!isDoubted) this.nudge(NEXT_MS);
      });
      this.underWay.set(address, { isDoubted, done });
    }
  }

  private async attempt(delivery: Delivery): Promise<void> {
    const { outbox, clock, log } = this.deps;
    try {
      const outcome = await this.send(delivery);
      const nowMs = clock.nowMs();
      if (outcome.ok) return await outbox.end(delivery, nowMs, null);
      if (outcome.isGone || nowMs - delivery.atMs > GIVEN_UP_MS) {
        const { tenantId, type, destination } = delivery;
        log.warn(
          { tenantId, type, destination, reason: outcome.reason },
          "a warning never arrived; it was given up",
        );
        return await outbox.end(delivery, nowMs, outcome.reason);
      }
      const waitMs = waitOf(delivery.failures, outcome.retryAfterMs);
      await outbox.putOff(
        delivery,
        outcome.reason,
        nowMs + waitMs,
        nowMs + Math.min(waitMs, ADDRESS_WAIT_MS),
      );
    } catch (error) {
      log.warn(
        { err: error, tenantId: delivery.tenantId },
        "a warning could not be sent out; it is tried again",
      );
      const nowMs = clock.nowMs();
      const nextAtMs = nowMs + waitOf(delivery.failures);
      await outbox.putOff(delivery, "It could not be read.", nextAtMs, nowMs).catch(() => undefined);
    }
  }

  private async send(delivery: Delivery) {
    const { operator } = this.deps;
    const scope = await this.deps.scopeOf(delivery.tenantId);
    if (scope === undefined) return refused("The organization is being deleted.", false);
    if (delivery.destination === "operator") {
      if (operator === null) return refused("The operator wants no warnings any more.", true);
      return operator.deliver(messageOf(delivery, await this.deps.introduce(scope)));
    }
    const target = await this.deps.findTarget(scope);
    if (target === undefined) return refused("The organization has no address any more.", true);
    // SECURITY: of itself a tenant is told what its admins see, and nothing of its people.
    return this.deps.sinkOf(target).deliver(messageOf(delivery, {}));
  }
}

type Outcome = Awaited<ReturnType<WebhookSink["deliver"]>>;

function refused(reason: string, isGone: boolean): Outcome {
  return { ok: false, reason, isGone };
}

/** Twice as long every time, up to an hour, with a fifth of chance in it; never sooner than the other side asks. */
function waitOf(failures: number, askedMs = 0): number {
  const waitMs = Math.min(FIRST_WAIT_MS * 2 ** Math.min(failures, 20), LONGEST_WAIT_MS);
  return Math.ceil(Math.min(Math.max(waitMs * (0.9 + Math.random() * 0.2), askedMs), LONGEST_WAIT_MS));
}

/** A warning as a CloudEvent (1.0, JSON). Its id is the same however often and wherever it is sent. */
function messageOf(delivery: Delivery, besides: Record<string, unknown>): WebhookMessage {
  const { id, destination, tenantId, type, facts, atMs } = delivery;
  const event = {
    ...{ specversion: "1.0", id, source: `urn:creel:tenant:${tenantId}`, type, subject: tenantId },
    ...{ time: new Date(atMs).toISOString(), datacontenttype: "application/json" },
    data: { tenantId, ...facts, ...besides },
  };
  return { id: `${id}.${destination}`, events: [event] };
}
