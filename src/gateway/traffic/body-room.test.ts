import { expect, it } from "vitest";
import { BodyRoom } from "./body-room.ts";

const MOST = 10;
const here = new AbortController().signal;

async function settled(work: Promise<unknown>): Promise<boolean> {
  let isSettled = false;
  const done = () => {
    isSettled = true;
  };
  work.then(done, done);
  await new Promise((resolve) => setImmediate(resolve));
  return isSettled;
}

it("lets bodies in as there is room, in their order, and one that is larger than all of it alone", async () => {
  const room = new BodyRoom();
  const first = await room.enter("acme", 6, MOST, here);
  const second = room.enter("acme", 6, MOST, here);
  const small = room.enter("acme", 1, MOST, here);
  expect(await settled(second)).toBe(false);
  // Whoever asks for little does not pass by whoever waits.
  expect(await settled(small)).toBe(false);
  first();
  first();
  const leave = await second;
  (await small)();
  const huge = room.enter("acme", 50, MOST, here);
  expect(await settled(huge)).toBe(false);
  leave();
  (await huge)();
  expect(room.size).toBe(0);
});

it("is apart for every key, and gives up the place of whoever leaves", async () => {
  const room = new BodyRoom();
  const leave = await room.enter("acme", MOST, MOST, here);
  (await room.enter("beta", MOST, MOST, here))();
  const going = new AbortController();
  const gone = room.enter("acme", MOST, MOST, going.signal);
  const next = room.enter("acme", 1, MOST, here);
  going.abort();
  await expect(gone).rejects.toMatchObject({ code: "aborted" });
  await expect(room.enter("acme", 1, MOST, AbortSignal.abort())).rejects.toMatchObject({ code: "aborted" });
  leave();
  (await next)();
  expect(room.size).toBe(0);
});
