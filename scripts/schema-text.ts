/** A schema in words, for generated pages. Owns: how types and bounds are written. Refuses to know: pages. */
import { z } from "zod";

/** The parts of JSON Schema that our schemas come out as. */
export interface JsonSchema {
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
  additionalProperties?: JsonSchema | boolean;
  required?: string[];
  format?: string;
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  maxItems?: number;
}

/** What a caller may give for a schema; what JSON Schema cannot say (a transform) is left open. */
export function inputSchema(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchema;
}

/** What a schema lets out. */
export function outputSchema(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: "output", unrepresentable: "any" }) as JsonSchema;
}

/** The type in a few words, e.g. `list of text`. */
export function typeText(schema: JsonSchema): string {
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return [...new Set(choices.map(typeText))].join(" or ");
  if (schema.const !== undefined) return code(schema.const);
  if (schema.enum !== undefined) return schema.enum.map(code).join(" or ");
  if (Array.isArray(schema.type))
    return schema.type.map((type) => typeText({ ...schema, type })).join(" or ");
  if (schema.type === "array") return `list of ${typeText(schema.items ?? {})}`;
  if (schema.type === "object") return objectText(schema);
  const names: Record<string, string> = { string: "text", boolean: "true or false", null: "nothing" };
  return names[schema.type ?? ""] ?? schema.type ?? "anything";
}

function objectText(schema: JsonSchema): string {
  const names = Object.keys(schema.properties ?? {});
  if (names.length > 0) return `object with ${names.map((name) => `\`${name}\``).join(", ")}`;
  const values = schema.additionalProperties;
  return typeof values === "object" && Object.keys(values).length > 0
    ? `object by name, each ${typeText(values)}`
    : "object";
}

/** Bounds in a few words, e.g. `1 to 64 characters`; empty when there are none. */
export function boundsText(schema: JsonSchema): string {
  const { format, pattern } = schema;
  return [
    range(schema.minLength, schema.maxLength, "characters"),
    range(numberBound(schema.minimum), numberBound(schema.maximum), ""),
    range(schema.minItems, schema.maxItems, "entries"),
    format === undefined ? "" : format,
    pattern === undefined || format !== undefined ? "" : code(pattern),
  ]
    .filter((text) => text !== "")
    .join(", ");
}

/** JSON's own largest integers say nothing to a reader. */
function numberBound(bound: number | undefined): number | undefined {
  return bound !== undefined && Math.abs(bound) >= Number.MAX_SAFE_INTEGER ? undefined : bound;
}

function range(least: number | undefined, most: number | undefined, unit: string): string {
  if (least === 1 && most === undefined && unit === "characters") return "not empty";
  const text =
    least === undefined || least === 0
      ? most === undefined
        ? ""
        : `at most ${most}`
      : most === undefined
        ? `at least ${least}`
        : `${least} to ${most}`;
  return text === "" || unit === "" ? text : `${text} ${unit}`;
}

/** Text that can stand in a cell of a Markdown table. */
export function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll(/\s*\n\s*/g, " ");
}

function code(value: unknown): string {
  return `\`${typeof value === "string" ? value : JSON.stringify(value)}\``;
}
