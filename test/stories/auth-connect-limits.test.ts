/** Devices that continue a limited token or a browser session: as limited, and ended with it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MACHINE } from "#src/tenancy/actor.ts";
import type { Tenant } from "#src/tenancy/tenant.ts";
import { type AuthWorld, startAuthWorld } from "#test/support/auth-world.ts";
import { type Attempt, attemptConnect, makeDevice } from "#test/support/connect-attempt.ts";

let world: AuthWorld;
let acme: Tenant;

const MISMATCH = { ok: false, error: { details: { code: "AUTH_TOKEN_MISMATCH" } } };
const DEVICE_MISMATCH = { ok: false, error: { details: { code: "AUTH_DEVICE_TOKEN_MISMATCH" } } };

beforeAll(async () => {
  world = await startAuthWorld();
  acme = await world.tenants.create({ slug: "acme" });
});
afterAll(() => world.close());

const connect = (attempt: Attempt) => attemptConnect(world, attempt);

describe("a device that continues a limited token", () => {
  it("is as limited: to its addresses, its agents and its scopes", async () => {
    const limits = { addresses: ["192.0.2.0/24"], agents: ["helper"], scopes: ["operator.read"] };
    const input = { name: "limited", role: "admin", maker: { kind: "machine" }, limits } as const;
    const { secret } = await world.auth.tokens.create(acme.id, input);
    const device = makeDevice();
    const from = (address: string) => ({ input: { address } });
    const first = await connect({ client: "cli", device, auth: { token: secret }, ...from("192.0.2.7") });
    if (!first.ok) throw new Error("refused");
    expect([...first.principal.scopes]).toEqual(["operator.read"]);
    expect([...(first.principal.agents ?? [])]).toEqual(["helper"]);
    const auth = { deviceToken: first.deviceToken };
    const again = await connect({ client: "cli", device, auth, ...from("::ffff:192.0.2.9") });
    if (!again.ok) throw new Error("refused");
    expect(again.principal.credential.kind).toBe("device_token");
    expect([...again.principal.scopes]).toEqual(["operator.read"]);
    expect([...(again.principal.agents ?? [])]).toEqual(["helper"]);
    expect(await connect({ client: "cli", device, auth, ...from("198.51.100.7") })).toMatchObject(
      DEVICE_MISMATCH,
    );
    expect(await connect({ auth: { token: secret }, ...from("198.51.100.7") })).toMatchObject(MISMATCH);
    expect(await connect({ auth: { password: secret }, ...from("198.51.100.7") })).toMatchObject({
      ok: false,
    });
  });

  it("is dead when its person is signed out of the tenant, and so is the browser session it came from", async () => {
    const user = await world.auth.users.create({ displayName: "Ann" });
    await world.auth.members.add(acme.id, user.id, "member");
    const { cookie } = await world.auth.sessions.signIn(await world.auth.links.create(user.id, null), null);
    const sessionId = (await world.auth.authenticator.browserUser(cookie))?.sessionId ?? "";
    const made = await world.auth.socketTokens.create({ tenantId: acme.id, userId: user.id, sessionId });
    const device = makeDevice();
    const first = await connect({ client: "cli", device, auth: { token: made.token } });
    if (!first.ok) throw new Error("refused");
    const auth = { deviceToken: first.deviceToken };
    expect(await connect({ client: "cli", device, auth })).toMatchObject({ ok: true });
    await world.auth.credentials.signOuts.inTenant(acme.id, user.id, MACHINE);
    expect(await connect({ client: "cli", device, auth })).toMatchObject(DEVICE_MISMATCH);
    expect(await connect({ client: "cli", device, auth: { token: made.token } })).toMatchObject(MISMATCH);
    await world.auth.feed.refresh(0);
    expect(await world.auth.authenticator.isLive(first.principal)).toBe(false);
    // Signed in anew, all is well again.
    world.clock.pass(1_000);
    const anew = await world.auth.sessions.signIn(await world.auth.links.create(user.id, null), null);
    const next = (await world.auth.authenticator.browserUser(anew.cookie))?.sessionId ?? "";
    const token = await world.auth.socketTokens.create({
      tenantId: acme.id,
      userId: user.id,
      sessionId: next,
    });
    expect(await connect({ client: "cli", device, auth: { token: token.token } })).toMatchObject({
      ok: true,
    });
  });
});
