/** docs/methods.md. Owns: how a declared method is written for a reader. Refuses to know: where methods come from. */
import type { Method } from "#src/protocol/methods.ts";
import { boundsText, cell, inputSchema, outputSchema, typeText } from "./schema-text.ts";

const COST_TEXT: Record<Method["cost"], string> = {
  free: "memory only",
  read: "a few rows",
  report: "adds up very many rows, counts five times",
  write: "a durable write",
  turn: "a run of the model",
};

/** The page about all methods. */
export function renderMethods(methods: readonly Method[]): string {
  const sorted = [...methods].sort((left, right) => (left.name < right.name ? -1 : 1));
  return [
    "# Methods",
    "",
    "Generated from the declarations by `npm run docs`; do not edit.",
    "",
    `Creel answers ${sorted.length} methods of OpenClaw gateway protocol v4, over WebSocket and as \`POST /rpc/<method>\`.`,
    "A caller needs the scope named; unknown params are dropped. Every method works within the caller's tenant only.",
    "",
    "| Method | Scope | Cost | |",
    "|---|---|---|---|",
    ...sorted.map(
      (method) =>
        `| [\`${method.name}\`](#${anchor(method.name)}) | ${scopeText(method)} | ${method.cost} | ${cell(method.doc)} |`,
    ),
    "",
    ...sorted.flatMap(renderMethod),
  ].join("\n");
}

function renderMethod(method: Method): string[] {
  return [
    `## ${method.name}`,
    "",
    method.doc,
    "",
    `Scope: ${scopeText(method)} · Cost: ${method.cost} (${COST_TEXT[method.cost]})`,
    "",
    ...renderParams(method),
    ...renderResult(method),
  ];
}

function renderParams(method: Method): string[] {
  const schema = inputSchema(method.params);
  const properties = Object.entries(schema.properties ?? {});
  if (properties.length === 0) return ["No params.", ""];
  const required = new Set(schema.required ?? []);
  return [
    "| Param | Type | Bounds |",
    "|---|---|---|",
    ...properties.map(([name, property]) => {
      const mark = required.has(name) ? " (required)" : "";
      return `| \`${name}\`${mark} | ${cell(typeText(property))} | ${cell(boundsText(property))} |`;
    }),
    "",
  ];
}

function renderResult(method: Method): string[] {
  const properties = Object.entries(outputSchema(method.result).properties ?? {});
  if (properties.length === 0) return [];
  const fields = properties.map(([name, property]) => `\`${name}\` (${typeText(property)})`);
  return [`Answers with ${fields.join(", ")}.`, ""];
}

function scopeText(method: Method): string {
  return method.scope === null ? "none" : `\`${method.scope}\``;
}

function anchor(name: string): string {
  return name.replaceAll(/[^a-z0-9_-]/gi, "").toLowerCase();
}
