/** Devices that are in: renamed, rotated, revoked, removed; and those that come in with a setup code. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MACHINE } from "#src/tenancy/actor.ts";
import { authOf, connectDevice, newTestDevice, refusedDevice } from "../support/paired-device.ts";
import { failure, listed, startPairingWorld } from "../support/pairing-world.ts";
import type { RpcError, SocketClient } from "../support/socket-client.ts";
import type { TestApp } from "../support/start-app.ts";

let stage: Awaited<ReturnType<typeof startPairingWorld>>;
let world: TestApp;

beforeAll(async () => {
  stage = await startPairingWorld();
  world = stage.world;
});
afterAll(() => world.close());

const at = (slug: string) => stage.at(slug);
const elsewhere = () => stage.elsewhere();
const operator: typeof stage.operator = (...params) => stage.operator(...params);
const paired: typeof stage.paired = (...params) => stage.paired(...params);

describe("a device that is in", () => {
  it("is renamed, removed and revoked; its sockets close and its token is forgotten", async () => {
    const owner = await operator("acme");
    const { device, client, deviceToken } = await paired("acme", owner);
    await owner.call("device.pair.rename", { deviceId: device.id, label: "  Kitchen Mac " });
    expect((await listed(owner)).paired.find((one) => one.deviceId === device.id)).toMatchObject({
      operatorLabel: "Kitchen Mac",
    });
    const role = "operator";
    expect(await owner.call("device.token.revoke", { deviceId: device.id, role })).toMatchObject({
      ...{ deviceId: device.id, role },
      revokedAtMs: expect.any(Number),
    });
    expect(await client.untilClosed()).toMatchObject({ code: 4001 });
    expect(await refusedDevice(at("acme"), device, { auth: { deviceToken } })).toMatchObject({
      code: "AUTH_DEVICE_TOKEN_MISMATCH",
    });
    const asked = await refusedDevice(at("acme"), device, { headers: elsewhere() });
    expect(asked).toMatchObject({ code: "PAIRING_REQUIRED" });
    const { pending } = await listed(owner);
    expect(pending.find((one) => one.deviceId === device.id)).toMatchObject({ isRepair: true });
    expect(await failure(owner.call("device.token.revoke", { deviceId: device.id, role }))).toBe(
      "INVALID_REQUEST device token revocation denied",
    );
    expect(await failure(owner.call("device.pair.remove", { deviceId: device.id }))).toBe(
      "INVALID_REQUEST unknown deviceId",
    );
    owner.close();
  });

  it("gets its rotated token itself, and nobody else does; the old one is dead", async () => {
    const owner = await operator("acme");
    const scopes = ["operator.read", "operator.pairing"];
    const { device, client, deviceToken } = await paired("acme", owner, scopes);
    const own = (await client.call("device.token.rotate", { deviceId: device.id, role: "operator" })) as {
      token: string;
    };
    expect(own).toMatchObject({ tokenDelivery: "in-band", token: expect.stringMatching(/^creeld_/) });
    expect(own.token).not.toBe(deviceToken);
    expect(await client.untilClosed()).toMatchObject({ code: 4001 });
    const dead = await refusedDevice(at("acme"), device, { scopes, auth: { deviceToken } });
    expect(dead).toMatchObject({ code: "AUTH_DEVICE_TOKEN_MISMATCH" });
    const next = await connectDevice(at("acme"), device, { scopes, auth: { deviceToken: own.token } });
    const other = await owner.call("device.token.rotate", { deviceId: device.id, role: "operator" });
    expect(other).toMatchObject({ tokenDelivery: "withheld-cross-device", rotatedAtMs: expect.any(Number) });
    expect(JSON.stringify(other)).not.toContain("creeld_");
    expect(await next.client.untilClosed()).toMatchObject({ code: 4001 });
    const third = await connectDevice(at("acme"), device, { scopes });
    expect(authOf(third.hello).deviceToken).not.toBe(own.token);
    for (const one of [owner, third.client]) one.close();
  });

  it("never gets more by rotation than was approved and its caller holds (XW-20)", async () => {
    const owner = await operator("acme");
    const scopes = ["operator.read", "operator.pairing"];
    const { device, client } = await paired("acme", owner, scopes);
    const neighbour = await paired("acme", owner);
    const denied = "INVALID_REQUEST device token rotation denied";
    const rotate = (by: SocketClient, params: Record<string, unknown>) =>
      failure(by.call("device.token.rotate", { deviceId: device.id, role: "operator", ...params }));
    for (const asked of [["operator.admin"], ["operator.read", "operator.write"], ["operator.root"], ["*"]]) {
      expect(await rotate(client, { scopes: asked }), asked.join()).toBe(denied);
      expect(await rotate(owner, { scopes: asked }), asked.join()).toBe(denied);
    }
    expect(await rotate(client, { role: "node" })).toBe(denied);
    expect(await rotate(client, { deviceId: neighbour.device.id })).toBe(denied);
    expect(await rotate(owner, { deviceId: "0".repeat(64) })).toBe(denied);
    const pairingOnly = await operator("acme", { scopes: ["operator.pairing"] });
    expect(await rotate(pairingOnly, {}), "it holds no operator.read").toBe(denied);
    for (const [method, params] of [
      ["device.token.revoke", { deviceId: neighbour.device.id, role: "operator" }],
      ["device.pair.remove", { deviceId: neighbour.device.id }],
      ["device.pair.rename", { deviceId: neighbour.device.id, label: "mine" }],
    ] as const) {
      expect(await failure(client.call(method, params)), method).toContain("denied");
    }
    expect((await listed(client)).paired.map((one) => one.deviceId)).toEqual([device.id]);
    const narrow = (await client.call("device.token.rotate", {
      ...{ deviceId: device.id, role: "operator" },
      scopes: ["operator.read"],
    })) as { token: string; scopes: string[] };
    expect(narrow.scopes).toEqual(["operator.read"]);
    await client.untilClosed();
    const { hello, client: back } = await connectDevice(at("acme"), device, {
      ...{ scopes, auth: { deviceToken: narrow.token } },
    });
    expect(authOf(hello).scopes).toEqual(["operator.read"]);
    for (const one of [owner, pairingOnly, back, neighbour.client]) one.close();
  });

  it("is put out by HTTP, by an admin or by whom it acts for, and by nobody else", async () => {
    const owner = await operator("acme");
    const { device, client } = await paired("acme", owner);
    const remove = async (path: string, token: string) =>
      (
        await fetch(`${world.url}/t/acme${path}/${device.id}`, {
          method: "DELETE",
          headers: { authorization: `Bearer ${token}` },
        })
      ).status;
    expect(await remove("/api/devices", await world.token("acme", "member"))).toBe(403);
    expect(await remove("/api/my/devices", await world.token("acme", "owner"))).toBe(404);
    expect(await remove("/api/devices", await world.token("beta", "owner"))).toBe(403);
    await client.call("sessions.list", {});
    expect(await remove("/api/devices", await world.token("acme", "admin"))).toBe(204);
    expect(await client.untilClosed()).toMatchObject({ code: 4001 });
    expect(await remove("/api/devices", await world.token("acme", "admin"))).toBe(404);
    owner.close();
  });

  it("that came with a token is listed too, and gets in again with that token after it was removed", async () => {
    const owner = await operator("acme");
    const token = await world.token("acme", "member");
    const device = newTestDevice();
    const first = await connectDevice(at("acme"), device, { auth: { token } });
    const shown = (await listed(owner)).paired.find((one) => one.deviceId === device.id);
    expect(shown).toMatchObject({ approvedVia: "silent", displayName: "A laptop", remoteIp: "127.0.0.1" });
    await owner.call("device.pair.remove", { deviceId: device.id });
    const { deviceToken } = authOf(first.hello);
    expect(await refusedDevice(at("acme"), device, { auth: { deviceToken } })).toMatchObject({
      code: "AUTH_DEVICE_TOKEN_MISMATCH",
    });
    const second = await connectDevice(at("acme"), device, { auth: { token } });
    expect(authOf(second.hello).deviceToken).not.toBe(deviceToken);
    for (const one of [owner, first.client, second.client]) one.close();
  });
});

interface Setup {
  setupId: string;
  setupCode: string;
  gatewayUrl: string;
  access: string;
  expiresAtMs: number;
}

function bootstrapOf(setup: Setup): string {
  const payload = JSON.parse(Buffer.from(setup.setupCode, "base64url").toString()) as Record<string, string>;
  expect(Object.keys(payload).sort()).toEqual(["bootstrapToken", "expiresAtMs", "url"]);
  expect(payload["url"]).toBe(setup.gatewayUrl);
  return payload["bootstrapToken"] ?? "";
}

describe("a setup code", () => {
  it("lets one device in for whoever made it, once, and tells what became of it", async () => {
    const owner = await operator("acme");
    const setup = (await owner.call("device.pair.setupCode", {})) as Setup;
    expect(setup).toMatchObject({
      ...{ gatewayUrl: `${world.wsUrl}/t/acme`, auth: "token", urlSource: "request.origin", access: "full" },
    });
    const bootstrapToken = bootstrapOf(setup);
    const { setupId } = setup;
    expect(await owner.call("device.pair.setupStatus", { setupId })).toEqual({});
    const devices = Array.from({ length: 20 }, newTestDevice);
    const tries = await Promise.allSettled(
      devices.map((device) =>
        connectDevice(setup.gatewayUrl, device, {
          ...{ auth: { bootstrapToken }, scopes: ["operator.admin"], headers: elsewhere() },
        }),
      ),
    );
    const inside = tries.flatMap((one, index) =>
      one.status === "fulfilled" ? [{ ...one.value, device: devices[index] }] : [],
    );
    expect(inside).toHaveLength(1);
    for (const one of tries) {
      if (one.status === "fulfilled") continue;
      expect((one.reason as RpcError).error).toMatchObject({
        code: "INVALID_REQUEST",
        details: { code: "AUTH_BOOTSTRAP_TOKEN_INVALID" },
      });
    }
    const [winner] = inside;
    if (winner?.device === undefined) throw new Error("nobody came in");
    const { deviceToken, scopes } = authOf(winner.hello);
    expect(deviceToken).toMatch(/^creeld_/);
    expect(scopes.sort()).toEqual([
      "operator.admin",
      "operator.approvals",
      "operator.questions",
      "operator.read",
      "operator.write",
    ]);
    const done = await owner.until((frame) => frame["event"] === "device.pair.setup.completed");
    const completion = { setupId, deviceId: winner.device.id, deviceName: "A laptop", access: "full" };
    expect(done["payload"]).toMatchObject(completion);
    expect(await owner.call("device.pair.setupStatus", { setupId })).toMatchObject({ completion });
    const stranger = await operator("beta");
    expect(await stranger.call("device.pair.setupStatus", { setupId })).toEqual({});
    expect(stranger.events("device.pair.setup.completed")).toEqual([]);

    const back = await connectDevice(setup.gatewayUrl, winner.device, { scopes: ["operator.read"] });
    expect(authOf(back.hello).deviceToken).toBe(deviceToken);
    const lost = await connectDevice(setup.gatewayUrl, winner.device, { auth: { bootstrapToken } });
    expect(authOf(lost.hello).deviceToken, "its own answer may have been lost").toBe(deviceToken);
    for (const one of [owner, stranger, winner.client, back.client, lost.client]) one.close();
  });

  it("is worth nothing when it ended, in another tenant, changed, or after its maker lost the right to make one", async () => {
    const { app } = world;
    const acme = await world.tenant("acme");
    const owner = await operator("acme");
    const make = async () => bootstrapOf((await owner.call("device.pair.setupCode", {})) as Setup);
    const refused = async (slug: string, bootstrapToken: string) =>
      (
        await refusedDevice(at(slug), newTestDevice(), {
          ...{ auth: { bootstrapToken }, headers: elsewhere() },
        })
      )["code"];
    const invalid = "AUTH_BOOTSTRAP_TOKEN_INVALID";
    const code = await make();
    expect(await refused("beta", code)).toBe(invalid);
    expect(await refused("no-such-tenant", code)).toBe(invalid);
    expect(await refused("acme", `${code}x`)).toBe(invalid);
    expect(await refused("acme", "creelp_nothing")).toBe(invalid);
    stage.clock.pass(10 * 60 * 1000 + 1);
    expect(await refused("acme", code)).toBe(invalid);

    const user = await app.auth.users.create({ displayName: "Mona" });
    await app.auth.members.add(acme.id, user.id, "admin");
    const principal = {
      ...{ tenantId: acme.id, userId: user.id, displayName: "Mona", role: "admin" as const },
      scopes: new Set(["operator.admin", "operator.read"] as const),
      credential: { kind: "browser_session" as const, id: "none", expiresAtMs: null },
    };
    const demoted = await app.auth.pairing.setupCodes.create(principal, "full", MACHINE);
    expect(demoted.code.scopes).not.toContain("operator.pairing");
    await app.auth.members.setRole(acme.id, user.id, "member");
    expect(await refused("acme", demoted.secret)).toBe(invalid);
    await app.auth.members.setRole(acme.id, user.id, "admin");
    const removed = await app.auth.pairing.setupCodes.create(principal, "full", MACHINE);
    await app.auth.members.remove(acme.id, user.id);
    await app.auth.members.add(acme.id, user.id, "admin");
    expect(await refused("acme", removed.secret)).toBe(invalid);
  });

  it("is limited on request and on lines that others can read, and names no address but ours", async () => {
    const owner = await operator("acme");
    const call = (params: Record<string, unknown>) => owner.call("device.pair.setupCode", params);
    expect(await call({ bootstrapProfile: "limited" })).toMatchObject({ access: "limited" });
    expect(await call({ publicUrl: "http://gateway.local:8080/t/beta" })).toMatchObject({
      ...{ access: "limited", accessDowngraded: true, urlSource: "request.publicUrl" },
      gatewayUrl: "ws://gateway.local:8080/t/acme",
    });
    expect(await call({ publicUrl: "https://creel.example" })).toMatchObject({
      ...{ access: "full", gatewayUrl: "wss://creel.example/t/acme" },
    });
    for (const publicUrl of ["javascript:alert(1)", "https://a:b@creel.example", "nothing", "ftp://x"]) {
      expect(await failure(call({ publicUrl })), publicUrl).toContain("publicUrl must be");
    }
    for (const params of [{ bootstrapProfile: "node" }, { joinUrl: true }]) {
      expect(await failure(call(params))).toContain("serves no nodes");
    }
    const limited = (await call({ bootstrapProfile: "limited" })) as Setup;
    const device = newTestDevice();
    const { hello, client } = await connectDevice(at("acme"), device, {
      ...{ auth: { bootstrapToken: bootstrapOf(limited) }, scopes: ["operator.admin", "operator.pairing"] },
    });
    expect(authOf(hello).scopes.sort()).toEqual([
      "operator.approvals",
      "operator.questions",
      "operator.read",
      "operator.write",
    ]);
    for (const one of [owner, client]) one.close();
  });
});

describe("the tenant's own record", () => {
  it("tells who asked, who let in, and who put out, without any secret", async () => {
    await world.tenant("diary");
    const owner = await operator("diary");
    const { device, client } = await paired("diary", owner);
    await owner.call("device.pair.rename", { deviceId: device.id, label: "Desk" });
    await owner.call("device.token.rotate", { deviceId: device.id, role: "operator" });
    await owner.call("device.pair.remove", { deviceId: device.id });
    await owner.call("device.pair.setupCode", {});
    const headers = { authorization: `Bearer ${await world.token("diary", "admin")}` };
    const actions = async () => (await fetch(`${world.url}/t/diary/api/audit`, { headers })).text();
    let seen = await actions();
    for (let tries = 0; tries < 200 && !seen.includes("device.setup_code_created"); tries++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      seen = await actions();
    }
    for (const action of [
      "device.requested",
      "device.approved",
      "device.renamed",
      "device.token_rotated",
      "device.removed",
      "device.setup_code_created",
    ]) {
      expect(seen, action).toContain(action);
    }
    expect(seen).not.toMatch(/creel[dp]_/);
    for (const one of [owner, client]) one.close();
  });
});
