/** `creel audit …`: the four ways to tamper with a log, on the files of a deployment, and exports checked offline. */
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Connection, openConnection } from "#src/storage/sqlite-open.ts";
import { startApp, type TestApp } from "../support/start-app.ts";

const BIN = fileURLToPath(new URL("../../bin/creel.js", import.meta.url));

let world: TestApp;
let root: string;
let tenantId: string;
let copies = 0;

/** A deployment whose tenant `acme` has a log of some rows; the server is stopped, its files are copied for each case. */
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "creel-audit-cli-"));
  world = await startApp({ stateDir: join(root, "state") });
  tenantId = (await world.tenant("acme")).id;
  for (let n = 1; n <= 8; n++) await world.token("acme", "member", `robot ${n}`);
  await world.tenant("beta");
  await world.close();
});

afterAll(() => rm(root, { recursive: true, force: true }));

function creel(
  stateDir: string,
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const env = { PATH: process.env["PATH"] };
    execFile(process.execPath, [BIN, ...args, "--state-dir", stateDir], { env }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === "number" ? error.code : error ? 99 : 0, stdout, stderr });
    });
  });
}

/** The deployment once more, changed behind everybody's back. */
async function changed(edit: (connection: Connection) => void = () => undefined): Promise<string> {
  const stateDir = join(root, `copy-${++copies}`);
  await cp(join(root, "state"), stateDir, { recursive: true });
  const connection = openConnection(join(stateDir, "tenants", tenantId, "tenant.db"), "writer");
  connection.exec("DROP TRIGGER audit_log_no_update; DROP TRIGGER audit_log_no_delete;");
  edit(connection);
  connection.close();
  return stateDir;
}

describe("creel audit verify", () => {
  it("passes all logs of a sound deployment, the platform's too", async () => {
    const done = await creel(await changed(), "audit", "verify");
    expect(done).toMatchObject({ code: 0, stderr: "" });
    expect(done.stdout).toMatch(/^platform: sound, \d+ rows/m);
    expect(done.stdout).toMatch(/^acme: sound, 9 rows, last 9:[0-9a-f]{64}$/m);
    expect(done.stdout).toMatch(/^beta: sound, 1 rows/m);
  });

  it.each<[string, string, object]>([
    [
      "a flipped byte",
      "UPDATE audit_log SET details = replace(details, 'member', 'nember') WHERE seq = 4",
      { seq: 4, kind: "altered" },
    ],
    ["a dropped row", "DELETE FROM audit_log WHERE seq = 5", { seq: 5, kind: "missing" }],
    [
      "a swapped pair",
      "UPDATE audit_log SET seq = -seq WHERE seq IN (3, 4); UPDATE audit_log SET seq = 7 + seq WHERE seq < 0",
      { seq: 3, kind: "reordered" },
    ],
    ["a truncated tail", "DELETE FROM audit_log WHERE seq > 7", { seq: 8, kind: "truncated" }],
  ])("catches %s and names the row", async (_what, sql, problem) => {
    const stateDir = await changed((connection) => {
      connection.pragma("ignore_check_constraints = ON");
      connection.exec(sql);
    });
    const done = await creel(stateDir, "audit", "verify", "--tenant", "acme");
    expect(done).toMatchObject({ code: 1, stderr: "" });
    expect(done.stdout).toMatch(/^acme: NOT SOUND \(\w+\) at row \d: /);
    const all = await creel(stateDir, "audit", "verify", "--json");
    expect(all.code).toBe(1);
    const { logs } = JSON.parse(all.stdout) as {
      logs: { log: string; verdict: { ok: boolean; problem: unknown } }[];
    };
    expect(logs.find(({ log }) => log === "acme")?.verdict.problem).toMatchObject(problem);
    expect(logs.filter(({ verdict }) => !verdict.ok).map(({ log }) => log)).toEqual(["acme"]);
  });

  it("catches a flipped byte in the file itself", async () => {
    const stateDir = await changed((connection) => connection.pragma("wal_checkpoint(TRUNCATE)"));
    const path = join(stateDir, "tenants", tenantId, "tenant.db");
    const bytes = await readFile(path);
    const at = bytes.indexOf("robot 5");
    expect(at).toBeGreaterThan(0);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await writeFile(path, bytes);
    const done = await creel(stateDir, "audit", "verify", "--tenant", "acme");
    expect(done.code).toBe(1);
    expect(done.stdout).toMatch(/^acme: NOT SOUND \(altered\) at row 6: Row 6 is not what was written\.$/m);
  });

  it("refuses to guess which log is meant", async () => {
    const stateDir = join(root, "state");
    expect((await creel(stateDir, "audit", "verify", "--tenant", "acme", "--platform")).code).toBe(2);
    expect((await creel(stateDir, "audit", "export")).code).toBe(2);
    expect((await creel(stateDir, "audit", "verify", "--tenant", "nobody")).code).toBe(1);
  });
});

describe("creel audit export and heads", () => {
  it("give files that are checked offline, beside a running server too", async () => {
    const stateDir = await changed();
    const server = await startApp({ stateDir });
    const [file, heads] = [join(root, "acme.jsonl"), join(root, "heads.json")];
    try {
      const written = await creel(stateDir, "audit", "export", "--tenant", "acme", "--out", file);
      expect(written).toMatchObject({ code: 0, stdout: "", stderr: "" });
      const again = await creel(stateDir, "audit", "export", "--tenant", "acme", "--out", file);
      expect(again.code).toBe(1);
      const said = await creel(stateDir, "audit", "heads", "--tenant", "acme", "--json");
      expect(said.code).toBe(0);
      await writeFile(heads, said.stdout);
    } finally {
      await server.close();
    }
    const check = (...args: string[]) =>
      creel(stateDir, "audit", "verify", "--file", file, "--heads", heads, ...args);
    expect(await check()).toMatchObject({ code: 0, stdout: expect.stringContaining("Sound: 9 rows") });
    await writeFile(file, (await readFile(file, "utf8")).replace("robot 3", "robot 4"));
    expect(await check("--json")).toMatchObject({ code: 1, stdout: expect.stringContaining('"seq":4') });
    expect((await creel(stateDir, "audit", "export", "--platform", "--format", "csv")).stdout).toContain(
      "tenant.created",
    );
  });
});
