/**
 * Lost authority bites on open sockets: by an API in the same process and by the command line beside it.
 * `CREEL_SOCKETS=1000` for a thousand; `npm run test:revocation` does that and prints how it was spread.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { UserId } from "#src/kernel/ids.ts";
import { MACHINE } from "#src/tenancy/actor.ts";
import { type Bite, histogram, percentile, RevocationMeter } from "../support/revocation-meter.ts";
import { SocketClient } from "../support/socket-client.ts";
import { startApp, type TestApp } from "../support/start-app.ts";

const SOCKETS = Number(process.env["CREEL_SOCKETS"] ?? 200);
/** The issue's own figure. */
const BITES_WITHIN_MS = 1_000;
const BIN = fileURLToPath(new URL("../../bin/creel.js", import.meta.url));

let world: TestApp;
let meter: RevocationMeter;
let admin: string;
const talkers: { client: SocketClient; timer: NodeJS.Timeout }[] = [];

beforeAll(async () => {
  world = await startApp();
  admin = await world.token("acme", "owner", "admin");
  meter = new RevocationMeter(world, SOCKETS >= 500 ? 500 : 200);
  for (const slug of ["acme", "beta", "gamma", "delta"]) await talk(slug);
  meter.start();
});

afterAll(async () => {
  for (const { client, timer } of talkers) {
    clearInterval(timer);
    client.close();
  }
  await meter.close();
  await world.close();
});

/** Somebody changes something in a tenant ten times a second, and everybody who follows it hears. */
async function talk(slug: string): Promise<void> {
  const client = new SocketClient(world.wsUrl);
  await client.connect(await world.token(slug, "owner", "talker"));
  await client.call("sessions.create", { key: "noise" });
  let round = 0;
  const timer = setInterval(() => {
    client.frames.splice(0);
    if (client.closed === undefined)
      client.send("sessions.patch", { key: "noise", label: `round ${round++}` });
  }, 100);
  talkers.push({ client, timer });
}

/** A member with a token of their own, through which they hold sockets. */
async function person(name: string): Promise<{ id: UserId; token: string; tokenId: string }> {
  const { auth } = world.app;
  const { id } = await world.tenant("acme");
  const user = await auth.users.create({ displayName: name });
  await auth.members.add(id, user.id, "member", MACHINE);
  const input = { name, role: "member", maker: { kind: "machine" }, userId: user.id } as const;
  const { secret, token } = await auth.tokens.create(id, input);
  return { id: user.id, token: secret, tokenId: token.id };
}

/** A token that opens sockets for a signed-in browser of that person. */
async function browser(userId: UserId): Promise<string> {
  const { auth } = world.app;
  const { id } = await world.tenant("acme");
  const link = await auth.links.create(userId, id);
  const { cookie } = await auth.sessions.signIn(link, null);
  const user = await auth.authenticator.browserUser(cookie);
  const input = { tenantId: id, userId, sessionId: user?.sessionId ?? "" };
  return (await auth.socketTokens.create(input)).token;
}

async function api(method: string, path: string, body?: unknown): Promise<number> {
  const headers = { authorization: `Bearer ${admin}`, "content-type": "application/json" };
  const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  const answer = await fetch(`${world.url}/t/acme${path}`, init);
  await answer.text();
  expect(answer.status, `${method} ${path}`).toBeLessThan(300);
  return answer.status;
}

function creel(...args: string[]): Promise<unknown> {
  return promisify(execFile)(process.execPath, [BIN, ...args, "--state-dir", world.stateDir], {
    env: { PATH: process.env["PATH"] },
  });
}

/** As many sockets of people who are not touched as are missing. */
async function fill(): Promise<void> {
  const missing = SOCKETS - meter.live().length;
  if (missing > 0) await meter.open("others", await world.token("acme", "member", "others"), missing);
}

it(
  `takes effect within a second on ${SOCKETS} open sockets, and on nobody else's`,
  async () => {
    const each = Math.max(2, Math.floor(SOCKETS / 10));
    const people = {} as Record<string, Awaited<ReturnType<typeof person>>>;
    const names = [
      "role",
      "removal",
      "token",
      "sign-out",
      "role-cli",
      "removal-cli",
      "token-cli",
      "sign-out-cli",
    ];
    for (const name of names) {
      people[name] = await person(name);
      const token = name.startsWith("sign-out") ? await browser(people[name].id) : people[name].token;
      await meter.open(name, token, each);
    }
    await meter.open("gamma", await world.token("gamma", "member", "gamma"), each);
    await meter.open("delta", await world.token("delta", "member", "delta"), each);
    await meter.open("others", await world.token("beta", "member", "beta"), each);
    const idOf = (name: string) => people[name]?.id ?? "";
    const tokenOf = (name: string) => people[name]?.tokenId ?? "";
    const user = (name: string) => ["--tenant", "acme", "--user", idOf(name)];
    const acts: [string, string, () => Promise<unknown>][] = [
      ["role change, API", "role", () => api("PATCH", `/api/members/${idOf("role")}`, { role: "readonly" })],
      ["removal, API", "removal", () => api("DELETE", `/api/members/${idOf("removal")}`)],
      ["token revoked, API", "token", () => api("DELETE", `/api/tokens/${tokenOf("token")}`)],
      ["sessions revoked, API", "sign-out", () => api("POST", `/api/members/${idOf("sign-out")}/sign-out`)],
      ["tenant suspended, in process", "gamma", suspendGamma],
      [
        "role change, command",
        "role-cli",
        () => creel("member", "role", ...user("role-cli"), "--role", "readonly"),
      ],
      ["removal, command", "removal-cli", () => creel("member", "remove", ...user("removal-cli"))],
      [
        "token revoked, command",
        "token-cli",
        () => creel("token", "revoke", "--tenant", "acme", tokenOf("token-cli")),
      ],
      [
        "sessions revoked, command",
        "sign-out-cli",
        () => creel("member", "sign-out", ...user("sign-out-cli")),
      ],
      ["tenant suspended, command", "delta", () => creel("tenant", "suspend", "delta")],
    ];
    const bites: Bite[] = [];
    for (const [name, group, act] of acts) {
      await fill();
      expect(meter.live().length).toBeGreaterThanOrEqual(SOCKETS);
      expect(meter.live(group)).toHaveLength(each);
      bites.push(await meter.bite(name, group, act));
    }
    process.stdout.write(`\n${histogram(bites).join("\n")}\n`);
    for (const { name, sockets, accepted, heard, closed, codes } of bites) {
      expect(sockets, name).toBe(each);
      expect(new Set(codes), name).toEqual(new Set([4001]));
      for (const list of [accepted, heard, closed])
        expect(percentile(list, 0.99), name).toBeLessThanOrEqual(BITES_WITHIN_MS);
    }
    // Whoever was not touched was not disturbed, and both heard and asked until the end.
    const others = [...meter.watched].filter((one) => one.group === "others");
    expect(others.filter((one) => one.closed !== undefined)).toEqual([]);
    const sinceMs = Date.now();
    await expect
      .poll(() => others.filter((one) => Math.min(one.lastEventMs, one.lastAcceptedMs) < sinceMs).length, {
        timeout: 15_000,
      })
      .toBe(0);
  },
  SOCKETS * 200 + 120_000,
);

async function suspendGamma(): Promise<void> {
  await world.app.tenants.suspend((await world.tenant("gamma")).id, {}, MACHINE);
}
