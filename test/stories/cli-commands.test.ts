import { execFile, spawn } from "node:child_process";
import { chmod, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { recordTenantAct } from "#src/audit/tenant-acts.ts";
import { makeAuth } from "#src/auth/auth.ts";
import { systemClock } from "#src/kernel/clock.ts";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import { Tenants } from "#src/tenancy/tenants.ts";
import { loadMasterKey } from "#src/tenancy/vault.ts";

const BIN = fileURLToPath(new URL("../../bin/creel.js", import.meta.url));
const MIGRATIONS = fileURLToPath(new URL("../../migrations", import.meta.url));

let root: string;
let stateDir: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "creel-cli-"));
  stateDir = join(root, "state");
  await ok("tenant", "create", "--slug", "acme", "--name", "Acme Ltd", "--owner", "Olga");
});
afterAll(() => rm(root, { recursive: true, force: true }));

interface Done {
  code: number;
  stdout: string;
  stderr: string;
}

function creel(...args: string[]): Promise<Done> {
  const full = args.includes("--state-dir") ? args : [...args, "--state-dir", stateDir];
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [BIN, ...full],
      { env: { PATH: process.env["PATH"] } },
      (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === "number" ? error.code : error ? 99 : 0, stdout, stderr });
      },
    );
  });
}

async function ok(...args: string[]): Promise<string> {
  const done = await creel(...args);
  if (done.code !== 0) throw new Error(`creel ${args.join(" ")}: ${done.code}\n${done.stderr}`);
  expect(done.stderr).toBe("");
  return done.stdout;
}

async function json(...args: string[]): Promise<Record<string, unknown>> {
  return JSON.parse(await ok(...args, "--json"));
}

/** Look at the state as a running server does, while a command runs beside it. */
async function asServer<T>(
  work: (auth: ReturnType<typeof makeAuth>, tenants: Tenants) => Promise<T>,
): Promise<T> {
  const databases = new SqliteDatabases({ migrationsDirectory: MIGRATIONS });
  try {
    const control = databases.open("control", join(stateDir, "control.db"), "control");
    const tenants = new Tenants(control, systemClock, recordTenantAct);
    const masterKey = await loadMasterKey(join(stateDir, "master-key"));
    return await work(makeAuth({ control, tenants, clock: systemClock, masterKey }), tenants);
  } finally {
    await databases.close();
  }
}

describe("creel tenant", () => {
  it("makes a tenant once, in a folder that only its user can read", async () => {
    expect(await json("tenant", "show", "acme")).toMatchObject({
      tenant: { slug: "acme", displayName: "Acme Ltd", status: "active" },
      members: 1,
    });
    expect((await stat(stateDir)).mode & 0o077).toBe(0);
    for (const file of ["control.db", "master-key"]) {
      expect((await stat(join(stateDir, file))).mode & 0o077, file).toBe(0);
    }
    const again = await creel("tenant", "create", "--slug", "acme");
    expect(again).toMatchObject({ code: 1, stdout: "" });
    expect(again.stderr).toBe("creel: That slug or host is taken.\n");
  });

  it("suspends and resumes what a running server then sees", async () => {
    const made = await json("token", "create", "--tenant", "acme", "--role", "admin", "--name", "ci");
    const { token } = made as unknown as { token: string };
    await asServer(async (auth) => {
      const { principal } = await auth.authenticator.fromBearer(token, "127.0.0.1");
      expect(await auth.authenticator.isLive(principal)).toBe(true);
      await ok("tenant", "suspend", "acme");
      await expect.poll(() => auth.authenticator.isLive(principal), { timeout: 5_000 }).toBe(false);
      await ok("tenant", "resume", "acme");
      await expect.poll(() => auth.authenticator.isLive(principal), { timeout: 5_000 }).toBe(true);
    });
    expect(await ok("tenant", "list")).toMatch(/^SLUG +NAME.*\nacme +Acme Ltd +active/);
  });
});

describe("creel token", () => {
  it("prints a token once, which works, can be listed without its secret, and be revoked", async () => {
    const made = await json(
      "token",
      "create",
      "--tenant",
      "acme",
      "--role",
      "member",
      "--name",
      "bot",
      "--expires",
      "30d",
    );
    const { token, record } = made as unknown as {
      token: string;
      record: { id: string; expiresAtMs: number };
    };
    expect(record.expiresAtMs - systemClock.nowMs()).toBeGreaterThan(29 * 24 * 3600 * 1000);
    await asServer(async (auth) => {
      const { principal } = await auth.authenticator.fromBearer(token, "127.0.0.1");
      expect(principal).toMatchObject({ role: "member", displayName: "bot" });
      const listed =
        (await ok("token", "list", "--tenant", "acme")) +
        (await ok("token", "list", "--tenant", "acme", "--json"));
      expect(listed).toContain(record.id);
      expect(listed).not.toContain(token);
      await ok("token", "revoke", "--tenant", "acme", record.id);
      await expect(auth.authenticator.fromBearer(token, "127.0.0.1")).rejects.toMatchObject({
        code: "unauthenticated",
      });
    });
  });
});

describe("creel member", () => {
  it("adds, lists, changes and removes people, but never the last owner", async () => {
    const added = await json("member", "add", "--tenant", "acme", "--role", "member", "--name", "Ben");
    const { userId } = (added as unknown as { member: { userId: string } }).member;
    await ok("member", "role", "--tenant", "acme", "--user", "Ben", "--role", "admin");
    expect(await ok("member", "list", "--tenant", "acme")).toMatch(/Ben +admin/);
    await ok("member", "remove", "--tenant", "acme", "--user", userId);
    expect(await ok("member", "list", "--tenant", "acme")).not.toContain("Ben");
    const refused = await creel("member", "remove", "--tenant", "acme", "--user", "Olga");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/^creel: A tenant keeps at least one owner\..*\n$/);
  });
});

describe("creel login-link", () => {
  it("prints a link to the running server that signs the tenant's owner in, once", async () => {
    await writeFile(join(stateDir, "server.json"), JSON.stringify({ url: "https://creel.example/" }));
    const link = (await ok("login-link", "--tenant", "acme")).trim();
    await rm(join(stateDir, "server.json"));
    expect(link).toMatch(/^https:\/\/creel\.example\/login#link=[A-Za-z0-9_-]{43}$/);
    const secret = link.split("=")[1] ?? "";
    await asServer(async (auth) => {
      const { cookie } = await auth.sessions.signIn(secret, null);
      expect(await auth.authenticator.browserUser(cookie)).toMatchObject({ displayName: "Olga" });
      await expect(auth.sessions.signIn(secret, null)).rejects.toMatchObject({ code: "link_invalid" });
    });
    expect(await ok("login-link", "--tenant", "acme")).toMatch(/^http:\/\/127\.0\.0\.1:18789\/login#link=/);
  });
});

describe("creel invite", () => {
  it("prints a link that lets one person in, as what it says, and nobody without the address it is for", async () => {
    const link = (await ok("invite", "--tenant", "acme", "--role", "member", "--note", "Hi")).trim();
    expect(link).toMatch(/^http:\/\/127\.0\.0\.1:18789\/join#invite=[A-Za-z0-9_-]{43}$/);
    const tied = await json(
      "invite",
      "--tenant",
      "acme",
      "--role",
      "admin",
      "--email",
      "ann@x.example",
      "--days",
      "1",
    );
    expect(tied).toMatchObject({
      invitation: { role: "admin", tie: { kind: "email", email: "ann@x.example" } },
    });
    await asServer(async (auth) => {
      const { invitations } = auth.people;
      expect(await invitations.look(link.split("#invite=")[1] ?? "")).toMatchObject({
        ...{ role: "member", invitedBy: "Command line", needs: "none" },
      });
      expect(await invitations.look(String(tied["url"]).split("#invite=")[1] ?? "")).toMatchObject({
        needs: "verified_email",
      });
    });
  });
});

describe("a command called wrongly", () => {
  it.each([
    [["bogus"], /"bogus" is not a command/],
    [["token"], /there is: token create, token list, token revoke/],
    [["tenant", "list", "--bogus"], /--bogus/],
    [["tenant", "show"], /Something is missing/],
    [["tenant", "show", "../../etc"], /not a tenant's slug/],
    [["token", "create", "--tenant", "acme", "--role", "king", "--name", "x"], /--role is one of/],
    [["token", "create", "--tenant", "acme", "--role", "owner", "--name", "x", "--expires", "soon"], /30d/],
  ])("ends with 2 and one line: creel %j", async (args, line) => {
    const done = await creel(...args);
    expect(done.code).toBe(2);
    expect(done.stdout).toBe("");
    expect(done.stderr).toMatch(line);
    expect(done.stderr.trim().split("\n")).toHaveLength(1);
  });
});

describe("a command that fails", () => {
  it("ends with 1 and one line, as JSON when asked, without a stack", async () => {
    const none = await creel("tenant", "list", "--state-dir", join(root, "nowhere"));
    expect(none.code).toBe(1);
    expect(none.stderr).toMatch(/^creel: There is no Creel state in .*\n$/);
    await expect(stat(join(root, "nowhere")), "looking makes nothing").rejects.toThrow();
    const unknown = await creel("token", "list", "--tenant", "nobody", "--json");
    expect(unknown).toMatchObject({ code: 1, stdout: "" });
    expect(JSON.parse(unknown.stderr)).toEqual({
      error: { code: "not_found", message: 'There is no tenant "nobody".' },
    });
  });

  it("refuses to go on without the master key, and makes no new one", async () => {
    const key = join(stateDir, "master-key");
    await rename(key, `${key}.away`);
    const done = await creel("token", "list", "--tenant", "acme");
    await expect(stat(key)).rejects.toThrow();
    await rename(`${key}.away`, key);
    expect(done.code).toBe(1);
    expect(done.stderr).toContain("restore it from a backup");
  });
});

describe("creel doctor", () => {
  it("is content with a sound deployment", async () => {
    const report = await json("doctor");
    expect(report).toMatchObject({ ok: true, errors: 0 });
    const subjects = (report as unknown as { findings: { subject: string }[] }).findings.map(
      (found) => found.subject,
    );
    expect(subjects).toEqual(
      expect.arrayContaining([
        "state directory",
        "ownership",
        "disk",
        "clock",
        "configuration",
        "open files",
        "databases",
      ]),
    );
  });

  it("names what is wrong and how to fix it: permissions, configuration, a damaged and a swapped database", async () => {
    const broken = join(root, "broken");
    const at = ["--state-dir", broken];
    const ids: string[] = [];
    for (const slug of ["one", "two", "three"]) {
      const made = await json("tenant", "create", "--slug", slug, ...at);
      ids.push((made as unknown as { tenant: { id: string } }).tenant.id);
    }
    const file = (index: number) => join(broken, "tenants", ids[index] ?? "", "tenant.db");
    const bytes = await readFile(file(0));
    bytes.fill(0x5a, 4096, 20_000);
    await writeFile(file(0), bytes);
    await writeFile(file(1), await readFile(file(2)));
    await writeFile(join(broken, "creel.json5"), "{ not json5 ][");
    await chmod(join(broken, "master-key"), 0o644);
    const done = await creel("doctor", ...at);
    expect(done.code).toBe(1);
    expect(done.stdout).toMatch(new RegExp(`${ids[0]}/tenant.db: .*(damaged|malformed|corrupt)`, "i"));
    expect(done.stdout).toContain(`belongs to ${ids[2]}, not to ${ids[1]}`);
    expect(done.stdout).toMatch(/creel\.json5 is not valid JSON5/);
    expect(done.stdout).toContain(`chmod 600 '${join(broken, "master-key")}'`);
    expect(done.stdout).not.toContain((await readFile(join(broken, "master-key"), "utf8")).trim());
    expect(done.stdout).not.toContain("    at ");
  });
});

describe("creel help and version", () => {
  it("list every command and the version of the package", async () => {
    const text = await ok("help");
    for (const name of [
      "serve",
      "migrate",
      "tenant create",
      "member add",
      "invite",
      "token revoke",
      "login-link",
      "doctor",
    ]) {
      expect(text).toContain(`creel ${name}`);
    }
    const described = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));
    expect((await ok("version")).trim()).toBe(described.version);
    expect(await ok("token", "create", "--help")).toContain("--expires");
    expect(await json("migrate")).toMatchObject({ ok: true, tenants: 1 });
  });
});

describe("creel serve", () => {
  it("hands signals on to the server and ends with its exit code", async () => {
    const served = join(root, "served");
    const child = spawn(process.execPath, [BIN, "serve", "--port", "0", "--state-dir", served], {
      env: { PATH: process.env["PATH"] },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let printed = "";
    child.stdout.on("data", (chunk) => {
      printed += chunk;
    });
    const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
    await expect.poll(() => printed, { timeout: 20_000 }).toMatch(/login#link=/);
    const { url } = JSON.parse(await readFile(join(served, "server.json"), "utf8"));
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect((await ok("login-link", "--state-dir", served)).trim().split("#")[0]).toBe(`${url}/login`);
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
  });
});
