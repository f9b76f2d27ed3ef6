/** `creel token …`, `creel member sign-out`, `creel key rotate` beside a running server. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MACHINE } from "#src/tenancy/actor.ts";
import { SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";

const BIN = fileURLToPath(new URL("../../bin/creel.js", import.meta.url));

let world: TestApp;

beforeAll(async () => {
  world = await startApp();
  await world.tenant("acme");
});
afterAll(() => world.close());

function creel(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const full = [BIN, ...args, "--state-dir", world.stateDir];
    execFile(process.execPath, full, { env: { PATH: process.env["PATH"] } }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === "number" ? error.code : error ? 99 : 0, stdout, stderr });
    });
  });
}

async function json(...args: string[]): Promise<Record<string, unknown>> {
  const done = await creel(...args, "--json");
  expect(done, args.join(" ")).toMatchObject({ code: 0 });
  return JSON.parse(done.stdout) as Record<string, unknown>;
}

const MAKE = ["token", "create", "--tenant", "acme", "--role", "member", "--name", "bot"];

describe("creel token create", () => {
  it("takes scopes, addresses and agents, each as often as needed", async () => {
    const limits = [
      "--scope",
      "operator.read",
      "--address",
      "127.0.0.1",
      "--address",
      "::1",
      "--agent",
      "main",
    ];
    const { token, record } = await json(...MAKE, ...limits);
    expect(record).toMatchObject({
      ...{ scopes: ["operator.read"], addresses: ["127.0.0.1", "::1"], agents: ["main"] },
    });
    const headers = { authorization: `Bearer ${String(token)}`, "content-type": "application/json" };
    const call = (method: string, body: unknown) =>
      fetch(`${world.url}/rpc/${method}`, { method: "POST", headers, body: JSON.stringify(body) });
    expect((await call("sessions.list", {})).status).toBe(200);
    expect((await call("sessions.create", {})).status).toBe(403);
    const list = await creel("token", "list", "--tenant", "acme");
    expect(list.stdout).toContain("scopes: operator.read; addresses: 127.0.0.1 ::1; agents: main");
    expect(list.stdout).not.toContain(String(token));
  });

  it("refuses what means nothing", async () => {
    for (const limit of [
      ["--scope", "operator.root"],
      ["--address", "*"],
      ["--agent", "*"],
    ]) {
      const done = await creel(...MAKE, ...limit);
      expect(done.code, limit.join(" ")).toBe(1);
      expect(done.stdout).toBe("");
    }
  });
});

describe("creel member sign-out", () => {
  it("ends what a person has open in the tenant of a running server", async () => {
    const { auth } = world.app;
    const { id } = await world.tenant("acme");
    const user = await auth.users.create({ displayName: "Ann" });
    await auth.members.add(id, user.id, "member", MACHINE);
    const input = { name: "a", role: "member", maker: { kind: "machine" }, userId: user.id } as const;
    const client = new SocketClient(world.wsUrl);
    await client.connect((await auth.tokens.create(id, input)).secret);
    expect(await json("member", "sign-out", "--tenant", "acme", "--user", user.id)).toEqual({
      signedOut: { userId: user.id },
    });
    expect((await client.untilClosed()).code).toBe(4001);
    expect(await auth.members.find(id, user.id)).toBeDefined();
  });
});

describe("creel key rotate", () => {
  it("publishes the new keys beside the old ones, which stay good, and is on record", async () => {
    const published = async () => {
      const answer = await fetch(`${world.url}/.well-known/jwks.json`);
      return ((await answer.json()) as { keys: { kid: string }[] }).keys.map((key) => key.kid);
    };
    const before = await published();
    const { rotated } = await json("key", "rotate");
    expect(rotated).toHaveLength(2);
    const after = await published();
    expect(after).toHaveLength(before.length + 2);
    expect(after).toEqual(expect.arrayContaining(before));
    const one = await json("key", "rotate", "--purpose", "socket", "--compromised");
    const [{ retired }] = one["rotated"] as [{ retired: string }];
    expect(await published()).not.toContain(retired);
    expect((await creel("key", "rotate", "--purpose", "tenant")).code).toBe(2);
  });
});
