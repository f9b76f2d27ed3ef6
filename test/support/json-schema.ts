/** As much of JSON Schema as the published protocol uses, to hold answers against it. Refuses to know: what is asserted. */

/** A schema, as far as it is understood here. */
export interface Schema {
  type?: string;
  const?: unknown;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  pattern?: string;
  required?: string[];
  properties?: Record<string, Schema>;
  additionalProperties?: boolean;
  items?: Schema;
  anyOf?: Schema[];
  allOf?: Schema[];
  not?: Schema;
}

/** What is wrong with a value, each with its place; empty when it fits. */
export function misfits(schema: Schema, value: unknown, at = "$"): string[] {
  const found: string[] = [];
  if (schema.type !== undefined && !isOfType(schema.type, value)) return [`${at}: not ${schema.type}`];
  if (schema.const !== undefined && value !== schema.const) found.push(`${at}: not ${String(schema.const)}`);
  if (typeof value === "number") {
    if (value < (schema.minimum ?? -Infinity) || value > (schema.maximum ?? Infinity))
      found.push(`${at}: out of range`);
  }
  if (typeof value === "string") {
    if (value.length < (schema.minLength ?? 0)) found.push(`${at}: too short`);
    if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(value))
      found.push(`${at}: other form`);
  }
  if (Array.isArray(value) && schema.items !== undefined) {
    for (const [index, one] of value.entries()) found.push(...misfits(schema.items, one, `${at}[${index}]`));
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    found.push(...ofObject(schema, value as Record<string, unknown>, at));
  if (schema.anyOf?.every((one) => misfits(one, value, at).length > 0))
    found.push(`${at}: fits none of ${schema.anyOf.length}`);
  for (const one of schema.allOf ?? []) found.push(...misfits(one, value, at));
  if (schema.not !== undefined && misfits(schema.not, value, at).length === 0)
    found.push(`${at}: fits what it must not`);
  return found;
}

function ofObject(schema: Schema, value: Record<string, unknown>, at: string): string[] {
  const found = (schema.required ?? [])
    .filter((name) => value[name] === undefined)
    .map((name) => `${at}: no ${name}`);
  for (const [name, inner] of Object.entries(value)) {
    const known = schema.properties?.[name];
    if (known !== undefined) found.push(...misfits(known, inner, `${at}.${name}`));
    else if (schema.additionalProperties === false) found.push(`${at}: ${name} is not in the schema`);
  }
  return found;
}

function isOfType(type: string, value: unknown): boolean {
  if (type === "array") return Array.isArray(value);
  if (type === "integer") return Number.isInteger(value);
  if (type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  return typeof value === type;
}
