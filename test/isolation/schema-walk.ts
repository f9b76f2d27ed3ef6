/**
 * What a params schema asks for, found by walking its JSON Schema. Owns: leaves and examples.
 * Refuses to know: which values are whose.
 */
import { z } from "zod";

/** The parts of JSON Schema that zod makes of our declarations. */
export interface JsonSchema {
  type?: string | string[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  enum?: unknown[];
  const?: unknown;
  pattern?: string;
  minLength?: number;
  minItems?: number;
  minimum?: number;
  additionalProperties?: JsonSchema | boolean;
  propertyNames?: JsonSchema;
}

/** A step into a value: a property, any element of an array, the name or the value of a free-form property. */
export type Step = string | { kind: "element" } | { kind: "name" } | { kind: "value" };

/** A place where a caller can put a text or a number. */
export interface Leaf {
  steps: Step[];
  /** Like `attachments[].content`, for people and for looking up what belongs there. */
  label: string;
  /** The nearest property name. */
  name: string;
  isText: boolean;
  schema: JsonSchema;
}

/** The schema of what may be sent. */
export function toInputSchema(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchema;
}

/** All leaves, at any depth. */
export function leavesOf(schema: JsonSchema, steps: Step[] = []): Leaf[] {
  if (schema.anyOf !== undefined) {
    const all = schema.anyOf.flatMap((one) => leavesOf(one, steps));
    return all.filter((leaf, index) => all.findIndex((other) => other.label === leaf.label) === index);
  }
  if (schema.type === "object") return objectLeaves(schema, steps);
  if (schema.type === "array") return leavesOf(schema.items ?? {}, [...steps, { kind: "element" }]);
  if (schema.type === "boolean" || schema.type === "null") return [];
  return [toLeaf(schema, steps)];
}

function objectLeaves(schema: JsonSchema, steps: Step[]): Leaf[] {
  const named = Object.entries(schema.properties ?? {}).flatMap(([name, one]) =>
    leavesOf(one, [...steps, name]),
  );
  const free = schema.additionalProperties;
  if (schema.propertyNames === undefined || typeof free !== "object") return named;
  return [
    ...named,
    toLeaf(schema.propertyNames, [...steps, { kind: "name" }]),
    ...leavesOf(free, [...steps, { kind: "value" }]),
  ];
}

function toLeaf(schema: JsonSchema, steps: Step[]): Leaf {
  const label = steps
    .map((step) =>
      typeof step === "string" ? `.${step}` : { element: "[]", name: "{}", value: "{=}" }[step.kind],
    )
    .join("")
    .replace(/^\./, "");
  const name = steps.findLast((step): step is string => typeof step === "string") ?? "";
  return { steps, label, name, isText: schema.type !== "integer" && schema.type !== "number", schema };
}

/** An example that should pass; `textFor` gives texts by the label of their leaf. */
export function exampleOf(schema: JsonSchema, textFor: (leaf: Leaf) => unknown, steps: Step[] = []): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return schema.enum[0];
  const [first] = schema.anyOf ?? [];
  if (first !== undefined) return exampleOf(first, textFor, steps);
  if (schema.type === "object") {
    const required = (schema.required ?? []).map((name) => [
      name,
      exampleOf(schema.properties?.[name] ?? {}, textFor, [...steps, name]),
    ]);
    return Object.fromEntries(required) as Record<string, unknown>;
  }
  if (schema.type === "array") {
    const count = schema.minItems ?? 0;
    return Array.from({ length: count }, () =>
      exampleOf(schema.items ?? {}, textFor, [...steps, { kind: "element" }]),
    );
  }
  if (schema.type === "boolean") return false;
  if (schema.type === "null") return null;
  if (schema.type === "integer" || schema.type === "number") return Math.max(0, schema.minimum ?? 0);
  return textFor(toLeaf(schema, steps));
}

/** A copy of `base` with `value` at a leaf; what lies between is made. */
export function withValue(base: unknown, steps: readonly Step[], value: unknown): unknown {
  const [step, ...rest] = steps;
  if (step === undefined) return value;
  if (typeof step === "string") {
    const object = typeof base === "object" && base !== null && !Array.isArray(base) ? base : {};
    const inner = (object as Record<string, unknown>)[step];
    return { ...object, [step]: withValue(inner, rest, value) };
  }
  if (step.kind === "element") return [withValue(Array.isArray(base) ? base[0] : undefined, rest, value)];
  // Through JSON, so that "__proto__" becomes a key like any other.
  if (step.kind === "name") {
    return typeof value === "string" ? JSON.parse(`{${JSON.stringify(value)}:"x"}`) : value;
  }
  return { "some-key": withValue(undefined, rest, value) };
}
