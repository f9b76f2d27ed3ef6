/** The jail around an agent's files, on a real disk (ATTACKS.md FS). */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { link, mkdir, readFile, rm, stat, symlink, truncate, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MAIN_AGENT_ID } from "#src/agents/agent.ts";
import { WORKSPACE_LIMITS } from "#src/agents/workspace.ts";
import { AppError } from "#src/kernel/errors.ts";
import type { AgentId } from "#src/kernel/ids.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { AgentWorld } from "#test/support/agent-world.ts";

let world: AgentWorld;
let scope: TenantScope;
let home: string;
let outside: string;

beforeEach(async () => {
  world = await AgentWorld.open();
  scope = world.scope;
  home = scope.workspaceDirectory(MAIN_AGENT_ID);
  await world.workspaces.write(scope, MAIN_AGENT_ID, "ok.txt", "mine");
  // A neighbour whose folder begins with the same name.
  outside = `${home}-other`;
  await mkdir(outside);
  await writeFile(join(outside, "secret.txt"), "canary");
});
afterEach(() => world.close());

const read = (path: string) => world.workspaces.read(scope, MAIN_AGENT_ID, path);
const write = (path: string, text: string) => world.workspaces.write(scope, MAIN_AGENT_ID, path, text);

async function refused(work: Promise<unknown>): Promise<void> {
  const thrown: unknown = await work.then(
    () => "it went through",
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(AppError);
  const error = thrown as AppError;
  expect(["invalid_request", "not_found"]).toContain(error.code);
  expect(error.publicMessage).not.toContain(world.directory);
  expect(error.publicMessage).not.toContain("canary");
}

describe("paths that lead out", () => {
  it.each([
    "../workspace-other/secret.txt",
    "a/../../workspace-other/secret.txt",
    "../../tenant.db",
    "/etc/passwd",
    "..\\workspace-other\\secret.txt",
    "\\\\host\\share",
    "C:\\windows",
    "C:secret",
    "file:///etc/passwd",
    "..%2fsecret.txt",
    "..%252fsecret.txt",
    "%c0%ae%c0%ae/secret.txt",
    "\u2024\u2024/secret.txt",
    "\uff0e\uff0e/secret.txt",
    "a\u0000.txt",
    "a\n.txt",
    "ab\u202etxt.exe",
    "a\u200bb",
    "cafe\u0301.txt",
    ".",
    "..",
    "...",
    "a//b",
    "a/./b",
    "a/",
    "name.",
    "name ",
    " name",
    "CON",
    "nul.txt",
    "ok.txt:stream",
    "\ud800",
    "x".repeat(256),
    `${"d/".repeat(40)}x`,
    "y/".repeat(2_050),
    "",
  ])("are refused for reading and writing: %j", async (path) => {
    await refused(read(path));
    await refused(write(path, "evil"));
    expect(await readFile(join(outside, "secret.txt"), "utf8")).toBe("canary");
  });

  it("take ordinary names in any language", async () => {
    for (const path of [
      "notes/计划.md",
      "café.txt",
      "a b.txt",
      ".hidden",
      "x-1_2.tar.gz",
      "memory/2026-11-23.md",
    ]) {
      await write(path, "fine");
      expect((await read(path)).toString()).toBe("fine");
    }
  });
});

describe("links and special files", () => {
  it.each([
    ["a link to a file", "l", (at: string) => symlink(join(outside, "secret.txt"), at), ""],
    ["a relative link", "l", (at: string) => symlink("../workspace-other/secret.txt", at), ""],
    ["a link to a folder on the way", "l", (at: string) => symlink(outside, at), "/secret.txt"],
    ["a link that points nowhere yet", "l", (at: string) => symlink(join(outside, "new.txt"), at), ""],
    ["a hard link", "h", (at: string) => link(join(outside, "secret.txt"), at), ""],
    ["a pipe", "p", async (at: string) => void execFileSync("mkfifo", [at]), ""],
  ])("%s is neither read, written, listed nor removed through", async (_what, name, make, tail) => {
    await make(join(home, name));
    await refused(read(`${name}${tail}`));
    await refused(write(`${name}${tail}`, "evil"));
    await refused(world.workspaces.list(scope, MAIN_AGENT_ID, `${name}${tail}`));
    expect((await world.workspaces.list(scope, MAIN_AGENT_ID, "")).map((entry) => entry.name)).toEqual([
      "ok.txt",
    ]);
    await world.workspaces.removeFile(scope, MAIN_AGENT_ID, `${name}${tail}`).catch(() => undefined);
    expect(await readFile(join(outside, "secret.txt"), "utf8")).toBe("canary");
    expect(existsSync(join(outside, "new.txt"))).toBe(false);
  });

  it("a folder that turns into a link while files are written lets nothing out", async () => {
    const flip = join(home, "flip");
    let isDone = false;
    let flips = 0;
    const flipping = (async () => {
      // A writer may make the folder anew in between; what matters is that it is a link again and again.
      while (!isDone) {
        await rm(flip, { recursive: true, force: true }).catch(() => undefined);
        if (
          await symlink(outside, flip).then(
            () => true,
            () => false,
          )
        )
          flips++;
        await unlink(flip).catch(() => undefined);
        await mkdir(flip).catch(() => undefined);
      }
    })();
    for (let turn = 0; turn < 5_000 && flips < 60; turn++) {
      // The jail's calls may all be made at once; the other side must get its turn.
      await setImmediate();
      await write("flip/secret.txt", "evil").catch(() => undefined);
      const seen = await read("flip/secret.txt").catch(() => undefined);
      expect(seen?.toString() ?? "evil").toBe("evil");
    }
    isDone = true;
    await flipping;
    expect(flips).toBeGreaterThan(20);
    expect(await readFile(join(outside, "secret.txt"), "utf8")).toBe("canary");
  });

  it("a file that only looks small is not read", async () => {
    await writeFile(join(home, "sparse"), "x");
    await truncate(join(home, "sparse"), 2 ** 40);
    await expect(read("sparse")).rejects.toMatchObject({ code: "too_large" });
  });
});

describe("limits", () => {
  it("hold for one file", async () => {
    await expect(write("big", "x".repeat(WORKSPACE_LIMITS.fileBytes + 1))).rejects.toMatchObject({
      code: "too_large",
    });
    await write("fits", "x".repeat(WORKSPACE_LIMITS.fileBytes));
    await expect(world.workspaces.append(scope, MAIN_AGENT_ID, "fits", "y")).rejects.toMatchObject({
      code: "too_large",
    });
  });

  it("hold for a whole workspace, also for writers at once, and another agent is not affected", async () => {
    const megabyte = "x".repeat(WORKSPACE_LIMITS.fileBytes);
    const names = Array.from({ length: 70 }, (_, index) => `f${index}`);
    const results = await Promise.allSettled(names.map((name) => write(name, megabyte)));
    const failed = results.filter((result) => result.status === "rejected");
    expect(results.length - failed.length).toBe(63);
    expect(failed[0]).toMatchObject({ reason: { code: "limit_reached" } });
    await write("f0", "small now");
    await write("f69", "and this fits");
    await world.workspaces.write(scope, "second" as AgentId, "fine", megabyte);
  });

  it("appends of many at once lose nothing", async () => {
    const lines = Array.from({ length: 30 }, (_, index) => `line ${index}`);
    await Promise.all(
      lines.map((line) => world.workspaces.append(scope, MAIN_AGENT_ID, "log.md", `${line}\n`)),
    );
    expect((await read("log.md")).toString().trim().split("\n").sort()).toEqual([...lines].sort());
  });
});

describe("two tenants", () => {
  it("with the same agent and the same path have different files", async () => {
    const other = world.newTenant("beta");
    await write("same.txt", "acme's");
    await world.workspaces.write(other, MAIN_AGENT_ID, "same.txt", "beta's");
    expect((await read("same.txt")).toString()).toBe("acme's");
    expect((await world.workspaces.read(other, MAIN_AGENT_ID, "same.txt")).toString()).toBe("beta's");
  });

  it("files are private to the process's user", async () => {
    expect((await stat(home)).mode & 0o077).toBe(0);
    expect((await stat(join(home, "ok.txt"))).mode & 0o077).toBe(0);
  });
});
