/**
 * What a method is. Owns: the one declaration from which dispatch, documents, OpenAPI, the permission matrix and the
 * isolation tests are made. Refuses to know: transports, what methods do.
 */
import { z } from "zod";
import type { Actor } from "../tenancy/actor.ts";
import type { Principal } from "../tenancy/principal.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import type { Scope } from "../tenancy/scopes.ts";

/** How much a call costs us: `free` memory only, `read` a few rows, `report` very many, `write` a commit, `turn` a model run. */
export type CostClass = "free" | "read" | "report" | "write" | "turn";

/** What a live connection lets a method do to itself. */
export interface ConnectionHandle {
  readonly id: string;
  subscribeSessions(): void;
  unsubscribeSessions(): void;
  /** @param key canonical session key */
  subscribeMessages(key: string): void;
  unsubscribeMessages(key: string): void;
  /** Remember that this connection started the run, so that it gets the run's tool events. */
  startedRun(runId: string): void;
}

/** The client program at the other end, as it says itself; never trusted for authority. */
export interface ClientFacts {
  id: string;
  mode: string;
  version: string;
  platform: string;
}

/** Everything a handler gets besides its params. Authority comes from here, never from params. */
export interface MethodCall {
  readonly tenant: TenantScope;
  readonly principal: Principal;
  /** Who acts, for the record. */
  readonly actor: Actor;
  readonly requestId: string;
  readonly client: ClientFacts | null;
  /** Null when the call came by HTTP. */
  readonly connection: ConnectionHandle | null;
  /** Where the caller sees us, e.g. `https://creel.example`; made from the checked host. */
  readonly origin?: string | undefined;
  /** Aborted when the caller is gone. */
  readonly signal: AbortSignal;
  /** Send a first answer before the final one (the `agent` method answers twice). */
  respondEarly(payload: unknown): void;
}

/** What a call did, for the tenant's audit log. */
export interface AuditedAct {
  /** `thing.what_happened`. */
  action: string;
  target: { kind: string; id: string; name?: string | undefined } | null;
  /** Small, no secrets, no contents of conversations. */
  details?: Readonly<Record<string, unknown>>;
}

/** A declared method. */
export interface Method {
  readonly name: string;
  readonly scope: Scope | null;
  readonly params: z.ZodType;
  readonly result: z.ZodType;
  readonly cost: CostClass;
  readonly doc: string;
  /** What a call that succeeded did; null for nothing worth a record. Recorded before the answer. */
  audit?(params: unknown, result: unknown, call: MethodCall): AuditedAct | null;
  /** Whether the answer is made only after a change is on disk. */
  handler(params: unknown, call: MethodCall): Promise<unknown>;
}

/** Declare a method; params not in the schema are dropped before the handler sees them (PROTOCOL.md 10). */
export function defineMethod<Params extends z.ZodType, Result extends z.ZodType>(declaration: {
  name: string;
  /** The one scope a caller needs; null for none. */
  scope: Scope | null;
  params: Params;
  result: Result;
  cost: CostClass;
  doc: string;
  audit?(params: z.output<Params>, result: z.input<Result>, call: MethodCall): AuditedAct | null;
  handler(params: z.output<Params>, call: MethodCall): Promise<z.input<Result>>;
}): Method {
  return declaration as Method;
}

/** The methods of a gateway, by name. */
export class MethodRegistry {
  private readonly byName = new Map<string, Method>();

  constructor(groups: readonly (readonly Method[])[]) {
    for (const method of groups.flat()) {
      if (this.byName.has(method.name)) throw new Error(`method ${method.name} is declared twice`);
      this.byName.set(method.name, method);
    }
  }

  find(name: string): Method | undefined {
    return this.byName.get(name);
  }

  /** All methods by name, in alphabetical order. */
  list(): Method[] {
    return [...this.byName.values()].sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  get names(): string[] {
    return this.list().map((method) => method.name);
  }
}

/** Say what is wrong with params, in the words OpenClaw's gateway uses (PROTOCOL.md 4). */
export function describeIssues(issues: readonly z.core.$ZodIssue[]): string {
  const issue = issues[0];
  if (issue === undefined) return "invalid";
  if (issue.code === "invalid_type" && issue.input === undefined) {
    const where = issue.path.length > 1 ? `at ${pointer(issue.path.slice(0, -1))}: ` : "";
    return `${where}must have required property '${String(issue.path.at(-1) ?? "")}'`;
  }
  return `at ${issue.path.length === 0 ? "root" : pointer(issue.path)}: ${wording(issue)}`;
}

function pointer(path: readonly PropertyKey[]): string {
  return `/${path.map(String).join("/")}`;
}

function wording(issue: z.core.$ZodIssue): string {
  if (issue.code === "too_small" && issue.origin === "string") {
    return `must not have fewer than ${String(issue.minimum)} characters`;
  }
  if (issue.code === "too_big" && issue.origin === "string") {
    return `must not have more than ${String(issue.maximum)} characters`;
  }
  if (issue.code === "invalid_value") return "must be equal to one of the allowed values";
  if (issue.code === "invalid_type")
    return `must be ${issue.expected === "int" ? "integer" : issue.expected}`;
  return issue.message;
}

/** An object with known fields and perhaps more: the form of most results. */
export const looseResult = z.looseObject;
