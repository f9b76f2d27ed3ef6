/** Invitations over real HTTP: one person once, never more than the inviter could give now, nothing told to strangers. */
import { join } from "node:path";
import Database from "better-sqlite3";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ATTEMPT_LIMITS } from "#src/auth/guard/attempts.ts";
import { newId, type TenantId } from "#src/kernel/ids.ts";
import { LIMITS } from "#src/kernel/limits.ts";
import { SYSTEM } from "#src/tenancy/actor.ts";
import { type Answer, auditOf, makePerson, newAddress, type Person, send } from "../support/person.ts";
import { startApp, type TestApp } from "../support/start-app.ts";
import { SteeredClock } from "../support/world.ts";

const DAY_MS = 24 * 3600 * 1000;
const ISSUER = "https://issuer.example";

let world: TestApp;
let clock: SteeredClock;
let owner: Person;
let admin: Person;
let acme: TenantId;
const logged: string[] = [];

beforeAll(async () => {
  clock = new SteeredClock();
  const log = pino({ level: "trace" }, { write: (line: string) => void logged.push(line) });
  const provider = {
    issuer: ISSUER,
    clientId: "c",
    clientSecret: "s",
    label: "Broker",
    icon: "key",
  } as const;
  world = await startApp({
    app: { clock, log },
    config: {
      trustedProxies: ["127.0.0.1"],
      signInProviders: { broker: { ...provider, trustEmail: true } },
    },
  });
  owner = await makePerson(world, "Olga", "acme", "owner");
  admin = await makePerson(world, "Adam", "acme", "admin");
  acme = (await world.tenant("acme")).id;
});
afterAll(() => world.close());

const secretOf = (answer: Answer) => String(answer.body.link).split("#invite=")[1] ?? "";
const invite = (by: Person, body: Record<string, unknown>, slug = "acme") =>
  by.send("POST", `/t/${slug}/api/invitations`, body);
const accept = (by: Person, secret: string, headers?: Record<string, string>) =>
  by.send("POST", "/auth/invitations/accept", { secret }, headers);
const look = (secret: string) =>
  send(world.url, "POST", "/auth/invitations/look", { body: { secret }, headers: newAddress() });
const roleOf = async (person: Person, tenantId = acme) =>
  (await world.app.auth.members.find(tenantId, person.userId))?.role;

/** Write beside the server, as another process would. */
function inControl(work: (database: Database.Database) => void): void {
  const database = new Database(join(world.stateDir, "control.db"), { timeout: 10_000 });
  try {
    work(database);
  } finally {
    database.close();
  }
}

function giveIdentity(
  person: Person,
  identity: { subject: string; issuer?: string; email?: string; verified?: boolean },
): void {
  const { subject, issuer = ISSUER, email = null, verified = false } = identity;
  inControl((database) => {
    database
      .prepare(
        `INSERT INTO identities (id, user_id, realm, issuer, subject, provider, email, email_key, email_verified,
          linked_at_ms) VALUES (?, ?, '', ?, ?, 'broker', ?, ?, ?, 1)`,
      )
      .run(newId(), person.userId, issuer, subject, email, email?.toLowerCase() ?? null, Number(verified));
  });
}

describe("an invitation", () => {
  it("shows what it offers, lets one person in, and is then like one that never was", async () => {
    const made = await invite(admin, { role: "member", note: "  Welcome!\nSee you.  " });
    expect(made.status).toBe(201);
    expect(made.headers.get("cache-control")).toBe("no-store");
    const { invitation } = made.body;
    expect(invitation).toMatchObject({
      ...{ role: "member", note: "Welcome!\nSee you.", tie: { kind: "none" }, createdBy: "Adam" },
    });
    expect(invitation.expiresAtMs - invitation.createdAtMs).toBe(7 * DAY_MS);
    expect(new URL(made.body.link).origin).toBe(world.url);
    const secret = secretOf(made);
    expect((await look(secret)).body).toEqual({
      ...{ tenantName: "acme", role: "member", invitedBy: "Adam", needs: "none" },
      expiresAtMs: invitation.expiresAtMs,
    });
    const guest = await makePerson(world, "Gus");
    expect((await send(world.url, "POST", "/auth/invitations/accept", { body: { secret } })).status).toBe(
      401,
    );
    expect((await accept(guest, secret)).body).toEqual({ slug: "acme", role: "member" });
    expect((await guest.send("GET", "/t/acme/api/tenant")).status).toBe(200);
    expect((await accept(await makePerson(world, "Late"), secret)).code).toBe("link_invalid");
    expect((await look(secret)).code).toBe("link_invalid");
    const listed = (await admin.send("GET", "/t/acme/api/members")).body.invitations;
    expect(listed.map((one: { id: string }) => one.id)).not.toContain(invitation.id);
  });

  it("lets in exactly one of fifty who redeem it at the same moment (RO-07)", async () => {
    const secret = secretOf(await invite(owner, { role: "member" }));
    const crowd = await Promise.all(Array.from({ length: 50 }, (_, i) => makePerson(world, `Crowd ${i}`)));
    const answers = await Promise.all(crowd.map((person) => accept(person, secret)));
    expect(answers.filter((answer) => answer.status === 200)).toHaveLength(1);
    expect(new Set(answers.filter((answer) => answer.status !== 200).map((answer) => answer.code))).toEqual(
      new Set(["link_invalid"]),
    );
    const roles = await Promise.all(crowd.map((person) => roleOf(person)));
    expect(roles.filter((role) => role !== undefined)).toEqual(["member"]);
  });

  it("lets one person in once, however often they press the button", async () => {
    const keen = await makePerson(world, "Keen");
    const secrets = await Promise.all(
      Array.from({ length: 10 }, async () => secretOf(await invite(owner, { role: "member" }))),
    );
    const answers = await Promise.all(secrets.map((secret) => accept(keen, secret)));
    expect(answers.filter((answer) => answer.status === 200)).toHaveLength(1);
    const others = answers.filter((answer) => answer.status !== 200);
    expect(new Set(others.map((answer) => answer.code))).toEqual(new Set(["conflict"]));
    // What was refused as a conflict is not used up.
    const open = secrets.filter((_, i) => answers[i]?.status !== 200);
    expect((await accept(await makePerson(world, "Next"), open[0] ?? "")).status).toBe(200);
  });

  it("ends: revoked, expired, inviter removed, tenant suspended; all look like one that never was", async () => {
    const endings: Record<string, (made: Answer, inviter: Person) => Promise<unknown>> = {
      revoked: (made) => admin.send("DELETE", `/t/acme/api/invitations/${made.body.invitation.id}`),
      expired: async () => clock.pass(DAY_MS),
      "inviter removed": (_made, inviter) => owner.send("DELETE", `/t/acme/api/members/${inviter.userId}`),
      "inviter left": (_made, inviter) => inviter.send("DELETE", "/t/acme/api/members/me"),
    };
    const never = await look("x".repeat(43));
    for (const [name, end] of Object.entries(endings)) {
      const inviter = await makePerson(world, `Inviter ${name}`, "acme", "admin");
      const made = await invite(inviter, { role: "member", expiresInDays: 1 });
      expect((await look(secretOf(made))).status, name).toBe(200);
      await end(made, inviter);
      const guest = await makePerson(world, `Guest ${name}`);
      expect([name, (await accept(guest, secretOf(made))).code]).toEqual([name, "link_invalid"]);
      expect(plain(await look(secretOf(made))), name).toEqual(plain(never));
      expect(await roleOf(guest), name).toBeUndefined();
      // Coming back does not revive what they gave before.
      if (name.startsWith("inviter")) {
        await world.app.auth.members.add(acme, inviter.userId, "admin");
        expect((await look(secretOf(made))).code, name).toBe("link_invalid");
      }
    }
    await owner.signInAgain();
    await admin.signInAgain();
    const made = await invite(owner, { role: "member" });
    await world.app.tenants.suspend(acme);
    expect(plain(await look(secretOf(made)))).toEqual(plain(never));
    await world.app.tenants.resume(acme);
    expect((await look(secretOf(made))).status).toBe(200);
  });

  it("shrinks with its inviter and with the tenant's ceiling, and never grows", async () => {
    const inviter = await makePerson(world, "Shrinking", "acme", "owner");
    const made = await invite(inviter, { role: "owner" });
    const offered = async () => (await look(secretOf(made))).body.role;
    expect(await offered()).toBe("owner");
    for (const role of ["admin", "readonly"] as const) {
      await owner.send("PATCH", `/t/acme/api/members/${inviter.userId}`, { role });
      expect(await offered()).toBe(role);
    }
    await owner.send("PATCH", `/t/acme/api/members/${inviter.userId}`, { role: "owner" });
    await owner.send("PATCH", "/t/acme/api/tenant", { ceilings: { invitations: "member" } });
    const listed = (await owner.send("GET", "/t/acme/api/members")).body.invitations;
    expect(listed.find((one: { id: string }) => one.id === made.body.invitation.id).role).toBe("member");
    const guest = await makePerson(world, "Shrunk");
    expect((await accept(guest, secretOf(made))).body).toEqual({ slug: "acme", role: "member" });
    await owner.send("PATCH", "/t/acme/api/tenant", { ceilings: { invitations: "owner" } });
    expect(await roleOf(guest)).toBe("member");
  });

  it("of a token ends with the token", async () => {
    const { secret, token } = await world.app.auth.tokens.create(acme, {
      ...{ role: "admin", name: "bot", maker: { kind: "machine" } },
    });
    const answer = await fetch(`${world.url}/api/invitations`, {
      method: "POST",
      headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
      body: JSON.stringify({ role: "member" }),
    });
    const link = ((await answer.json()) as { link: string }).link.split("#invite=")[1] ?? "";
    expect((await look(link)).body).toMatchObject({ role: "member", invitedBy: "bot" });
    await world.app.auth.tokens.revoke(acme, token.id);
    expect((await look(link)).code).toBe("link_invalid");
  });

  it("cannot be made above oneself (RO-10), nor with odd terms", async () => {
    expect((await invite(admin, { role: "owner" })).code).toBe("forbidden");
    for (const body of [
      { role: "king" },
      { role: "member", expiresInDays: 0 },
      { role: "member", expiresInDays: 31 },
      { role: "member", expiresInDays: 1.5 },
      { role: "member", note: "x".repeat(501) },
      { role: "member", note: "bell \u0007" },
      { role: "member", note: "turned \u202e around" },
      { role: "member", email: "no address" },
      { role: "member", email: "a@x.example", identity: { provider: "broker", subject: "1" } },
      { role: "member", identity: { provider: "unknown", subject: "1" } },
    ]) {
      expect([body, (await invite(admin, body)).code]).toEqual([body, "invalid_request"]);
    }
    const kept = await invite(admin, { role: "member", note: "<b>plain</b> & 'text'" });
    expect(kept.body.invitation.note).toBe("<b>plain</b> & 'text'");
  });
});

describe("an invitation for somebody", () => {
  it("by address lets in only who proved that very address, in the one form of comparing", async () => {
    const secret = secretOf(await invite(admin, { role: "member", email: " Ann.Lee+x@Example.ORG " }));
    expect((await look(secret)).body.needs).toBe("verified_email");
    const cases: [string, Parameters<typeof giveIdentity>[1] | null][] = [
      ["nothing", null],
      ["unverified", { subject: "u1", email: "ann.lee+x@example.org" }],
      ["without the plus", { subject: "u2", email: "ann.lee@example.org", verified: true }],
      ["without the dot", { subject: "u3", email: "annlee+x@example.org", verified: true }],
      ["another domain", { subject: "u4", email: "ann.lee+x@example.com", verified: true }],
    ];
    for (const [name, identity] of cases) {
      const person = await makePerson(world, name);
      if (identity !== null) giveIdentity(person, identity);
      expect([name, (await accept(person, secret)).code]).toEqual([name, "forbidden"]);
      expect(await roleOf(person)).toBeUndefined();
    }
    const ann = await makePerson(world, "Ann");
    giveIdentity(ann, { subject: "ann", email: "ANN.LEE+X@example.org", verified: true });
    expect((await accept(ann, secret)).status).toBe(200);
  });

  it("by identity lets in only that subject of that issuer", async () => {
    const identity = { provider: "broker", subject: "42" };
    const made = await invite(admin, { role: "readonly", identity });
    expect(made.body.invitation.tie).toEqual({ kind: "identity", ...identity });
    expect((await look(secretOf(made))).body.needs).toBe("identity");
    const wrong = await makePerson(world, "Wrong issuer");
    giveIdentity(wrong, { subject: "42", issuer: "https://other.example" });
    expect((await accept(wrong, secretOf(made))).code).toBe("forbidden");
    const right = await makePerson(world, "Right");
    giveIdentity(right, { subject: "42" });
    expect((await accept(right, secretOf(made))).body).toEqual({ slug: "acme", role: "readonly" });
  });
});

describe("a link elsewhere (RO-08)", () => {
  it("lets nobody in whom another tenant's own provider brought, and is not used up by them", async () => {
    const secret = secretOf(await invite(owner, { role: "member" }));
    const userId = newId() as Person["userId"];
    const beta = (await world.tenant("beta")).id;
    inControl((database) => {
      database
        .prepare(
          "INSERT INTO users (id, display_name, created_at_ms, only_tenant_id) VALUES (?, 'Theirs', 1, ?)",
        )
        .run(userId, beta);
    });
    const { invitations, joinRequests } = world.app.auth.people;
    const accepting = invitations.accept(secret, { userId, authAtMs: clock.nowMs() }, SYSTEM);
    await expect(accepting).rejects.toMatchObject({ code: "forbidden" });
    expect((await look(secret)).status).toBe(200);
    await owner.send("PATCH", "/t/acme/api/tenant", { joinRequests: true });
    await joinRequests.ask(userId, "acme", null, SYSTEM);
    expect(await joinRequests.list(acme)).toEqual([]);
    expect((await accept(await makePerson(world, "Ours"), secret)).status).toBe(200);
  });

  it("means nothing under another tenant's path, at its host, or with something changed", async () => {
    const evil = await makePerson(world, "Eve", "evil", "owner");
    await world.app.tenants.change((await world.tenant("evil")).id, { hosts: ["evil.example"] });
    const secret = secretOf(await invite(owner, { role: "member" }));
    const guest = await makePerson(world, "Misled");
    for (const path of ["/t/evil/auth/invitations/accept", "/t/acme/auth/invitations/accept"]) {
      expect((await guest.send("POST", path, { secret })).status).toBe(404);
    }
    // By TLS at the other tenant's own host, as its proxy would say.
    const there = {
      ...{ origin: "https://evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "https" },
      "x-forwarded-for": "198.51.100.7",
    };
    const looked = await send(world.url, "POST", "/auth/invitations/look", {
      body: { secret },
      headers: there,
    });
    expect(looked.code).toBe("link_invalid");
    const cookie = guest.cookie.replace("creel-loopback", "__Host-creel");
    const tried = await send(world.url, "POST", "/auth/invitations/accept", {
      ...{ body: { secret }, headers: there, cookie },
    });
    expect(tried.code).toBe("link_invalid");
    const changed = await guest.send("POST", "/auth/invitations/accept", {
      ...{ secret, role: "owner", slug: "evil", email: "x@y.example", expiresAtMs: 9e15 },
    });
    expect(changed.body).toEqual({ slug: "acme", role: "member" });
    expect(await roleOf(guest, (await world.tenant("evil")).id)).toBeUndefined();
    expect((await invite(evil, { role: "member" }, "acme")).status).toBe(404);
    const id = (await invite(owner, { role: "member" })).body.invitation.id;
    expect((await evil.send("DELETE", `/t/evil/api/invitations/${id}`)).status).toBe(404);
  });

  it("is made with the address of the settings, whatever the request says (AU-22)", async () => {
    const fixed = await startApp({ config: { publicUrl: "https://creel.example/" } });
    try {
      const chief = await makePerson(fixed, "Chief", "acme", "owner");
      const claims = { "x-forwarded-host": "evil.example", forwarded: "host=evil.example" };
      const made = await chief.send("POST", "/t/acme/api/invitations", { role: "member" }, claims);
      expect(made.body.link).toMatch(/^https:\/\/creel\.example\/join#invite=[A-Za-z0-9_-]{43}$/);
    } finally {
      await fixed.close();
    }
    const misled = await owner.send(
      "POST",
      "/t/acme/api/invitations",
      { role: "member" },
      {
        "x-forwarded-host": "elsewhere.example",
      },
    );
    expect(misled.code).toBe("misdirected");
  });
});

describe("a stranger", () => {
  it("cannot tell one dead link from another, nor what exists, by status, body or headers", async () => {
    const used = secretOf(await invite(owner, { role: "member" }));
    await accept(await makePerson(world, "User"), used);
    const suspended = await makePerson(world, "Sue", "sleeping", "owner");
    const asleep = secretOf(await invite(suspended, { role: "member" }, "sleeping"));
    await world.app.tenants.suspend((await world.tenant("sleeping")).id);
    const dead = [used, asleep, "x", "x".repeat(43), "é".repeat(20), used.toLowerCase(), `${used}A`];
    const looks = await Promise.all(dead.map(look));
    expect(new Set(looks.map((answer) => JSON.stringify(plain(answer)))).size).toBe(1);
    const person = await makePerson(world, "Prober");
    const accepts = await Promise.all(dead.map((secret) => accept(person, secret)));
    expect(new Set(accepts.map((answer) => JSON.stringify(plain(answer)))).size).toBe(1);
    expect(accepts[0]?.status).toBe(401);
    for (const path of ["members", "tenant", "ownership/offers/mine", "audit"]) {
      const both = await Promise.all(
        ["acme", "sleeping", "nobody"].map((slug) => person.send("GET", `/t/${slug}/api/${path}`)),
      );
      expect(new Set(both.map((answer) => JSON.stringify(plain(answer)))).size, path).toBe(1);
    }
  });

  it("is slowed down when guessing, with a time to wait, and others are not", async () => {
    const strict = await startApp();
    try {
      const secret = "y".repeat(43);
      const tries: Answer[] = [];
      for (let i = 0; i < ATTEMPT_LIMITS.freeFailures + 2; i++) {
        tries.push(await send(strict.url, "POST", "/auth/invitations/look", { body: { secret } }));
      }
      expect(tries[0]?.status).toBe(401);
      expect(tries.at(-1)?.status).toBe(429);
      expect(Number(tries.at(-1)?.headers.get("retry-after"))).toBeGreaterThan(0);
    } finally {
      await strict.close();
    }
  });

  it("finds no secret in the log, the record or the database", async () => {
    const made = await invite(owner, { role: "member" });
    const secret = secretOf(made);
    await look(secret);
    await send(world.url, "GET", `/join?invite=${"z".repeat(43)}`);
    await accept(await makePerson(world, "Quiet"), secret);
    expect(logged.length).toBeGreaterThan(0);
    expect(logged.join("")).not.toContain(secret);
    expect(JSON.stringify(await auditOf(owner, "acme"))).not.toContain(secret);
    inControl((database) => {
      expect(JSON.stringify(database.prepare("SELECT * FROM invitations").all())).not.toContain(secret);
    });
  });
});

describe("limits", () => {
  it("of seats hold for twenty who accept at the same moment (RO-11)", async () => {
    const chief = await makePerson(world, "Chief", "packed", "owner");
    const packed = (await world.tenant("packed")).id;
    const secrets = await Promise.all(
      Array.from({ length: 20 }, async () => secretOf(await invite(chief, { role: "member" }, "packed"))),
    );
    const people = await Promise.all(Array.from({ length: 20 }, (_, i) => makePerson(world, `Seat ${i}`)));
    inControl((database) => {
      const fill = LIMITS.membersPerTenant - 2;
      database.exec("BEGIN IMMEDIATE");
      database.exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${fill})
        INSERT INTO users (id, display_name, created_at_ms) SELECT 'filler-' || i, 'Filler', 1 FROM n`);
      database
        .prepare(
          `INSERT INTO members (tenant_id, user_id, role, created_at_ms)
            SELECT ?, id, 'readonly', 1 FROM users WHERE id LIKE 'filler-%'`,
        )
        .run(packed);
      database.exec("COMMIT");
    });
    const answers = await Promise.all(people.map((person, i) => accept(person, secrets[i] ?? "")));
    expect(answers.filter((answer) => answer.status === 200)).toHaveLength(1);
    expect(new Set(answers.filter((one) => one.status !== 200).map((one) => one.code))).toEqual(
      new Set(["limit_reached"]),
    );
    expect(await world.app.auth.members.list(packed, 2_000)).toHaveLength(LIMITS.membersPerTenant);
    // A full tenant does not use a link up.
    const late = answers.findIndex((answer) => answer.status !== 200);
    expect((await look(secrets[late] ?? "")).status).toBe(200);
  });

  it("of invitations hold per recipient, per inviter and day", async () => {
    const busy = await makePerson(world, "Busy", "mailing", "owner");
    const codes: (string | undefined)[] = [];
    for (let i = 0; i < LIMITS.openInvitationsPerRecipient + 1; i++) {
      codes.push((await invite(busy, { role: "member", email: "one@x.example" }, "mailing")).code);
    }
    expect(codes).toEqual([undefined, undefined, undefined, "limit_reached"]);
    const many = await Promise.all(
      Array.from({ length: LIMITS.invitationsPerInviterAndDay + 20 }, () =>
        invite(busy, { role: "member" }, "mailing"),
      ),
    );
    const made = many.filter((answer) => answer.status === 201);
    expect(made).toHaveLength(LIMITS.invitationsPerInviterAndDay - LIMITS.openInvitationsPerRecipient);
    clock.pass(DAY_MS + 1);
    await busy.signInAgain();
    expect((await invite(busy, { role: "member" }, "mailing")).status).toBe(201);
  });
});

/** An answer without what differs between any two. */
function plain(answer: Answer) {
  const error = { ...answer.body?.error, requestId: "" };
  const headers = [...answer.headers].filter(([name]) => !["date", "x-request-id"].includes(name));
  return { status: answer.status, error, headers };
}
