/** Requests of unknown devices under pressure: bounded, throttled, and the same work for a tenant that is not there. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import Sqlite from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Auth, makeAuth } from "#src/auth/auth.ts";
import type { ConnectInput } from "#src/auth/connect.ts";
import { LIMITS } from "#src/kernel/limits.ts";
import type { Database } from "#src/storage/database.ts";
import { MACHINE } from "#src/tenancy/actor.ts";
import type { Tenant } from "#src/tenancy/tenant.ts";
import { type AuthWorld, startAuthWorld } from "../support/auth-world.ts";
import { newTestDevice, proofOf, type TestDevice, TUI } from "../support/paired-device.ts";

let world: AuthWorld;
let acme: Tenant;

beforeAll(async () => {
  world = await startAuthWorld();
  acme = await world.tenants.create({ slug: "acme" });
});
afterAll(() => world.close());

interface Ask {
  named?: ConnectInput["named"];
  address?: string;
  device?: TestDevice;
  auth?: Auth;
  secrets?: { bootstrapToken?: string };
}

async function ask({ named = acme, address = "192.0.2.1", device = newTestDevice(), auth, secrets }: Ask) {
  const challenge = { nonce: randomUUID(), ts: world.clock.nowMs() };
  const params = { client: TUI, role: "operator", scopes: ["operator.read"], auth: secrets };
  const outcome = await (auth ?? world.auth).connect.authenticate({
    ...{ named, address, nonce: challenge.nonce, challengeTsMs: challenge.ts },
    ...{ origin: undefined, allowedOrigins: [] },
    params: {
      ...{ minProtocol: 4, maxProtocol: 4, caps: [], ...params },
      device: proofOf(device, challenge, params),
    },
  });
  if (outcome.ok) throw new Error("was let in");
  return { ...outcome.error.details, retryAfterMs: outcome.error.retryAfterMs } as Record<string, unknown>;
}

async function count(table: string, where = "1 = 1"): Promise<number> {
  return (
    (await world.control.find<{ n: number }>(`SELECT count(*) AS n FROM ${table} WHERE ${where}`))?.n ?? 0
  );
}

describe("a flood of requests", () => {
  it("of ten thousand devices from everywhere keeps to the tenant's bound, in rows and in the record", async () => {
    const before = await count("audit_outbox");
    const device = newTestDevice();
    for (let round = 0; round < 100; round++) {
      await Promise.all(
        Array.from({ length: 100 }, (_, at) =>
          world.auth.pairing.door.ask(
            acme,
            {
              ...{ deviceId: `${round}-${at}`, publicKey: device.publicKey, displayName: `Flood ${at}` },
              ...{ platform: "linux", deviceFamily: null, clientId: "cli", clientMode: "cli" },
              address: `10.${round}.${at}.1`,
            },
            ["operator.read"],
            false,
          ),
        ),
      );
    }
    expect(await count("device_requests")).toBe(LIMITS.pairingRequestsPerTenant);
    expect((await count("audit_outbox")) - before).toBe(LIMITS.pairingRequestsPerTenant);
    expect(await ask({ address: "192.0.2.9" })).toMatchObject({ code: "PAIRING_REQUIRED" });
    // Room is made by whoever looks at them, and by time.
    const [first] = await world.auth.pairing.requests.listWaiting(acme.id);
    await world.auth.pairing.requests.reject(acme.id, first?.requestId ?? "", MACHINE);
    const late = newTestDevice();
    await ask({ address: "192.0.2.10", device: late });
    expect(await count("device_requests", `device_id = '${late.id}'`)).toBe(1);
    world.clock.pass(61 * 60 * 1000);
    await ask({ address: "192.0.2.11" });
    expect(await count("device_requests")).toBe(1);
  }, 120_000);

  it("from one address keeps to its bound, then has to wait, whatever tenant it names; others are served", async () => {
    world.clock.pass(61 * 60 * 1000);
    const address = "2001:db8:1:2::";
    const answers: Record<string, unknown>[] = [];
    for (let at = 1; at <= 40; at++) {
      const named = at % 2 === 0 ? "unknown" : acme;
      answers.push(await ask({ named, address: `${address}${at.toString(16)}` }));
    }
    const codes = answers.map((answer) => answer["code"]);
    expect(new Set(codes.slice(0, 30))).toEqual(new Set(["PAIRING_REQUIRED"]));
    expect(new Set(codes.slice(30))).toEqual(new Set(["AUTH_RATE_LIMITED"]));
    expect(answers.at(-1)?.["retryAfterMs"]).toBeGreaterThan(0);
    expect(await count("device_requests", "address LIKE '2001:db8:1:2%'")).toBe(
      LIMITS.pairingRequestsPerAddress,
    );
    expect(await ask({ address: "2001:db8:1:3::1" })).toMatchObject({ code: "PAIRING_REQUIRED" });
  });

  it("of guessed setup codes is slowed like any guessing", async () => {
    const auth = makeAuth({
      ...{ control: world.control, tenants: world.tenants, clock: world.clock, masterKey: world.masterKey },
    });
    const codes: unknown[] = [];
    for (let at = 0; at < 25; at++) {
      const secrets = { bootstrapToken: `creelp_guess-${at}` };
      codes.push((await ask({ auth, address: "192.0.2.50", secrets }))["code"]);
    }
    expect(codes[0]).toBe("AUTH_BOOTSTRAP_TOKEN_INVALID");
    expect(codes.at(-1)).toBe("AUTH_RATE_LIMITED");
  });
});

/** A database that notes what it is asked. */
function watched(control: Database): { control: Database; seen: string[] } {
  const seen: string[] = [];
  return {
    seen,
    control: {
      find: (sql, params) => {
        seen.push(`find ${sql}`);
        return control.find(sql, params);
      },
      list: (sql, params) => {
        seen.push(`list ${sql}`);
        return control.list(sql, params);
      },
      report: (sql, params) => {
        seen.push(`report ${sql}`);
        return control.report(sql, params);
      },
      write: (batch) => {
        seen.push(...batch.statements.map((statement) => `write ${statement.sql}`));
        return control.write(batch);
      },
    },
  };
}

describe("the work of asking", () => {
  it("is the same statement for statement, and one commit each, with a tenant and without", async () => {
    const { control, seen } = watched(world.control);
    const { tenants, clock, masterKey } = world;
    const auth = makeAuth({ control, tenants, clock, masterKey });
    const workOf = async (named: ConnectInput["named"]) => {
      seen.length = 0;
      const [before] = [await asks()];
      await ask({ named, auth, address: "203.0.113.7" });
      expect(await asks()).toBe(before + 1);
      return [...seen];
    };
    const known = await workOf(acme);
    expect(known.filter((one) => one.startsWith("write")).length).toBeGreaterThan(3);
    expect(await workOf("unknown")).toEqual(known);
    expect(await workOf({ ...acme, status: "suspended" })).toEqual(known);
    await auth.pairing.requests.setOpen(acme.id, false, MACHINE);
    expect(await workOf(acme)).toEqual(known);
    await auth.pairing.requests.setOpen(acme.id, true, MACHINE);
  });

  const asks = async () =>
    (await world.control.find<{ asks: number }>("SELECT asks FROM pairing_asks"))?.asks ?? 0;
});

describe("an upgraded database", () => {
  it("keeps the device tokens it had, and their triggers", () => {
    const folder = new URL("../../migrations/control/", import.meta.url);
    const database = new Sqlite(":memory:");
    const run = (name: string) => database.exec(readFileSync(new URL(name, folder), "utf8"));
    for (const name of [
      "0001-tenants.sql",
      "0002-auth.sql",
      "0005-audit-outbox.sql",
      "0008-membership.sql",
    ]) {
      run(name);
    }
    database.exec(`INSERT INTO tenants VALUES ('t', 'acme', 'Acme', 'active', 'free', 'UTC', 1);
      INSERT INTO device_tokens VALUES ('t', 'a', 'h1', 'u', 'd', 'cli', 'operator.read', 'api_token', 'k', 5, 6, NULL);
      INSERT INTO device_tokens VALUES ('t', 'b', 'h2', 'u', 'd', 'cli', '', 'browser_session', 's', 7, 8, 9);
      DELETE FROM access_changes;`);
    run("0010-devices.sql");
    expect(database.prepare("SELECT * FROM device_tokens ORDER BY id").all()).toEqual([
      {
        ...{ tenant_id: "t", id: "a", hash: "h1", user_id: "u", device_id: "d", client_id: "cli" },
        ...{ scopes: "operator.read", source_kind: "api_token", source_id: "k" },
        ...{ created_at_ms: 5, last_used_at_ms: 6, rotated_at_ms: null, revoked_at_ms: null },
      },
      {
        ...{ tenant_id: "t", id: "b", hash: "h2", user_id: "u", device_id: "d", client_id: "cli" },
        ...{ scopes: "", source_kind: "browser_session", source_id: "s" },
        ...{ created_at_ms: 7, last_used_at_ms: 8, rotated_at_ms: null, revoked_at_ms: 9 },
      },
    ]);
    const changes = () => database.prepare("SELECT count(*) FROM access_changes").pluck().get() as number;
    const before = changes();
    database.exec("UPDATE device_tokens SET revoked_at_ms = 10 WHERE id = 'a'");
    database.exec("DELETE FROM device_tokens WHERE id = 'b'");
    expect(changes()).toBe(before + 2);
    database.close();
  });
});
