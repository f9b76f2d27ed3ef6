/**
 * The HTTP surface as an OpenAPI 3.1 document, made from the declarations. Owns: that translation.
 * Refuses to know: what is declared.
 */
import { z } from "zod";
import type { Method, MethodRegistry } from "../../protocol/methods.ts";
import type { Route } from "../../protocol/routes.ts";

/** Make the document (OpenAPI 3.1.1, whose schemas are JSON Schema 2020-12). */
export function makeOpenApi(
  registry: MethodRegistry,
  routes: readonly Route[],
  version: string,
): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    if (route.path === "/rpc/:method") continue;
    const path = route.path.replace(/:([A-Za-z]+)/g, "{$1}");
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: routeOperation(route) };
  }
  for (const method of registry.list()) paths[`/rpc/${method.name}`] = { post: methodOperation(method) };
  return {
    openapi: "3.1.1",
    info: { title: "Creel", version, description: "A tenant-aware OpenClaw gateway." },
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer", description: "A tenant's API token." } },
      schemas: { Error: ERROR_SCHEMA },
    },
    paths,
  };
}

const ERROR_SCHEMA = {
  type: "object",
  required: ["error"],
  properties: {
    error: {
      type: "object",
      required: ["code", "type", "message", "requestId"],
      properties: {
        code: { type: "string" },
        type: { type: "string" },
        message: { type: "string" },
        requestId: { type: "string" },
        details: { type: "object" },
      },
    },
  },
};

function routeOperation(route: Route): Record<string, unknown> {
  const names = [...route.path.matchAll(/:([A-Za-z]+)/g)].map((match) => match[1] ?? "");
  return {
    summary: route.doc,
    ...(names.length === 0 ? {} : { parameters: names.map(pathParameter) }),
    ...(route.policy.kind === "tenant" ? { security: [{ token: [] }], "x-scope": route.policy.scope } : {}),
    ...(route.body === null ? {} : { requestBody: jsonBody(route.body) }),
    responses: { "200": { description: "Done." }, default: ERROR_ANSWER },
  };
}

function methodOperation(method: Method): Record<string, unknown> {
  return {
    operationId: method.name,
    summary: method.doc,
    security: [{ token: [] }],
    ...(method.scope === null ? {} : { "x-scope": method.scope }),
    "x-cost": method.cost,
    requestBody: jsonBody(method.params),
    responses: {
      "200": {
        description: "The result.",
        content: { "application/json": { schema: toSchema(method.result) } },
      },
      default: ERROR_ANSWER,
    },
  };
}

const ERROR_ANSWER = {
  description: "What went wrong.",
  content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
};

function pathParameter(name: string): Record<string, unknown> {
  return { name, in: "path", required: true, schema: { type: "string" } };
}

function jsonBody(schema: z.ZodType): Record<string, unknown> {
  return { content: { "application/json": { schema: toSchema(schema) } } };
}

function toSchema(schema: z.ZodType): unknown {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { unrepresentable: "any", io: "input" });
  return rest;
}
