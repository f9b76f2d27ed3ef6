/**
 * Our params against the reference's: the schema that OpenClaw publishes, and requests that its clients really sent
 * (test/contracts/recorded-requests.json, one of each form, recorded on the wire and trimmed).
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { describeMethods } from "#src/app/surface.ts";
import { readConnectParams } from "#src/auth/handshake/connect-params.ts";
import recorded from "./recorded-requests.json" with { type: "json" };

interface Schema {
  type?: string | string[];
  $ref?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  anyOf?: Schema[];
  allOf?: Schema[];
  oneOf?: Schema[];
  enum?: unknown[];
  const?: unknown;
  maxLength?: number;
  minLength?: number;
  minimum?: number;
  maximum?: number;
  items?: Schema;
}

const { definitions } = JSON.parse(
  readFileSync(
    new URL("../../node_modules/@openclaw/gateway-protocol/protocol.schema.json", import.meta.url),
    "utf8",
  ),
) as { definitions: Record<string, Schema> };

/** Definitions that are not named after their method. */
const NAMED_OTHERWISE: Readonly<Record<string, string>> = { "agent.identity.get": "AgentIdentityParams" };

/** What we take beyond the published schema, each with its reason. */
const ADDITIONS: Readonly<Record<string, readonly string[]>> = {
  // OpenClaw keeps an agent's tools in the host's configuration file; here they are the tenant's to set.
  "agents.create": ["tools"],
  "agents.update": ["tools"],
  // Sent by clients that are newer than the published schema.
  "chat.history": ["maxBytes"],
  "sessions.describe": ["agentId"],
  "sessions.resolve": ["reference"],
  "sessions.usage": ["creatorKey"],
};

/** Values of the reference that we refuse, each with its reason. */
const NARROWER: Readonly<Record<string, string>> = {
  "models.authStatus.agentId: longer than 0": "an agent without a name is nobody's",
};

const METHODS = describeMethods();

function definitionOf(method: string): Schema | undefined {
  const words = method.split(".").map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  return definitions[NAMED_OTHERWISE[method] ?? `${words.join("")}Params`];
}

const DEFINED = METHODS.flatMap((method) => {
  const definition = definitionOf(method.name);
  return definition === undefined ? [] : [[method.name, method, definition] as const];
});

function resolved(schema: Schema): Schema {
  const name = /([^/]+)$/.exec(schema.$ref ?? "")?.[1];
  return name === undefined ? schema : resolved(definitions[name] ?? {});
}

/** The parts that a schema may be: alternatives are all looked at. */
function parts(schema: Schema): Schema[] {
  const one = resolved(schema);
  const inner = [...(one.anyOf ?? []), ...(one.oneOf ?? []), ...(one.allOf ?? [])];
  return inner.length === 0
    ? [one]
    : [...(one.properties === undefined ? [] : [one]), ...inner.flatMap(parts)];
}

function propertiesOf(schema: Schema): Record<string, Schema> {
  return Object.assign({}, ...parts(schema).map((part) => part.properties ?? {})) as Record<string, Schema>;
}

function requiredOf(schema: Schema): string[] {
  const [first = [], ...rest] = parts(schema).map((part) => part.required ?? []);
  return first.filter((name) => rest.every((names) => names.includes(name))).sort();
}

function typesOf(schema: Schema): string[] {
  const named = parts(schema).flatMap((part) => {
    if (part.type !== undefined) return part.type;
    const values = part.enum ?? (part.const === undefined ? [] : [part.const]);
    return values.map((value) => (value === null ? "null" : typeof value));
  });
  return [...new Set(named)].sort();
}

function valuesOf(schema: Schema): unknown[] | undefined {
  const all = parts(schema);
  const listed = all.map((part) => part.enum ?? (part.const === undefined ? undefined : [part.const]));
  return listed.every((one) => one !== undefined) ? listed.flat() : undefined;
}

/** What the reference lets through at a property and we do not. */
function refusals(where: string, ours: Schema, theirs: Schema): string[] {
  const found: string[] = [];
  const types = typesOf(ours);
  if (types.length > 0) {
    const missing = typesOf(theirs).filter(
      (type) => !types.includes(type) && !(type === "integer" && types.includes("number")),
    );
    if (missing.length > 0) found.push(`${where}: takes no ${missing.join(", ")}`);
  }
  const values = valuesOf(ours);
  const allowed = valuesOf(theirs);
  if (values !== undefined) {
    const missing = allowed?.filter((value) => !values.includes(value)) ?? ["any text"];
    if (missing.length > 0) found.push(`${where}: takes not ${missing.map(String).join(", ")}`);
  }
  for (const [mine, other] of [[parts(ours)[0], parts(theirs)[0]]]) {
    if ((mine?.maxLength ?? Infinity) < (other?.maxLength ?? 0))
      found.push(`${where}: shorter than ${other?.maxLength}`);
    if ((mine?.minLength ?? 0) > (other?.minLength ?? 0))
      found.push(`${where}: longer than ${other?.minLength ?? 0}`);
    if ((mine?.minimum ?? -Infinity) > (other?.minimum ?? -Infinity))
      found.push(`${where}: from ${mine?.minimum}`);
    if ((mine?.maximum ?? Infinity) < (other?.maximum ?? Number.MIN_SAFE_INTEGER))
      found.push(`${where}: up to ${mine?.maximum}`);
  }
  return found;
}

describe("the published schema", () => {
  it("is the one we compare with, and knows most of our methods", () => {
    expect(Object.keys(definitions).length).toBeGreaterThan(500);
    expect(DEFINED.length).toBeGreaterThan(35);
  });

  it.each(DEFINED)("%s: every property of ours is one of its", (name, method, definition) => {
    const ours = propertiesOf(
      z.toJSONSchema(method.params, { io: "input", unrepresentable: "any" }) as Schema,
    );
    const known = propertiesOf(definition);
    const unknown = Object.keys(ours).filter((property) => !(property in known));
    expect(unknown.sort()).toEqual([...(ADDITIONS[name] ?? [])].sort());
  });

  it.each(DEFINED)("%s: what it requires, we require, and nothing else", (_name, method, definition) => {
    const ours = requiredOf(z.toJSONSchema(method.params, { io: "input", unrepresentable: "any" }) as Schema);
    const theirs = requiredOf(definition);
    expect(ours).toEqual(theirs);
  });

  it("allows nothing that we refuse, but what is listed", () => {
    const found = DEFINED.flatMap(([name, method, definition]) => {
      const ours = propertiesOf(
        z.toJSONSchema(method.params, { io: "input", unrepresentable: "any" }) as Schema,
      );
      const known = propertiesOf(definition);
      return Object.entries(ours).flatMap(([property, schema]) =>
        property in known ? refusals(`${name}.${property}`, schema, known[property] ?? {}) : [],
      );
    });
    expect(found.filter((one) => !(one in NARROWER))).toEqual([]);
    expect(Object.keys(NARROWER).filter((one) => !found.includes(one))).toEqual([]);
  });
});

describe("requests that clients sent", () => {
  it("are of every client, and of most of our methods", () => {
    expect(new Set(recorded.map((one) => one.client))).toEqual(
      new Set(["gateway-client", "cli", "tui", "control-ui"]),
    );
    expect(new Set(recorded.map((one) => one.method)).size).toBeGreaterThan(25);
  });

  it.each(recorded.map((one) => [`${one.method} of ${one.client}`, one] as const))(
    "%s is accepted",
    (_what, one) => {
      const params = (one as { params?: unknown }).params;
      if (one.method === "connect") {
        expect(readConnectParams(params)).toMatchObject({ ok: true, protocol: 4 });
        return;
      }
      const method = METHODS.find(({ name }) => name === one.method);
      const parsed = method?.params.safeParse(params ?? {});
      expect(parsed?.error?.issues ?? []).toEqual([]);
      expect(parsed?.success).toBe(true);
    },
  );
});
