import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { CompactEncrypt, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newId, type UserId } from "#src/kernel/ids.ts";
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
const keyOf = (tenant: Tenant) => world.auth.signingKeys.getCurrent(tenant.id, "socket");

/** A token as ours are, but for what the attack changes; signed with the given tenant's real key. */
async function forge(
  change: {
    header?: Record<string, unknown>;
    claims?: Record<string, unknown>;
    signedBy?: Tenant;
    key?: KeyObject;
  } = {},
): Promise<string> {
  const { kid, privateKey } = await keyOf(change.signedBy ?? acme);
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
    await keyOf(acme);
    const rows = JSON.stringify(await world.control.list("SELECT * FROM signing_keys"));
    expect(rows).toContain("BEGIN PUBLIC KEY");
    expect(rows).not.toContain("PRIVATE KEY");
  });

  it("outlives a rotation of its key by the grace and no longer", async () => {
    const { token } = await world.auth.socketTokens.create({ tenantId: evil.id, userId, sessionId });
    const before = await keyOf(evil);
    await world.auth.signingKeys.rotate(evil.id, "socket");
    expect((await keyOf(evil)).kid).not.toBe(before.kid);
    expect(await verify(token)).toBeDefined();
    world.clock.pass(6 * 60 * 1000);
    expect(await world.auth.signingKeys.findByKid(before.kid)).toBeUndefined();
  });
});

describe("AU-01: the algorithm", () => {
  it("is EdDSA and nothing else", async () => {
    const { kid } = await keyOf(acme);
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
      { signedBy: evil },
      { signedBy: evil, claims: { aud: evil.id } },
      { signedBy: evil, claims: { tid: evil.id } },
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
    const { kid } = await keyOf(acme);
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
    const { kid } = await keyOf(acme);
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
