import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { CompactEncrypt, createLocalJWKSet, jwtVerify, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SigningPurpose } from "#src/auth/browser/signing-keys.ts";
import { newId, type UserId } from "#src/kernel/ids.ts";
import { MACHINE } from "#src/tenancy/actor.ts";
import type { Tenant } from "#src/tenancy/tenant.ts";
import { type AuthWorld, startAuthWorld } from "#test/support/auth-world.ts";

let world: AuthWorld;
let acme: Tenant;
let evil: Tenant;
const userId = newId() as UserId;
const sessionId = newId();

beforeAll(async () => {
  world = await startAuthWorld();
  acme = await world.tenants.create({ slug: "acme" });
  evil = await world.tenants.create({ slug: "evil" });
});
afterAll(() => world.close());

const verify = (token: string) => world.auth.socketTokens.verify("socket", token);
const publishedKids = async () => (await world.auth.signingKeys.published()).map((key) => key.kid);
const currentKey = () => world.auth.signingKeys.getCurrent("socket");

/** A token as ours are, but for what the attack changes; signed with the real key of the given purpose. */
async function forge(
  change: {
    header?: Record<string, unknown>;
    claims?: Record<string, unknown>;
    signedBy?: SigningPurpose;
    key?: KeyObject;
  } = {},
): Promise<string> {
  const { kid, privateKey } = await world.auth.signingKeys.getCurrent(change.signedBy ?? "socket");
  const nowS = Math.floor(world.clock.nowMs() / 1000);
  const claims = {
    iss: "creel",
    aud: acme.id,
    sub: userId,
    sid: sessionId,
    tid: acme.id,
    jti: newId(),
    iat: nowS,
    exp: nowS + 300,
    ...change.claims,
  };
  const header = { alg: "EdDSA", kid, typ: "creel-socket+jwt", ...change.header };
  // Signed by hand: a library would refuse to write some of this.
  const payload = JSON.stringify(claims).replace('"1e400"', "1e400");
  const signed = `${encode(JSON.stringify(header))}.${encode(payload)}`;
  return `${signed}.${sign(null, Buffer.from(signed), change.key ?? privateKey).toString("base64url")}`;
}

function encode(text: string): string {
  return Buffer.from(text).toString("base64url");
}

/** Parts that are not even signed. */
function raw(header: unknown, payload: unknown, signature = "AAAA"): string {
  const part = (value: unknown) => encode(typeof value === "string" ? value : JSON.stringify(value));
  return `${part(header)}.${part(payload)}.${signature}`;
}

describe("a socket token", () => {
  it("says who, where and by which session, for five minutes", async () => {
    const { token, expiresAtMs } = await world.auth.socketTokens.create({
      tenantId: acme.id,
      userId,
      sessionId,
    });
    expect(await verify(token)).toMatchObject({ tenantId: acme.id, userId, sessionId, expiresAtMs });
    expect(await world.another().socketTokens.verify("socket", token)).toBeDefined();
    expect(await verify(await forge())).toMatchObject({ tenantId: acme.id });
    world.clock.pass(5 * 60 * 1000 + 6_000);
    expect(await verify(token)).toBeUndefined();
  });

  it("is signed by a key whose private half is not readable in the database", async () => {
    await currentKey();
    const rows = JSON.stringify(await world.control.list("SELECT * FROM gateway_keys"));
    expect(rows).toContain("BEGIN PUBLIC KEY");
    expect(rows).not.toContain("PRIVATE KEY");
  });

  it("outlives a rotation of its key by the grace and no longer", async () => {
    const { token } = await world.auth.socketTokens.create({ tenantId: evil.id, userId, sessionId });
    const before = await currentKey();
    const rotated = await world.auth.signingKeys.rotate("socket", MACHINE);
    expect(rotated.retired).toBe(before.kid);
    expect((await currentKey()).kid).toBe(rotated.kid);
    expect(await verify(token)).toBeDefined();
    expect(await publishedKids()).toEqual(expect.arrayContaining([before.kid, rotated.kid]));
    world.clock.pass(6 * 60 * 1000);
    expect(await world.auth.signingKeys.findByKid(before.kid)).toBeUndefined();
    expect(await publishedKids()).not.toContain(before.kid);
    expect(await publishedKids()).toContain(rotated.kid);
  });

  it("ends at once with a key that got out, in another process within five seconds (AU-21)", async () => {
    const { token } = await world.auth.socketTokens.create({ tenantId: acme.id, userId, sessionId });
    const elsewhere = world.another();
    expect(await elsewhere.socketTokens.verify("socket", token)).toBeDefined();
    await world.auth.signingKeys.rotate("socket", MACHINE, true);
    expect(await verify(token)).toBeUndefined();
    world.clock.pass(5_000);
    expect(await elsewhere.socketTokens.verify("socket", token)).toBeUndefined();
    // Whoever signs with the new key at once is understood everywhere: keys are looked up, not waited for.
    const next = await world.auth.socketTokens.create({ tenantId: acme.id, userId, sessionId });
    expect(await elsewhere.socketTokens.verify("socket", next.token)).toBeDefined();
  });

  it("is for the tenant that the connection names, or for none", async () => {
    const { token } = await world.auth.socketTokens.create({ tenantId: acme.id, userId, sessionId });
    expect(await world.auth.socketTokens.verify("socket", token, acme.id)).toBeDefined();
    expect(await world.auth.socketTokens.verify("socket", token, evil.id)).toBeUndefined();
  });
});

describe("what is signed to be kept", () => {
  it("is checked with the published keys, also after rotations, and by nobody else's", async () => {
    const signed = await world.auth.signer.sign("creel-audit-head+jws", { seq: 7 });
    await world.auth.signingKeys.rotate("record", MACHINE);
    world.clock.pass(3_650 * 24 * 3600 * 1000);
    const keys = createLocalJWKSet({ keys: await world.auth.signingKeys.published() });
    const { payload, protectedHeader } = await jwtVerify(signed, keys, { issuer: "creel" });
    expect(payload).toMatchObject({ seq: 7, iss: "creel" });
    expect(protectedHeader).toMatchObject({ alg: "EdDSA", typ: "creel-audit-head+jws" });
    expect(await verify(signed)).toBeUndefined();
    const strangers = generateKeyPairSync("ed25519").publicKey;
    await expect(jwtVerify(signed, strangers)).rejects.toThrow();
  });

  it("never has the type of a token", async () => {
    await expect(world.auth.signer.sign("creel-socket+jwt", {})).rejects.toThrow();
  });

  it("leaves a line in the platform's own record for every rotation", async () => {
    await world.auth.signingKeys.rotate("record", MACHINE);
    const rows = await world.control.list<{ action: string; actor_kind: string }>(
      "SELECT action, actor_kind FROM audit_log WHERE action = 'key.rotated'",
    );
    expect(rows.at(-1)).toEqual({ action: "key.rotated", actor_kind: "machine" });
  });
});

describe("AU-01: the algorithm", () => {
  it("is EdDSA and nothing else", async () => {
    const { kid } = await currentKey();
    const publicKey = (await world.auth.signingKeys.findByKid(kid))?.publicKey;
    const good = await forge();
    const [, payload = "", signature = ""] = good.split(".");
    for (const alg of ["none", "None", "NONE", "HS256", "RS256", "PS256", "ES256", "ES256K", "Ed448", ""]) {
      const header = Buffer.from(JSON.stringify({ alg, kid, typ: "creel-socket+jwt" })).toString("base64url");
      for (const end of ["", signature, "AAAA"]) {
        expect(await verify(`${header}.${payload}.${end}`), `${alg}/${end}`).toBeUndefined();
      }
    }
    // The public key as a shared secret: the classic confusion.
    for (const format of ["pem", "der"] as const) {
      const exported = publicKey?.export({ type: "spki", format } as never) as unknown as string | Buffer;
      const secret = Buffer.from(exported);
      const token = await new SignJWT({ sub: userId, sid: sessionId, tid: acme.id, jti: newId() })
        .setProtectedHeader({ alg: "HS256", kid, typ: "creel-socket+jwt" })
        .setIssuer("creel")
        .setAudience(acme.id)
        .setIssuedAt(Math.floor(world.clock.nowMs() / 1000))
        .setExpirationTime(Math.floor(world.clock.nowMs() / 1000) + 60)
        .sign(secret);
      expect(await verify(token)).toBeUndefined();
    }
  });
});

describe("AU-02: a claim", () => {
  it.each(["exp", "aud", "iss", "jti", "tid", "sid", "sub", "iat"])(
    "%s may not be missing",
    async (claim) => {
      expect(await verify(await forge({ claims: { [claim]: undefined } }))).toBeUndefined();
    },
  );
});

describe("AU-03: a token of another kind", () => {
  it("is refused when a key of another purpose signed it", async () => {
    expect(await verify(await forge({ signedBy: "record" }))).toBeUndefined();
  });

  it.each(["JWT", "creel-invite+jwt", "creel-socket", "at+jwt", "CREEL-SOCKET+JWT", undefined])(
    "is refused: %s",
    async (typ) => {
      expect(await verify(await forge({ header: { typ } }))).toBeUndefined();
    },
  );
});

describe("AU-04: a token of another tenant", () => {
  it("is refused, whichever claim it bends", async () => {
    const bent = [
      { claims: { tid: evil.id } },
      { claims: { aud: evil.id } },
      { claims: { aud: [acme.id, evil.id] } },
      { claims: { aud: undefined, tid: acme.id } },
    ];
    for (const change of bent)
      expect(await verify(await forge(change)), JSON.stringify(change)).toBeUndefined();
    // Another deployment's issuer, and a key of the attacker's own under a kid of ours.
    expect(await verify(await forge({ claims: { iss: "elsewhere" } }))).toBeUndefined();
    const own = generateKeyPairSync("ed25519").privateKey;
    expect(await verify(await forge({ key: own }))).toBeUndefined();
  });
});

describe("AU-05: a header that names its own key", () => {
  it.each([
    { kid: "../../dev/null" },
    { kid: "' OR 1=1 --" },
    { kid: "" },
    { kid: 7 },
    { kid: null },
    { kid: "x".repeat(5_000) },
    { jku: "http://127.0.0.1:9/keys" },
    { x5u: "http://127.0.0.1:9/cert" },
    { jwk: { kty: "OKP", crv: "Ed25519", x: "AAAA" } },
    { crit: ["b64"], b64: true },
    { crit: ["exp"] },
    { zip: "DEF" },
  ])("is refused: %j", async (header) => {
    const good = await forge();
    const [, payload = "", signature = ""] = good.split(".");
    const { kid } = await currentKey();
    const part = Buffer.from(
      JSON.stringify({ alg: "EdDSA", kid, typ: "creel-socket+jwt", ...header }),
    ).toString("base64url");
    expect(await verify(`${part}.${payload}.${signature}`)).toBeUndefined();
  });

  it("is refused even when signed by the right key", async () => {
    expect(await verify(await forge({ header: { jku: "http://127.0.0.1:9/keys" } }))).toBeUndefined();
  });
});

describe("AU-06: an odd claim", () => {
  it.each([
    { exp: "9999999999" },
    { exp: "1e400" },
    { exp: 0 },
    { exp: -1 },
    { exp: 4_102_444_800 },
    { iat: 4_070_908_800 },
    { iat: "1" },
    { iat: 1 },
    { nbf: 4_070_908_800 },
    { sub: "alice" },
    { sub: ["a", "b"] },
    { sid: "../x" },
    { jti: 5 },
    { extra: true },
  ])("is refused: %j", async (claims) => {
    expect(await verify(await forge({ claims })).catch(() => "threw")).toBeUndefined();
  });

  it("given twice does not pass for want of a signature", async () => {
    const { kid } = await currentKey();
    const payload = `{"sub":"${userId}","sub":"${newId()}"}`;
    expect(await verify(raw({ alg: "EdDSA", kid, typ: "creel-socket+jwt" }, payload))).toBeUndefined();
  });
});

describe("AU-07: a token that is too much", () => {
  it("is refused before it is parsed", async () => {
    const good = await forge();
    const [header = "", , signature = ""] = good.split(".");
    expect(await verify(`${header}.${"A".repeat(1_000_000)}.${signature}`)).toBeUndefined();
    expect(await verify(`${header}.${"A".repeat(9_000)}.${signature}`)).toBeUndefined();
    expect(await verify("a.".repeat(10_000))).toBeUndefined();
    expect(await verify(".".repeat(10_000))).toBeUndefined();
    expect(await verify("")).toBeUndefined();
    const encrypted = await new CompactEncrypt(new TextEncoder().encode("{}"))
      .setProtectedHeader({ alg: "dir", enc: "A256GCM" })
      .encrypt(new Uint8Array(32));
    expect(await verify(encrypted)).toBeUndefined();
    const deep = `${"[".repeat(4_000)}${"]".repeat(4_000)}`;
    expect(await verify(raw({ alg: "EdDSA" }, deep))).toBeUndefined();
    expect(await verify(raw(deep, {}))).toBeUndefined();
  });
});
