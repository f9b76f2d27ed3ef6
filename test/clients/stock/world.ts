/**
 * One world per test file: mock model, gateway under test, a home folder per tenant. Owns: setting up and clearing away.
 * Refuses to know: what a test does in it.
 */
import { rm } from "node:fs/promises";
import { type MockModel, start } from "../../support/mock-model.ts";
import { newHome } from "../openclaw.ts";
import type { Gateway, Target } from "../target.ts";
import { openGateway } from "../world.ts";

/** A tenant as a person at a terminal has it: the door, the token, a home folder with nothing in it. */
export type Seat = Target & { home: string };

/** What every stock test starts from. */
export type World = {
  mock: MockModel;
  gateway: Gateway;
  /** The seat of tenant 0 or 1; `undefined` for 1 when the stock gateway is under test, which has one tenant. */
  seat(index: number): Seat | undefined;
  close(): Promise<void>;
};

/** Opens a world; the caller closes it. */
export async function openWorld(): Promise<World> {
  const mock = await start({ slowDelayMs: 60 });
  const gateway = await openGateway(mock.baseUrl);
  const seats: Seat[] = [];
  for (const target of gateway.targets) seats.push({ ...target, home: await newHome() });
  return {
    mock,
    gateway,
    seat: (index) => seats[index],
    close: async () => {
      await gateway.stop();
      await mock.close();
      for (const { home } of seats) await rm(home, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}
