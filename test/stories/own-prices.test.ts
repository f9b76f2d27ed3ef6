/** A deployment in yuan with a file of list prices of its own, and one that has none. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { planSchema } from "#src/config/plan-schema.ts";
import { toAppError } from "#src/kernel/errors.ts";
import { makeOperator } from "../support/operator.ts";
import { startApp, type TestApp } from "../support/start-app.ts";

const folder = mkdtempSync(join(tmpdir(), "creel-own-prices-"));
const worlds: TestApp[] = [];

afterAll(async () => {
  for (const world of worlds) await world.close();
  rmSync(folder, { recursive: true });
});

const YUAN = {
  plans: { yuan: planSchema.parse({ name: "Yuan", currency: "CNY" }) },
  defaultPlan: "yuan",
};

async function start(config: NonNullable<Parameters<typeof startApp>[0]>["config"]): Promise<TestApp> {
  const world = await startApp({ config });
  worlds.push(world);
  return world;
}

function writePrices(name: string, currency: string): string {
  const path = join(folder, name);
  const row = { provider: "acme", model: "m", from: "2026-01-01", input: 5, output: 9, source: "contract 7" };
  writeFileSync(path, JSON.stringify({ currency, version: "2026-11a", prices: [row] }));
  return path;
}

async function bookOf(world: TestApp) {
  const operator = await makeOperator(world);
  return (await operator.send("GET", "/operator/api/prices")).body;
}

it("an operator's own file is used and shown in place of the shipped one", async () => {
  const world = await start({ ...YUAN, pricesFile: writePrices("yuan.json", "CNY") });
  expect(await bookOf(world)).toMatchObject({
    currency: "CNY",
    table: { currency: "CNY", version: "2026-11a", isShipped: false, isUsed: true },
    shipped: [{ provider: "acme", model: "m", input: 5, standing: "in_force", source: "contract 7" }],
    isCut: false,
  });
});

it("the shipped prices are not used, nor shown, where prices are in another currency", async () => {
  const book = await bookOf(await start(YUAN));
  expect(book).toMatchObject({ currency: "CNY", table: { currency: "USD", isShipped: true, isUsed: false } });
  expect(book.shipped).toEqual([]);
});

it("a file in another currency stops the start and says why", async () => {
  const config = { ...YUAN, pricesFile: writePrices("dollars.json", "USD") };
  const refused = await startApp({ config }).catch((thrown: unknown) => toAppError(thrown));
  expect(refused).toMatchObject({
    code: "invalid_request",
    publicMessage: expect.stringMatching(/billing\.pricesFile: .*dollars\.json: its prices are in USD/),
  });
});
