/** The stock terminal UI, `openclaw tui`, in a pseudo-terminal: typed into, and read, as a person would. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openclawDir, openclawEnv } from "../openclaw.ts";
import { openTerminal, type Terminal, whyNoTerminal } from "./terminal.ts";
import { openWorld, type Seat, type World } from "./world.ts";

let world: World;
const why = whyNoTerminal();

beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world?.close());

async function withTui(seat: Seat, work: (tui: Terminal) => Promise<void>): Promise<void> {
  const command = [process.execPath, join(openclawDir(), "openclaw.mjs"), "tui"];
  const tui = openTerminal([...command, "--url", seat.wsUrl, "--token", seat.token], {
    cwd: seat.home,
    env: openclawEnv(seat.home),
  });
  try {
    await tui.sees("connected | idle");
    await work(tui);
  } finally {
    await tui.close();
  }
}

describe.skipIf(why)(`openclaw tui${why ? ` (${why})` : ""}`, () => {
  for (const index of [0, 1]) {
    it(`chats with tenant ${index}, streams, and shows no other tenant's words`, async (context) => {
      const seat = world.seat(index);
      if (!seat) return context.skip("the stock gateway has one tenant");
      await withTui(seat, async (tui) => {
        tui.type(`SAY:canary-of-${seat.name}`);
        await tui.sees(`SAY:canary-of-${seat.name}`);
        const before = tui.shown().length;
        tui.type("\r");
        await tui.sees("connected | idle", before);
        await tui.sees(new RegExp(`(?<!SAY:)canary-of-${seat.name}`), before);
        expect(tui.shown()).toMatch(/agent main( \(\w+\))? \| session main \| mock-1/);
        await tui.sees(/tokens [1-9]\d*\/128k/, before);
        // A short answer is over before the terminal paints; a slow one is seen while it comes.
        const beforeSlow = tui.shown().length;
        tui.type("SLOW");
        await tui.sees("SLOW", beforeSlow);
        tui.type("\r");
        await tui.sees("streaming", beforeSlow);
        for (const failure of [
          "history failed",
          "session description failed",
          "unknown method",
          "send failed",
        ]) {
          expect(tui.shown()).not.toContain(failure);
        }
        expect(
          world.mock.requests.some((request) => request.lastUserText.includes(`canary-of-${seat.name}`)),
        ).toBe(true);
        for (const other of world.gateway.targets.filter((target) => target.name !== seat.name)) {
          expect(tui.shown()).not.toContain(`canary-of-${other.name}`);
        }
      });
    });
  }

  it("shows the earlier conversation when it is opened again", async () => {
    const seat = world.seat(0) as Seat;
    await withTui(seat, async (tui) => {
      await tui.sees("SAY:canary-of-");
      await tui.sees(new RegExp(`(?<!SAY:)canary-of-${seat.name}`));
    });
  });

  it("stops a reply with escape", async () => {
    const seat = world.seat(0) as Seat;
    await withTui(seat, async (tui) => {
      tui.type("SLOW:500 stop me\r");
      await tui.sees("word3");
      const before = tui.shown().length;
      tui.type("\u001b");
      await tui.sees("aborted", before);
      expect(tui.shown()).not.toContain("word500");
    });
    const stopped = await world.mock.waitFor((request) => request.lastUserText.includes("stop me"));
    expect(stopped.aborted).toBe(true);
  });
});
