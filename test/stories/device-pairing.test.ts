/** Devices without a credential, over real sockets with real keys: they ask, and are let in or not. */
import { createHash } from "node:crypto";
import { readPairingConnectErrorDetails } from "@openclaw/gateway-protocol/connect-error-details";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MACHINE } from "#src/tenancy/actor.ts";
import { connect, newDevice } from "../clients/client.ts";
import { authOf, connectDevice, newTestDevice, refusedDevice, TUI } from "../support/paired-device.ts";
import { failure, listed, type Paired, startPairingWorld } from "../support/pairing-world.ts";
import { SocketClient } from "../support/socket-client.ts";
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

describe("a device nobody knows", () => {
  it("is told to wait, is seen by the tenant's approvers alone, and comes in once it is let in", async () => {
    const approver = await operator("acme", { scopes: ["operator.pairing"] });
    const reader = await operator("acme", { scopes: ["operator.read", "operator.write"] });
    const stranger = await operator("beta");
    const device = newTestDevice();
    const headers = elsewhere();
    const refusal = await refusedDevice(at("acme"), device, { headers });
    expect(refusal).toEqual({
      code: "PAIRING_REQUIRED",
      message: "pairing required: device is not approved yet",
      reason: "not-paired",
      requestId: expect.stringMatching(
        /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      ),
      remediationHint: "Approve this device from the pending pairing requests.",
      deviceId: device.id,
      requestedRole: "operator",
      requestedScopes: ["operator.read", "operator.write"],
    });
    const event = await approver.until((frame) => frame["event"] === "device.pair.requested");
    expect(event["payload"]).toMatchObject({
      ...{ requestId: refusal.requestId, deviceId: device.id, publicKey: device.publicKey },
      ...{ displayName: "A laptop", platform: "linux", clientId: "openclaw-tui", clientMode: "ui" },
      ...{ role: "operator", scopes: ["operator.read", "operator.write"], isRepair: false },
      remoteIp: headers["x-forwarded-for"],
    });
    expect((await listed(approver)).pending).toMatchObject([{ requestId: refusal.requestId }]);
    expect((await listed(stranger)).pending).toEqual([]);

    const again = await refusedDevice(at("acme"), device, { headers: elsewhere() });
    expect(again.requestId).toBe(refusal.requestId);
    expect((await listed(approver)).pending).toHaveLength(1);
    expect(approver.events("device.pair.requested")).toHaveLength(1);

    expect(await failure(stranger.call("device.pair.approve", { requestId: refusal.requestId }))).toBe(
      "INVALID_REQUEST unknown requestId",
    );
    expect(await failure(reader.call("device.pair.approve", { requestId: refusal.requestId }))).toContain(
      "missing scope: operator.pairing",
    );
    const owner = await operator("acme");
    const approved = (await owner.call("device.pair.approve", { requestId: refusal.requestId })) as {
      device: Paired;
    };
    expect(approved.device).toMatchObject({
      ...{ deviceId: device.id, role: "operator", approvedVia: "owner" },
      scopes: ["operator.read", "operator.write"],
    });
    expect(JSON.stringify(approved)).not.toContain("creeld_");
    await approver.until((frame) => frame["event"] === "device.pair.resolved");
    expect(approver.events("device.pair.resolved")).toMatchObject([
      { requestId: refusal.requestId, deviceId: device.id, decision: "approved" },
    ]);

    const { client, hello } = await connectDevice(at("acme"), device);
    const { deviceToken, scopes } = authOf(hello);
    expect(deviceToken).toMatch(/^creeld_/);
    expect(scopes).toEqual(["operator.read", "operator.write"]);
    await client.call("sessions.list", {});
    const back = await connectDevice(at("acme"), device, {
      auth: { deviceToken },
      client: { ...TUI, id: "cli", mode: "cli" },
    });
    expect(authOf(back.hello).deviceToken, "one token for all programs of the device").toBe(deviceToken);
    expect((await listed(owner)).pending).toEqual([]);
    for (const heard of [reader, stranger]) {
      expect(heard.frames.filter((frame) => String(frame["event"]).startsWith("device."))).toEqual([]);
    }
    for (const one of [approver, reader, stranger, owner, client, back.client]) one.close();
  });

  it("cannot tell by the answer whether its tenant exists, is suspended, takes no requests, or turned it away", async () => {
    const closed = await world.tenant("closed");
    const owner = await operator("closed");
    await world.app.auth.pairing.requests.setOpen(closed.id, false, MACHINE);
    const gone = await world.tenant("gone");
    await world.app.tenants.suspend(gone.id);
    const rejecting = await operator("beta");
    const device = newTestDevice();
    const first = await refusedDevice(at("beta"), device, { headers: elsewhere() });
    await rejecting.call("device.pair.reject", { requestId: first.requestId });
    for (const slug of ["beta", "closed", "gone", "no-such-tenant", "another-one"]) {
      const answers = [
        await refusedDevice(at(slug), device, { headers: elsewhere() }),
        await refusedDevice(at(slug), device, { headers: elsewhere() }),
      ];
      expect(answers, slug).toEqual([first, first]);
      const other = newTestDevice();
      const second = await refusedDevice(at(slug), other, { headers: elsewhere() });
      expect(second, slug).toEqual({ ...first, deviceId: other.id, requestId: expect.any(String) });
      expect(second.requestId).not.toBe(first.requestId);
    }
    expect((await listed(rejecting)).pending).toHaveLength(1);
    expect((await listed(owner)).pending).toEqual([]);
    expect(
      await failure(rejecting.call("device.pair.approve", { requestId: first.requestId })),
      "what was rejected stays rejected",
    ).toBe("INVALID_REQUEST unknown requestId");
    for (const one of [owner, rejecting]) one.close();
  });

  it("leaves nothing anywhere when its tenant does not exist, or when it only probes", async () => {
    const print = async () =>
      createHash("sha256")
        .update(JSON.stringify(await rows("device_requests")))
        .update(JSON.stringify(await rows("audit_outbox")))
        .digest("hex");
    const before = await print();
    for (const slug of ["nowhere", "closed", "gone"]) {
      await refusedDevice(at(slug), newTestDevice(), { headers: elsewhere() });
    }
    const probe = { ...TUI, id: "cli", mode: "probe" };
    await refusedDevice(at("acme"), newTestDevice(), { client: probe, headers: elsewhere() });
    await refusedDevice(at("acme"), newTestDevice(), { scopes: ["operator.root"], headers: elsewhere() });
    expect(await print()).toBe(before);
  });

  it("has nobody to ask when it names no tenant; the stock page asks its person instead", async () => {
    const device = newTestDevice();
    expect(await refusedDevice(world.wsUrl, device)).toMatchObject({ code: "AUTH_TOKEN_MISSING" });
    const page = { ...TUI, id: "openclaw-control-ui", mode: "webchat" };
    const headers = { origin: world.url };
    expect(await refusedDevice(at("acme"), device, { client: page, headers })).toMatchObject({
      code: "AUTH_TOKEN_MISSING",
    });
    expect(await refusedDevice(at("acme"), device, { role: "node" })).toMatchObject({
      message: "invalid role",
    });
  });

  it("shows approvers one plain line of what it calls itself", async () => {
    const owner = await operator("acme");
    const device = newTestDevice();
    const displayName = `Good\u202e\u0007 laptop\n${"x".repeat(150)}`;
    await refusedDevice(at("acme"), device, { client: { ...TUI, displayName }, headers: elsewhere() });
    const { pending } = await listed(owner);
    const shown = pending.find((one) => one.deviceId === device.id)?.displayName ?? "";
    expect(shown).toMatch(/^Good laptopx+$/);
    expect(shown.length).toBeLessThanOrEqual(100);
    owner.close();
  });

  it("asks anew, under another id, when what it asks for changes", async () => {
    const owner = await operator("acme");
    const device = newTestDevice();
    const small = await refusedDevice(at("acme"), device, {
      scopes: ["operator.read"],
      headers: elsewhere(),
    });
    const large = await refusedDevice(at("acme"), device, {
      scopes: ["operator.admin"],
      headers: elsewhere(),
    });
    expect(large.requestId).not.toBe(small.requestId);
    expect(await failure(owner.call("device.pair.approve", { requestId: small.requestId }))).toBe(
      "INVALID_REQUEST unknown requestId",
    );
    const mine = (await listed(owner)).pending.filter((one) => one.deviceId === device.id);
    expect(mine.map((one) => one.requestId)).toEqual([large.requestId]);
    owner.close();
  });
});

async function rows(table: string): Promise<unknown[]> {
  const { default: Database } = await import("better-sqlite3");
  const database = new Database(`${world.stateDir}/control.db`, { readonly: true });
  try {
    return database.prepare(`SELECT * FROM ${table}`).all();
  } finally {
    database.close();
  }
}

describe("an approval", () => {
  it("gives no more than the approver holds, and acts for the approver", async () => {
    const approver = await operator("acme", { scopes: ["operator.pairing", "operator.read"] }, "admin");
    const device = newTestDevice();
    const asked = ["operator.admin", "operator.read", "operator.write", "operator.root"];
    const { requestId } = await refusedDevice(at("acme"), device, { scopes: asked, headers: elsewhere() });
    await approver.call("device.pair.approve", { requestId });
    const { client, hello } = await connectDevice(at("acme"), device, { scopes: asked });
    expect(authOf(hello).scopes.sort()).toEqual(["operator.pairing", "operator.read"]);
    const self = (await client.call("users.self", {})) as { profile: { id: string } };
    const boss = (await approver.call("users.self", {})) as { profile: { id: string } };
    expect(self.profile.id).toBe(boss.profile.id);
    expect(await failure(client.call("chat.send", {}))).toContain("missing scope: operator.write");

    const only = await operator("acme", { scopes: ["operator.pairing"] });
    const second = newTestDevice();
    const ask = await refusedDevice(at("acme"), second, { scopes: ["operator.write"], headers: elsewhere() });
    expect(await failure(only.call("device.pair.approve", { requestId: ask.requestId }))).toBe(
      "FORBIDDEN missing scope: operator.write",
    );
    for (const one of [approver, client, only]) one.close();
  });

  it("counts once, and not for a later request of the same device", async () => {
    const owner = await operator("acme");
    const device = newTestDevice();
    const { requestId } = await refusedDevice(at("acme"), device, { headers: elsewhere() });
    const both = await Promise.allSettled(
      Array.from({ length: 8 }, () => owner.call("device.pair.approve", { requestId })),
    );
    expect(both.filter((one) => one.status === "fulfilled")).toHaveLength(1);
    await owner.call("device.pair.remove", { deviceId: device.id });
    const again = await refusedDevice(at("acme"), device, { headers: elsewhere() });
    expect(again.requestId).not.toBe(requestId);
    expect(await failure(owner.call("device.pair.approve", { requestId }))).toBe(
      "INVALID_REQUEST unknown requestId",
    );
    expect((await listed(owner)).pending.some((one) => one.requestId === again.requestId)).toBe(true);
    owner.close();
  });

  it("is void when the approver was demoted meanwhile, and shrinks with the approver afterwards", async () => {
    const { app } = world;
    const acme = await world.tenant("acme");
    const user = await app.auth.users.create({ displayName: "Ada" });
    await app.auth.members.add(acme.id, user.id, "admin");
    const principal = {
      ...{ tenantId: acme.id, userId: user.id, displayName: "Ada", role: "admin" as const },
      scopes: new Set(["operator.admin", "operator.pairing", "operator.read", "operator.write"] as const),
      credential: { kind: "browser_session" as const, id: "none", expiresAtMs: null },
    };
    const late = newTestDevice();
    const asked = await refusedDevice(at("acme"), late, { headers: elsewhere() });
    await app.auth.members.setRole(acme.id, user.id, "member");
    await expect(
      app.auth.pairing.pairings.approve(principal, asked.requestId ?? "", MACHINE),
    ).rejects.toMatchObject({ code: "forbidden" });
    expect(await refusedDevice(at("acme"), late, { headers: elsewhere() })).toEqual(asked);

    await app.auth.members.setRole(acme.id, user.id, "admin");
    const device = newTestDevice();
    const scopes = ["operator.admin"];
    const ask = await refusedDevice(at("acme"), device, { scopes, headers: elsewhere() });
    await app.auth.pairing.pairings.approve(principal, ask.requestId ?? "", MACHINE);
    const strong = await connectDevice(at("acme"), device, { scopes });
    expect(authOf(strong.hello).scopes).toContain("operator.admin");
    await app.auth.members.setRole(acme.id, user.id, "readonly");
    expect(await strong.client.untilClosed()).toMatchObject({ code: 4001 });
    const weak = await connectDevice(at("acme"), device, { scopes });
    expect(authOf(weak.hello).scopes).toEqual(["operator.read"]);

    await app.auth.members.remove(acme.id, user.id);
    expect(await weak.client.untilClosed()).toMatchObject({ code: 4001 });
    await app.auth.members.add(acme.id, user.id, "admin");
    const { deviceToken } = authOf(weak.hello);
    expect(await refusedDevice(at("acme"), device, { auth: { deviceToken } })).toMatchObject({
      code: "AUTH_DEVICE_TOKEN_MISMATCH",
    });
    expect(await refusedDevice(at("acme"), device, { headers: elsewhere() })).toMatchObject({
      code: "PAIRING_REQUIRED",
    });
  });

  it("ends, with its maker's setup codes, when all that stands for its approver is signed out", async () => {
    const { app } = world;
    const acme = await world.tenant("acme");
    const user = await app.auth.users.create({ displayName: "Vera" });
    await app.auth.members.add(acme.id, user.id, "admin");
    const principal = {
      ...{ tenantId: acme.id, userId: user.id, displayName: "Vera", role: "admin" as const },
      scopes: new Set(["operator.admin", "operator.pairing", "operator.read"] as const),
      credential: { kind: "browser_session" as const, id: "none", expiresAtMs: null },
    };
    const device = newTestDevice();
    const { requestId = "" } = await refusedDevice(at("acme"), device, { headers: elsewhere() });
    await app.auth.pairing.pairings.approve(principal, requestId, MACHINE);
    const { client } = await connectDevice(at("acme"), device);
    const { secret } = await app.auth.pairing.setupCodes.create(principal, "full", MACHINE);
    await app.auth.credentials.signOuts.inTenant(acme.id, user.id, MACHINE);
    expect(await client.untilClosed()).toMatchObject({ code: 4001 });
    expect(await refusedDevice(at("acme"), device, { headers: elsewhere() })).toMatchObject({
      code: "PAIRING_REQUIRED",
    });
    const auth = { bootstrapToken: secret };
    expect(await refusedDevice(at("acme"), newTestDevice(), { auth, headers: elsewhere() })).toMatchObject({
      code: "AUTH_BOOTSTRAP_TOKEN_INVALID",
    });
  });

  it("with an API token ends with that token", async () => {
    const acme = await world.tenant("acme");
    const made = await world.app.auth.tokens.create(acme.id, {
      ...{ name: "approver", role: "admin" },
      maker: { kind: "machine" },
    });
    const approver = new SocketClient(world.wsUrl);
    await approver.connect(made.secret);
    const { device, client } = await paired("acme", approver);
    await world.app.auth.tokens.revoke(acme.id, made.token.id);
    expect(await client.untilClosed()).toMatchObject({ code: 4001 });
    expect(await refusedDevice(at("acme"), device, { headers: elsewhere() })).toMatchObject({
      code: "PAIRING_REQUIRED",
    });
  });

  it("in one tenant is nothing in another, though both see the same device", async () => {
    const [acme, beta] = [await operator("acme"), await operator("beta")];
    const device = newTestDevice();
    const inAcme = await refusedDevice(at("acme"), device, { headers: elsewhere() });
    const inBeta = await refusedDevice(at("beta"), device, { headers: elsewhere() });
    expect(inBeta).toEqual(inAcme);
    await acme.call("device.pair.approve", { requestId: inAcme.requestId });
    const { hello, client } = await connectDevice(at("acme"), device);
    const { deviceToken } = authOf(hello);
    expect(await refusedDevice(at("beta"), device, { headers: elsewhere() })).toEqual(inBeta);
    expect(await refusedDevice(at("beta"), device, { auth: { deviceToken } })).toMatchObject({
      code: "AUTH_DEVICE_TOKEN_MISMATCH",
    });
    await acme.call("device.pair.rename", { deviceId: device.id, label: "Kitchen" });
    await beta.call("device.pair.approve", { requestId: inBeta.requestId });
    const twin = await connectDevice(at("beta"), device);
    expect(authOf(twin.hello).deviceToken).not.toBe(deviceToken);
    const shown = (await listed(beta)).paired.find((one) => one.deviceId === device.id);
    expect(shown).toMatchObject({ deviceId: device.id });
    expect(shown?.operatorLabel).toBeUndefined();
    await beta.call("device.pair.remove", { deviceId: device.id });
    expect(await twin.client.untilClosed()).toMatchObject({ code: 4001 });
    await client.call("sessions.list", {});
    expect((await listed(acme)).paired.some((one) => one.deviceId === device.id)).toBe(true);
    for (const one of [acme, beta, client]) one.close();
  });

  it("survives a restart, and a request that nobody decides ends by itself", async () => {
    const owner = await operator("acme");
    const { device, client } = await paired("acme", owner);
    const waiting = newTestDevice();
    const asked = await refusedDevice(at("acme"), waiting, { headers: elsewhere() });
    for (const one of [owner, client]) one.close();
    await world.restart();
    (await connectDevice(at("acme"), device)).client.close();
    const later = await operator("acme");
    expect((await listed(later)).pending.some((one) => one.requestId === asked.requestId)).toBe(true);
    stage.clock.pass(61 * 60 * 1000);
    const last = await operator("acme");
    expect((await listed(last)).pending).toEqual([]);
    expect(await failure(last.call("device.pair.approve", { requestId: asked.requestId }))).toBe(
      "INVALID_REQUEST unknown requestId",
    );
    for (const one of [later, last]) one.close();
  });
});

describe("OpenClaw's own client library", () => {
  it("understands the refusal, comes in after the approval, and comes back with what it was given", async () => {
    const owner = await operator("acme");
    const { identity, hostDeps, issued } = newDevice();
    const target = { name: "acme", wsUrl: at("acme"), httpUrl: world.url, token: "" };
    const options = {
      ...{ token: "", deviceIdentity: identity, hostDeps, scopes: ["operator.read"] },
    };
    const refusal = await connect(target, options).catch(
      (thrown: unknown) => thrown as { details: Record<string, unknown> },
    );
    if (!("details" in refusal)) throw new Error("was let in");
    const details = readPairingConnectErrorDetails(refusal.details);
    expect(details).toMatchObject({ reason: "not-paired", deviceId: identity.deviceId });
    const { requestId } = details ?? {};
    await owner.call("device.pair.approve", { requestId });
    const first = await connect(target, options);
    expect(issued.at(-1)).toMatchObject({ token: expect.stringMatching(/^creeld_/) });
    await first.request("sessions.list", {});
    await first.close();
    const second = await connect(target, options);
    expect(issued.at(-1)?.token).toBe(second.hello().auth?.deviceToken);
    await owner.call("device.token.revoke", { deviceId: identity.deviceId, role: "operator" });
    const ended = await connect(target, options).catch((thrown: unknown) => thrown);
    expect(ended).toMatchObject({ details: { code: "AUTH_DEVICE_TOKEN_MISMATCH" } });
    expect(issued, "it forgets what counts no more").toEqual([]);
    await second.close();
    owner.close();
  });

  it("comes in with a setup code", async () => {
    const owner = await operator("acme");
    const setup = (await owner.call("device.pair.setupCode", {})) as { setupCode: string };
    const { url, bootstrapToken } = JSON.parse(
      Buffer.from(setup.setupCode, "base64url").toString(),
    ) as Record<string, string>;
    const { identity, hostDeps, issued } = newDevice();
    const target = { name: "acme", wsUrl: url ?? "", httpUrl: world.url, token: "" };
    const device = { deviceIdentity: identity, hostDeps, scopes: ["operator.read"], token: "" };
    const first = await connect(target, { ...device, bootstrapToken: bootstrapToken ?? "" });
    expect(first.hello().auth?.scopes).toEqual(["operator.read"]);
    await first.close();
    const second = await connect(target, device);
    expect(issued.at(-1)?.token).toBe(second.hello().auth?.deviceToken);
    await second.close();
    owner.close();
  });
});
