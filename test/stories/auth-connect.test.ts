import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ConnectOutcome } from "#src/auth/connect.ts";
import { ATTEMPT_LIMITS } from "#src/auth/guard/attempts.ts";
import type { Tenant } from "#src/tenancy/tenant.ts";
import { type AuthWorld, startAuthWorld } from "#test/support/auth-world.ts";
import { type Attempt, attemptConnect, makeDevice, ORIGIN } from "#test/support/connect-attempt.ts";

let world: AuthWorld;
let acme: Tenant;
let beta: Tenant;
let token: string;

const MISMATCH = {
  ok: false,
  closeCode: 1008,
  error: {
    code: "INVALID_REQUEST",
    message: "unauthorized: gateway token mismatch (provide gateway auth token)",
    details: {
      code: "AUTH_TOKEN_MISMATCH",
      authReason: "token_mismatch",
      canRetryWithDeviceToken: false,
      recommendedNextStep: "update_auth_credentials",
    },
  },
};
const DEVICE_MISMATCH = {
  ok: false,
  closeCode: 1008,
  error: {
    code: "INVALID_REQUEST",
    message: "unauthorized: device token mismatch (rotate/reissue device token)",
    details: {
      code: "AUTH_DEVICE_TOKEN_MISMATCH",
      authReason: "device_token_mismatch",
      canRetryWithDeviceToken: false,
      recommendedNextStep: "update_auth_credentials",
    },
  },
};

beforeAll(async () => {
  world = await startAuthWorld();
  acme = await world.tenants.create({ slug: "acme" });
  beta = await world.tenants.create({ slug: "beta" });
  token = await makeToken(acme, "admin");
});
afterAll(() => world.close());

async function makeToken(tenant: Tenant, role: "owner" | "admin" | "member" | "readonly") {
  return (await world.auth.tokens.create(tenant.id, { name: role, role, maker: { kind: "machine" } })).secret;
}

const connect = (attempt: Attempt, auth = world.auth) => attemptConnect(world, attempt, auth);

function accepted(outcome: ConnectOutcome) {
  if (!outcome.ok) throw new Error(`refused: ${outcome.error.message}`);
  return outcome;
}

function refusal(outcome: ConnectOutcome) {
  if (outcome.ok) throw new Error("was let in");
  return { code: outcome.error.code, message: outcome.error.message, ...outcome.error.details };
}

describe("a good token", () => {
  it("lets every kind of client in, as token, as password, or as both", async () => {
    for (const auth of [{ token }, { password: token }, { token, password: token }]) {
      const outcome = accepted(await connect({ auth }));
      expect(outcome.tenant.id).toBe(acme.id);
      expect(outcome.protocol).toBe(4);
      expect(outcome.deviceToken).toBeUndefined();
    }
    for (const client of ["cli", "probe", "tui", "ui"] as const) {
      accepted(await connect({ client, auth: { token }, device: makeDevice() }));
    }
  });

  it("grants what was asked for as far as its role goes, and echoes no word of a stranger", async () => {
    const granted = async (role: "owner" | "admin" | "member" | "readonly", scopes: string[]) => {
      const outcome = accepted(await connect({ auth: { token: await makeToken(acme, role) }, scopes }));
      return [...outcome.principal.scopes].sort();
    };
    expect(await granted("readonly", ["operator.admin"])).toEqual(["operator.read"]);
    expect(await granted("member", ["operator.admin"])).toEqual(["operator.read", "operator.write"]);
    expect(await granted("admin", ["operator.read"])).toEqual(["operator.read"]);
    expect(await granted("admin", ["operator.future", "*", "operator.write"])).toEqual([
      "operator.read",
      "operator.write",
    ]);
    expect(await granted("owner", [])).toEqual([]);
    const outcome = accepted(
      await connect({ auth: { token }, params: { permissions: { all: true }, caps: ["tool-events"] } }),
    );
    expect(outcome.caps).toEqual(["tool-events"]);
    expect(JSON.stringify(outcome)).not.toContain("permissions");
  });
});

describe("the one answer", () => {
  it("is given for a wrong, foreign, contradictory, revoked token and for an unknown or suspended tenant", async () => {
    const gone = await world.tenants.create({ slug: "gone" });
    const goneToken = await makeToken(gone, "owner");
    await world.tenants.suspend(gone.id);
    const attempts: Attempt[] = [
      { auth: { token: "wrong" } },
      { auth: { token: `${token}x` } },
      { auth: { token: "a.b.c" } },
      { auth: { token, password: "another" } },
      { auth: { token }, input: { named: beta } },
      { auth: { token }, input: { named: "unknown" } },
      { auth: { token: "wrong" }, input: { named: "unknown" } },
      { auth: { token: "wrong" }, input: { named: acme } },
      { auth: { token: goneToken } },
      { auth: { token: goneToken }, input: { named: "unknown" } },
      { auth: { token: "wrong" }, client: "ui", device: makeDevice() },
    ];
    for (const attempt of attempts)
      expect(await connect(attempt), JSON.stringify(attempt.auth)).toEqual(MISMATCH);
    accepted(await connect({ auth: { token }, input: { named: acme } }));
  });
});

describe("a client without a credential", () => {
  it("is told what it lacks", async () => {
    expect(await connect({})).toEqual({
      ok: false,
      closeCode: 1008,
      error: {
        code: "NOT_PAIRED",
        message: "device identity required",
        details: { code: "DEVICE_IDENTITY_REQUIRED" },
      },
    });
    expect(refusal(await connect({ client: "ui", device: makeDevice() }))).toMatchObject({
      code: "AUTH_TOKEN_MISSING",
      authReason: "token_missing",
    });
    expect(refusal(await connect({ client: "ui" }))).toMatchObject({
      code: "CONTROL_UI_DEVICE_IDENTITY_REQUIRED",
    });
    expect(refusal(await connect({ client: "ui", auth: { token } }))).toMatchObject({
      code: "CONTROL_UI_DEVICE_IDENTITY_REQUIRED",
    });
  });
});

describe("a page", () => {
  it("of another origin, or of none, is refused whatever it shows", async () => {
    const device = makeDevice();
    const withOrigin = (origin: string | undefined) =>
      connect({ client: "ui", auth: { token }, device, input: { origin } });
    expect(refusal(await withOrigin("https://evil.test"))).toMatchObject({
      code: "CONTROL_UI_ORIGIN_NOT_ALLOWED",
      reason: "origin not allowed",
    });
    for (const origin of [undefined, "", "null", "not an origin"]) {
      expect(refusal(await withOrigin(origin))).toMatchObject({
        code: "CONTROL_UI_ORIGIN_NOT_ALLOWED",
        reason: "origin missing or invalid",
      });
    }
    for (const origin of [`${ORIGIN}/`, `${ORIGIN}.evil.test`, ORIGIN.toUpperCase(), "http://127.0.0.1"]) {
      expect(refusal(await withOrigin(origin))).toMatchObject({ code: "CONTROL_UI_ORIGIN_NOT_ALLOWED" });
    }
    // Neither does calling itself a command line help.
    expect(
      refusal(await connect({ client: "cli", auth: { token }, input: { origin: "https://evil.test" } })),
    ).toMatchObject({ code: "CONTROL_UI_ORIGIN_NOT_ALLOWED" });
    accepted(await withOrigin(ORIGIN));
  });
});

describe("a device", () => {
  it("that does not prove its key is refused, each way by its own name", async () => {
    const device = makeDevice();
    const bent = async (bend: Record<string, unknown>) =>
      refusal(await connect({ client: "cli", auth: { token }, device, bend }));
    expect(await bent({ signature: "A".repeat(86) })).toEqual({
      code: "DEVICE_AUTH_SIGNATURE_INVALID",
      message: "device signature invalid",
      reason: "device-signature",
    });
    expect(await bent({ nonce: "another" })).toEqual({
      code: "DEVICE_AUTH_NONCE_MISMATCH",
      message: "device nonce mismatch",
      reason: "device-nonce-mismatch",
    });
    expect(await bent({ signedAt: world.clock.nowMs() - 121_000 })).toEqual({
      code: "DEVICE_AUTH_SIGNATURE_EXPIRED",
      message: "device signature expired",
      reason: "device-signature-stale",
    });
    expect(await bent({ id: "0".repeat(64) })).toEqual({
      code: "DEVICE_AUTH_DEVICE_ID_MISMATCH",
      message: "device identity mismatch",
      reason: "device-id-mismatch",
    });
  });

  it("gets the same token at every connect while it is good, and can come back with it alone", async () => {
    const device = makeDevice();
    const first = accepted(await connect({ client: "tui", auth: { token }, device }));
    const second = accepted(await connect({ client: "tui", auth: { token }, device }));
    expect(first.deviceToken).toMatch(/^creeld_/);
    expect(second.deviceToken).toBe(first.deviceToken);
    const deviceToken = first.deviceToken ?? "";
    expect(JSON.stringify(await world.control.list("SELECT * FROM device_tokens"))).not.toContain(
      deviceToken,
    );
    for (const auth of [
      { deviceToken },
      { token: deviceToken, deviceToken },
      { token: "wrong", deviceToken },
    ]) {
      const outcome = accepted(await connect({ client: "tui", auth, device }));
      expect(outcome.deviceToken).toBe(deviceToken);
      expect(outcome.principal).toMatchObject({
        tenantId: acme.id,
        userId: first.principal.userId,
        credential: { kind: "device_token" },
      });
      expect(await world.auth.authenticator.isLive(outcome.principal)).toBe(true);
    }
  });

  it("gets no token when it probes, nor when it is none", async () => {
    const device = makeDevice();
    expect(accepted(await connect({ client: "probe", auth: { token }, device })).deviceToken).toBeUndefined();
    expect(accepted(await connect({ client: "backend", auth: { token } })).deviceToken).toBeUndefined();
  });

  it("cannot use its token for more scopes, as another client, from another key, or in another tenant", async () => {
    const device = makeDevice();
    const first = accepted(
      await connect({ client: "tui", auth: { token }, device, scopes: ["operator.read"] }),
    );
    const deviceToken = first.deviceToken ?? "";
    const wider = accepted(
      await connect({ client: "tui", auth: { deviceToken }, device, scopes: ["operator.admin"] }),
    );
    expect([...wider.principal.scopes]).toEqual(["operator.read"]);
    expect(await connect({ client: "cli", auth: { deviceToken }, device })).toEqual(DEVICE_MISMATCH);
    expect(await connect({ client: "tui", auth: { deviceToken }, device: makeDevice() })).toEqual(
      DEVICE_MISMATCH,
    );
    expect(await connect({ client: "tui", auth: { deviceToken } })).toEqual(DEVICE_MISMATCH);
    for (const named of [beta, "unknown"] as const) {
      expect(await connect({ client: "tui", auth: { deviceToken }, device, input: { named } })).toEqual(
        DEVICE_MISMATCH,
      );
    }
    expect(await connect({ client: "tui", auth: { token: "bad", deviceToken: "bad" }, device })).toEqual(
      DEVICE_MISMATCH,
    );
  });

  it("has a token of its own in each tenant", async () => {
    const device = makeDevice();
    const inAcme = accepted(await connect({ client: "ui", auth: { token }, device }));
    const inBeta = accepted(
      await connect({ client: "ui", auth: { token: await makeToken(beta, "admin") }, device }),
    );
    expect(inBeta.tenant.id).toBe(beta.id);
    expect(inBeta.deviceToken).not.toBe(inAcme.deviceToken);
  });

  it("loses its token with the credential it came with, and by name", async () => {
    const made = await world.auth.tokens.create(acme.id, {
      name: "source",
      role: "admin",
      maker: { kind: "machine" },
    });
    const device = makeDevice();
    const first = accepted(await connect({ client: "tui", auth: { token: made.secret }, device }));
    const deviceToken = first.deviceToken ?? "";
    const live = accepted(await connect({ client: "tui", auth: { deviceToken }, device })).principal;
    await world.auth.tokens.revoke(acme.id, made.token.id);
    expect(await connect({ client: "tui", auth: { deviceToken }, device })).toEqual(DEVICE_MISMATCH);
    world.clock.pass(500);
    expect(await world.auth.authenticator.isLive(live)).toBe(false);

    const other = makeDevice();
    const second = accepted(await connect({ client: "tui", auth: { token }, device: other }));
    await world.auth.devices.revokeDevice(beta.id, other.id);
    accepted(
      await connect({ client: "tui", auth: { deviceToken: second.deviceToken ?? "" }, device: other }),
    );
    await world.auth.devices.revokeDevice(acme.id, other.id);
    expect(
      await connect({ client: "tui", auth: { deviceToken: second.deviceToken ?? "" }, device: other }),
    ).toEqual(DEVICE_MISMATCH);
    const third = accepted(await connect({ client: "tui", auth: { token }, device: other }));
    expect(third.deviceToken).not.toBe(second.deviceToken);
  });
});

describe("our own page", () => {
  async function signedIn(tenant: Tenant) {
    const user = await world.auth.users.create({ displayName: "Mia" });
    await world.auth.members.add(tenant.id, user.id, "member");
    const { cookie } = await world.auth.sessions.signIn(await world.auth.links.create(user.id), null);
    const browser = await world.auth.authenticator.browserUser(cookie);
    if (browser === undefined) throw new Error("not signed in");
    const made = await world.auth.socketTokens.create({
      tenantId: tenant.id,
      userId: user.id,
      sessionId: browser.sessionId,
    });
    return { user, cookie, socketToken: made.token };
  }

  it("opens its socket with the token of its browser session, without a device", async () => {
    const { user, cookie, socketToken } = await signedIn(acme);
    const outcome = accepted(await connect({ client: "ui", auth: { token: socketToken } }));
    expect(outcome.principal).toMatchObject({
      userId: user.id,
      displayName: "Mia",
      role: "member",
      credential: { kind: "socket_token" },
    });
    expect(outcome.deviceToken).toBeUndefined();
    expect(await connect({ client: "ui", auth: { token: socketToken }, input: { named: beta } })).toEqual(
      MISMATCH,
    );
    expect(await world.auth.authenticator.isLive(outcome.principal)).toBe(true);
    world.clock.pass(10 * 60 * 1000);
    expect(await world.auth.authenticator.isLive(outcome.principal), "the session lives on").toBe(true);
    expect(await connect({ client: "ui", auth: { token: socketToken } }), "the token does not").toEqual(
      MISMATCH,
    );
    await world.auth.sessions.signOut(cookie);
    world.clock.pass(500);
    expect(await world.auth.authenticator.isLive(outcome.principal)).toBe(false);
  });

  it("is refused once its session is signed out or its person put out", async () => {
    const left = await signedIn(acme);
    await world.auth.sessions.signOut(left.cookie);
    expect(await connect({ client: "ui", auth: { token: left.socketToken } })).toEqual(MISMATCH);
    const out = await signedIn(acme);
    await world.auth.members.remove(acme.id, out.user.id);
    expect(await connect({ client: "ui", auth: { token: out.socketToken } })).toEqual(MISMATCH);
  });
});

describe("whoever guesses", () => {
  it("is slowed down by address, while a stranger next door and a good token elsewhere are not", async () => {
    const guarded = await startAuthWorld(ATTEMPT_LIMITS);
    try {
      const tenant = await guarded.tenants.create({ slug: "acme" });
      const good = await guarded.auth.tokens.create(tenant.id, {
        name: "good",
        role: "admin",
        maker: { kind: "machine" },
      });
      const attempt = (secret: string, address: string) =>
        connect({ auth: { token: secret }, input: { address } }, guarded.auth);
      const codes: unknown[] = [];
      for (let i = 0; i < 25; i++) codes.push(refusal(await attempt(`creel_nope${i}`, "192.0.2.66")).code);
      expect(codes.slice(0, 20)).toEqual(Array(20).fill("AUTH_TOKEN_MISMATCH"));
      expect(codes.slice(20)).toEqual(Array(5).fill("AUTH_RATE_LIMITED"));
      const limited = await attempt(good.secret, "::ffff:192.0.2.66");
      expect(limited).toMatchObject({
        ok: false,
        error: {
          message: "unauthorized: too many failed authentication attempts (retry later)",
          retryAfterMs: 1_000,
        },
      });
      accepted(await attempt(good.secret, "192.0.2.67"));
      guarded.clock.pass(1_000);
      accepted(await attempt(good.secret, "192.0.2.66"));

      // Guessing beside a token from many addresses does not lock its holder out.
      for (let i = 0; i < 40; i++) await attempt(`${good.secret.slice(0, 12)}${i}`, `198.51.100.${i}`);
      expect(refusal(await attempt(`${good.secret.slice(0, 12)}x`, "198.51.100.99")).code).toBe(
        "AUTH_RATE_LIMITED",
      );
      accepted(await attempt(good.secret, "198.51.100.98"));
    } finally {
      await guarded.close();
    }
  });
});
