/** `kill -9` while a deployment is made, and what a kill leaves beside the data: the next start works all the same. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ChildWorld } from "../support/child-server.ts";

let world: ChildWorld;

beforeEach(async () => {
  world = await ChildWorld.empty("http://127.0.0.1:9/v1");
});

afterEach(async () => {
  await world.close();
});

function count(table: string): number {
  const db = new SqliteDatabase(join(world.stateDir, "control.db"), { fileMustExist: true });
  try {
    expect(db.pragma("integrity_check", { simple: true })).toBe("ok");
    return db.prepare(`SELECT count(*) FROM ${table}`).pluck().get() as number;
  } finally {
    db.close();
  }
}

describe("the first start", () => {
  const points = [0, 1].flatMap((skip) =>
    (["request", "commit", "committed"] as const).map((at) => ({ at, skip })),
  );

  it.each(points)(
    "killed around its write number $skip ($at) is made good by the next",
    async ({ at, skip }) => {
      // With fewer writes than that the start succeeds, and is killed right after.
      await world.start({ failPoint: { at, match: ".", skip } }).catch(() => undefined);
      await world.kill();
      await world.start();
      expect(world.output).toMatch(/login#link=/);
      const response = await fetch(`${world.url}/healthz`);
      expect(response.status).toBe(200);
      await world.kill();
      expect(count("tenants")).toBe(1);
      expect(count("operators")).toBe(1);
      expect(count("members")).toBe(1);
    },
  );
});

describe("what a kill leaves", () => {
  it.each(["", "{", '{"url":"http', "null"])("in server.json keeps no start: %s", async (text) => {
    await world.start();
    await world.kill();
    writeFileSync(join(world.stateDir, "server.json"), text);
    await world.start();
    expect((await fetch(`${world.url}/healthz`)).status).toBe(200);
  });
});

describe("two servers", () => {
  it("on one state folder are refused, and the first one goes on", async () => {
    await world.start();
    const { url } = world;
    const second = ChildWorld.beside(world);
    await expect(second.start()).rejects.toThrow(/Another Creel/);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
  });
});
