import { describe, expect, it } from "vitest";
import type { TenantId } from "../../kernel/ids.ts";
import { FairQueue, type Leave } from "./fair-queue.ts";

const [EVIL, ACME, BIG, SMALL] = ["evil", "acme", "big", "small"] as TenantId[] as [
  TenantId,
  TenantId,
  TenantId,
  TenantId,
];
const ONE = { weight: 1, limit: null };
const never = new AbortController().signal;

/** Turns of a fixed length on a clock that only the test moves; says when each of them began. */
class Turns {
  nowMs = 0;
  readonly begun: { tenant: TenantId; atMs: number }[] = [];
  private readonly queue: FairQueue;
  private going: { endMs: number; leave: Leave }[] = [];

  constructor(queue: FairQueue) {
    this.queue = queue;
  }

  send(tenant: TenantId, lengthMs: number, share: { weight: number; limit: number | null } = ONE): void {
    void this.queue.enter(tenant, share, never).then((leave) => {
      this.begun.push({ tenant, atMs: this.nowMs });
      this.going.push({ endMs: this.nowMs + lengthMs, leave });
    });
  }

  async pass(untilMs: number): Promise<void> {
    await settle();
    for (;;) {
      const next = Math.min(...this.going.map(({ endMs }) => endMs));
      if (next > untilMs) break;
      this.nowMs = next;
      const over = this.going.filter(({ endMs }) => endMs === next);
      this.going = this.going.filter(({ endMs }) => endMs !== next);
      for (const { leave } of over) leave();
      await settle();
    }
    this.nowMs = untilMs;
  }
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("places", () => {
  it("of one tenant's flood leave the next one to whoever else comes: at most one turn later", async () => {
    const turns = new Turns(new FairQueue(4));
    for (let n = 0; n < 1_000; n++) turns.send(EVIL, 100);
    await turns.pass(50);
    turns.send(ACME, 100);
    await turns.pass(30_000);
    const acme = turns.begun.find(({ tenant }) => tenant === ACME);
    // First come, first served would have begun it after 25 seconds.
    expect(acme?.atMs).toBe(100);
    expect(turns.begun.filter(({ tenant }) => tenant === EVIL)).toHaveLength(1_000);
  });

  it("are shared by weight while both wait, whoever came first", async () => {
    const turns = new Turns(new FairQueue(1));
    for (let n = 0; n < 100; n++) turns.send(SMALL, 10, { weight: 1, limit: null });
    for (let n = 0; n < 100; n++) turns.send(BIG, 10, { weight: 3, limit: null });
    await turns.pass(795);
    const first = turns.begun.slice(0, 80);
    const big = first.filter(({ tenant }) => tenant === BIG).length;
    expect(big).toBeGreaterThanOrEqual(58);
    expect(big).toBeLessThanOrEqual(62);
  });

  it("cannot be saved up: whoever was idle gets no more than its share afterwards", async () => {
    const turns = new Turns(new FairQueue(1));
    for (let n = 0; n < 200; n++) turns.send(EVIL, 10);
    await turns.pass(1_000);
    for (let n = 0; n < 50; n++) turns.send(ACME, 10);
    const before = turns.begun.length;
    await turns.pass(1_400);
    const after = turns.begun.slice(before);
    const acme = after.filter(({ tenant }) => tenant === ACME).length;
    expect(Math.abs(acme - after.length / 2)).toBeLessThanOrEqual(1);
  });

  it("of one tenant are never more than its limit, though others are free", async () => {
    const turns = new Turns(new FairQueue(10));
    for (let n = 0; n < 9; n++) turns.send(EVIL, 100, { weight: 1, limit: 2 });
    turns.send(ACME, 100);
    await turns.pass(0);
    expect(turns.begun.filter(({ tenant }) => tenant === EVIL)).toHaveLength(2);
    expect(turns.begun.filter(({ tenant }) => tenant === ACME)).toHaveLength(1);
    await turns.pass(399);
    expect(turns.begun.filter(({ tenant }) => tenant === EVIL)).toHaveLength(8);
  });

  it("are not given to who gave up, and given back once", async () => {
    const queue = new FairQueue(1);
    const leave = await queue.enter(EVIL, ONE, never);
    const stop = new AbortController();
    const gaveUp = queue.enter(ACME, ONE, stop.signal);
    const next = queue.enter(BIG, ONE, never);
    stop.abort();
    (await gaveUp)();
    expect(queue.waitingOf(ACME)).toBe(0);
    leave();
    leave();
    const last = await next;
    let isIn = false;
    const waits = queue.enter(SMALL, ONE, never).then((given) => {
      isIn = true;
      return given;
    });
    await settle();
    expect(isIn).toBe(false);
    last();
    (await waits)();
    expect(queue.size).toBe(0);
  });

  it("come free for those who wait as soon as their tenant may have more, whoever else comes or not", async () => {
    const queue = new FairQueue(10);
    let taken = 0;
    const enter = (limit: number) => void queue.enter(ACME, { weight: 1, limit }, never).then(() => taken++);
    for (let n = 0; n < 12; n++) enter(2);
    await settle();
    expect(taken).toBe(2);
    queue.reshare(ACME, { weight: 1, limit: 5 });
    await settle();
    expect([taken, queue.waitingOf(ACME)]).toEqual([5, 7]);
    // Whoever comes after an upgrade lets those before it in as well, and never more than there are places.
    enter(100);
    await settle();
    expect([taken, queue.waitingOf(ACME)]).toEqual([10, 3]);
    queue.reshare(EVIL, { weight: 1, limit: 5 });
    expect(queue.size).toBe(1);
  });
});
