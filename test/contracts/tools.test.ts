/** The tools of agents, over a real workspace and real threads. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Agent } from "#src/agents/agent.ts";
import { ShellSandbox } from "#src/agents/tools/shell-sandbox.ts";
import { readArguments } from "#src/agents/tools/tool.ts";
import { systemClock } from "#src/kernel/clock.ts";
import type { RunId, SessionKey, TenantId } from "#src/kernel/ids.ts";
import { AgentWorld } from "#test/support/agent-world.ts";

let world: AgentWorld;
let agent: Agent;

beforeEach(async () => {
  world = await AgentWorld.open();
  agent = await world.agents.update(world.scope, "main", {
    tools: world.toolbox.list().map((tool) => tool.name),
  });
});
afterEach(() => world.close());

async function use(
  name: string,
  args: Record<string, unknown>,
  signal = new AbortController().signal,
): Promise<string> {
  const tool = world.toolbox.find(agent, name);
  if (tool === undefined) throw new Error(`no tool ${name}`);
  const read = readArguments(tool, args);
  if (typeof read === "string") throw new Error(read);
  return tool.run(read, {
    scope: world.scope,
    principal: world.principal,
    agent,
    sessionKey: "agent:main:main" as SessionKey,
    runId: "r" as RunId,
    signal,
    update: () => undefined,
  });
}

describe("what a model is offered", () => {
  it("is a JSON schema of an object for each tool", () => {
    for (const offer of world.toolbox.offers(agent)) {
      expect(offer.parameters).toMatchObject({ type: "object" });
      expect(offer.parameters).not.toHaveProperty("$schema");
      expect(offer.name).toMatch(/^[a-z_]{3,40}$/);
    }
    expect(world.toolbox.offers({ ...agent, tools: [] })).toEqual([]);
  });
});

describe("workspace tools", () => {
  it("write, read in parts, edit, list and search", async () => {
    await use("workspace_write", { path: "a/b.txt", content: "one\ntwo\nthree\ntwo" });
    expect(await use("workspace_read", { path: "a/b.txt", offset: 2, limit: 1 })).toMatch(
      /^two\n\[… 2 more lines/,
    );
    await expect(use("workspace_edit", { path: "a/b.txt", old_text: "two", new_text: "2" })).rejects.toThrow(
      "2 times",
    );
    await expect(use("workspace_edit", { path: "a/b.txt", old_text: "nine", new_text: "9" })).rejects.toThrow(
      "not occur",
    );
    await use("workspace_edit", { path: "a/b.txt", old_text: "two", new_text: "$&2", all: true });
    expect(await use("workspace_read", { path: "a/b.txt" })).toBe("one\n$&2\nthree\n$&2");
    expect(await use("workspace_list", {})).toContain("a/\n");
    expect(await use("workspace_search", { text: "THREE" })).toBe("a/b.txt:3: three");
    expect(await use("workspace_search", { text: "THREE", case_sensitive: true })).toBe("Nothing found.");
    expect(await use("workspace_search", { text: "(a+)+$" })).toBe("Nothing found.");
  });
});

describe("web_fetch", () => {
  it.each(["http://127.0.0.1:80/", "http://169.254.169.254/", "file:///etc/passwd", "not a url"])(
    "goes nowhere inside, even where the operator lists it: %s",
    async (url) => {
      await expect(use("web_fetch", { url })).rejects.toMatchObject({ code: "egress_refused" });
    },
  );
});

describe("shell", () => {
  it("works on copies of the files and saves what changed", async () => {
    await use("workspace_write", { path: "in.txt", content: "b\na\nc\n" });
    await use("workspace_write", { path: "gone.txt", content: "x" });
    await use("workspace_write", { path: "__proto__", content: "odd name" });
    const output = await use("shell", {
      command:
        "sort in.txt > out/sorted.txt || (mkdir out && sort in.txt > out/sorted.txt); rm gone.txt; ls; cat __proto__",
    });
    expect(output).toContain("odd name");
    expect(await use("workspace_read", { path: "out/sorted.txt" })).toBe("a\nb\nc\n");
    await expect(use("workspace_read", { path: "gone.txt" })).rejects.toMatchObject({ code: "not_found" });
    expect(await use("workspace_read", { path: "in.txt" })).toBe("b\na\nc\n");
  });

  it("sees no environment, no host files and no network", async () => {
    process.env["CREEL_TEST_CANARY"] = "canary-in-env";
    try {
      const output = await use("shell", {
        command:
          "env; cat /etc/passwd /proc/self/environ /proc/1/environ; curl http://127.0.0.1/; node -e 1; python3 -c 1; ls /home",
      });
      expect(output).not.toContain("canary");
      expect(output).not.toContain(process.cwd());
      expect(output).not.toContain("/bin/bash\n");
      expect(output).toMatch(/not found/);
    } finally {
      delete process.env["CREEL_TEST_CANARY"];
    }
  });

  it("says which files could not be saved, and saves the others", async () => {
    const output = await use("shell", {
      command: "echo 1 > good.txt; echo 2 > 'bad name '; ln -s good.txt link",
    });
    expect(output).toContain("not saved");
    expect(await use("workspace_read", { path: "good.txt" })).toBe("1\n");
    expect(await use("workspace_list", {})).not.toContain("link");
  });

  it("tells the exit code", async () => {
    expect(await use("shell", { command: "echo hm; exit 3" })).toContain("[exit code 3]");
  });
});

describe("the sandbox of shells", () => {
  const acme = "acme" as TenantId;
  const beta = "beta" as TenantId;
  const quiet = () => new AbortController().signal;

  it("ends a command that takes too long, too much memory or too much room, and goes on", async () => {
    const sandbox = new ShellSandbox(systemClock, { timeoutMs: 6_000, outputChars: 1_000 });
    const commands = [
      "sed -e ':a' -e 's/.*/&&/' -e 'ta' <<< x",
      `awk 'BEGIN{x="a"; for(i=0;i<20;i++)x=x x; for(i=0;i<9999;i++){y[i]=toupper(x i)} print 1}'`,
      "x=a; while true; do x=$x$x$x$x; done",
    ];
    const tenants = [acme, beta, "gamma" as TenantId];
    const outcomes = await Promise.allSettled(
      commands.map((command, index) => sandbox.run(tenants[index]!, command, new Map(), quiet())),
    );
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "limit_reached" });
      else expect(outcome.value.exitCode).not.toBe(0);
    }
    const after = await sandbox.run(acme, "seq 1 9000", new Map(), quiet());
    expect(after.output).toHaveLength(1_000);
  });

  it("stops with the run", async () => {
    const sandbox = new ShellSandbox(systemClock);
    const controller = new AbortController();
    const reason = new Error("enough");
    const running = sandbox.run(acme, "sleep 8", new Map(), controller.signal);
    controller.abort(reason);
    await expect(running).rejects.toBe(reason);
  });

  it("lets no tenant fill all places", async () => {
    const sandbox = new ShellSandbox(systemClock, { timeoutMs: 4_000 });
    const controller = new AbortController();
    const many = Array.from({ length: 6 }, () => sandbox.run(acme, "sleep 3", new Map(), controller.signal));
    const quick = await sandbox.run(beta, "echo here", new Map(), quiet());
    expect(quick.output).toBe("here\n");
    controller.abort(new Error("over"));
    const outcomes = await Promise.allSettled(many);
    expect(outcomes.every((outcome) => outcome.status === "rejected")).toBe(true);
  });
});
