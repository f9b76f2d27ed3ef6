import { describe, expect, it } from "vitest";
import { z } from "zod";
import type { AgentId } from "../../kernel/ids.ts";
import type { Agent } from "../agent.ts";
import { defineTool, Toolbox } from "../tools/tool.ts";
import { CALLS_PER_STEP, planCalls } from "./tool-calls.ts";

const echo = defineTool({
  name: "echo",
  label: "Echo",
  description: "",
  group: "files",
  risk: "low",
  params: z.object({ text: z.string() }),
  isIdempotent: true,
  title: () => "Echo",
  run: async ({ text }) => text,
});
const agent: Agent = {
  id: "main" as AgentId,
  name: "A",
  emoji: null,
  avatar: null,
  model: null,
  tools: ["echo"],
  createdAtMs: 0,
};
const toolbox = new Toolbox([echo]);

function plan(calls: { id: string; name?: string; argsText?: string }[], used = new Set<string>()) {
  const asked = calls.map((call) => ({ name: "echo", argsText: '{"text":"x"}', ...call }));
  return planCalls(asked, { agent }, toolbox, used);
}

describe("calls that a model asks for", () => {
  it("with the same id twice are one", () => {
    expect(plan([{ id: "a" }, { id: "a" }, { id: "b" }]).map(({ id }) => id)).toEqual(["a", "b"]);
  });

  it("with an id of an earlier step get another", () => {
    const used = new Set<string>();
    plan([{ id: "call_0" }], used);
    expect(plan([{ id: "call_0" }], used).map(({ id }) => id)).toEqual(["call_0-2"]);
  });

  it("with an id that is no id get one", () => {
    const ids = plan([{ id: "" }, { id: "x".repeat(10_000) }, { id: "a\nb" }]).map(({ id }) => id);
    expect(new Set(ids).size).toBe(3);
    for (const id of ids) expect(id).toMatch(/^[\w:.-]{1,128}$/);
  });

  it("beyond the bound are answered, not carried out, and a thousand do not grow", () => {
    const planned = plan(Array.from({ length: 1_000 }, (_, index) => ({ id: `c${index}` })));
    expect(planned.filter(({ problem }) => problem === undefined)).toHaveLength(CALLS_PER_STEP);
    expect(planned.length).toBeLessThanOrEqual(CALLS_PER_STEP * 2);
  });

  it.each([
    ["not JSON", "{", "cannot be read"],
    ["a list", "[1]", "must be a JSON object"],
    ["a number", "7", "must be a JSON object"],
    ["of the wrong type", '{"text":7}', "arguments are wrong"],
    ["without what is needed", "", "arguments are wrong"],
    ["nested too deep", `{"text":${"[".repeat(100)}${"]".repeat(100)}}`, "deeper than 64"],
  ])("whose arguments are %s are answered with what is wrong", (_what, argsText, words) => {
    expect(plan([{ id: "a", argsText }])[0]?.problem).toContain(words);
  });

  it("lose arguments that the tool does not know", () => {
    expect(plan([{ id: "a", argsText: '{"text":"x","tenantId":"other"}' }])[0]?.args).toEqual({ text: "x" });
  });

  it("of a tool that is not allowed look like calls of one that does not exist", () => {
    const forbidden = planCalls(
      [{ id: "a", name: "echo", argsText: "{}" }],
      { agent: { ...agent, tools: [] } },
      toolbox,
      new Set(),
    );
    const unknown = plan([{ id: "a", name: "nope", argsText: "{}" }]);
    expect(forbidden[0]?.tool).toBeUndefined();
    expect(forbidden[0]?.problem?.replace("echo", "X")).toBe(unknown[0]?.problem?.replace("nope", "X"));
  });
});
