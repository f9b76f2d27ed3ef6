/**
 * What a tool is. Owns: the declaration, what a call gets to know, reading arguments.
 * Refuses to know: models, transcripts. Authority comes from the context, never from arguments.
 */
import { z } from "zod";
import type { RunId, SessionKey } from "../../kernel/ids.ts";
import { describeIssues } from "../../protocol/methods.ts";
import type { Principal } from "../../tenancy/principal.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Agent } from "../agent.ts";
import type { ToolSpec } from "../models/model.ts";

/** For whom a tool runs. */
export interface ToolContext {
  readonly scope: TenantScope;
  readonly principal: Principal;
  readonly agent: Agent;
  readonly sessionKey: SessionKey;
  readonly runId: RunId;
  readonly signal: AbortSignal;
  /** Show output while the tool still works; everything so far. */
  update(output: string): void;
}

/** How much harm a tool could do when a model misuses it. */
export type ToolRisk = "low" | "medium" | "high";

/** A declared tool. */
export interface Tool {
  readonly name: string;
  readonly label: string;
  readonly description: string;
  readonly group: "files" | "memory" | "sessions" | "web" | "runtime";
  readonly risk: ToolRisk;
  readonly params: z.ZodObject;
  /** Whether running it twice is the same as once; if not, it is never run again after a crash. */
  readonly isIdempotent: boolean;
  /** A few words about one call, for people. */
  title(args: Record<string, unknown>): string;
  /** Returns the text for the model; throws AppError for what went wrong. */
  run(args: unknown, context: ToolContext): Promise<string>;
}

/** Declare a tool; `run` gets its arguments checked. */
export function defineTool<Params extends z.ZodObject>(declaration: {
  name: string;
  label: string;
  description: string;
  group: Tool["group"];
  risk: ToolRisk;
  params: Params;
  isIdempotent: boolean;
  title(args: Record<string, unknown>): string;
  run(args: z.output<Params>, context: ToolContext): Promise<string>;
}): Tool {
  return declaration as unknown as Tool;
}

/** Check arguments; a string says what is wrong with them. */
export function readArguments(tool: Tool, args: Record<string, unknown>): Record<string, unknown> | string {
  const read = tool.params.safeParse(args, { reportInput: true });
  return read.success ? read.data : describeIssues(read.error.issues);
}

/** The tools that exist, by name. */
export class Toolbox {
  private readonly tools: readonly Tool[];
  private readonly specs = new Map<string, ToolSpec>();

  constructor(tools: readonly Tool[]) {
    this.tools = tools;
    for (const tool of tools) this.specs.set(tool.name, toSpec(tool));
  }

  list(): readonly Tool[] {
    return this.tools;
  }

  /** SECURITY: the tool, if this agent may use it; a forbidden one looks like one that does not exist. */
  find(agent: Agent, name: string): Tool | undefined {
    return agent.tools.includes(name) ? this.tools.find((tool) => tool.name === name) : undefined;
  }

  allowed(agent: Agent): readonly Tool[] {
    return this.tools.filter((tool) => agent.tools.includes(tool.name));
  }

  /** What the model is offered. */
  offers(agent: Agent): readonly ToolSpec[] {
    return this.allowed(agent).map((tool) => this.specs.get(tool.name)!);
  }

  has(name: string): boolean {
    return this.specs.has(name);
  }
}

function toSpec(tool: Tool): ToolSpec {
  const { $schema: _, ...parameters } = z.toJSONSchema(tool.params, { io: "input" }) as Record<
    string,
    unknown
  >;
  return { name: tool.name, description: tool.description, parameters };
}
