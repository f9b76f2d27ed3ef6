/**
 * Protocol methods by HTTP: the same registry, the same checks. Owns: `POST /rpc/<method>` and `/openapi.json`.
 * Refuses to know: what methods do.
 */
import { z } from "zod";
import { AppError } from "../../kernel/errors.ts";
import type { MethodRegistry } from "../../protocol/methods.ts";
import { defineRoute, defineTenantRoute, type Route } from "../../protocol/routes.ts";
import { AuthorityEnded, type Dispatcher, UnknownMethod } from "../dispatch.ts";
import { makeOpenApi } from "./openapi.ts";

/** What the routes need. */
export interface RpcDeps {
  dispatcher: Dispatcher;
  registry: MethodRegistry;
  version: string;
  /** All declared routes, for the document. */
  routes(): readonly Route[];
}

/** Declare the routes. */
export function makeRpcRoutes(deps: RpcDeps): Route[] {
  return [
    defineTenantRoute({
      method: "POST",
      path: "/rpc/:method",
      servesReadOnly: true,
      scope: "operator.read",
      body: z.unknown(),
      doc: "Call a protocol method; the body is its params, the answer its result.",
      async handler(call) {
        try {
          const body = await deps.dispatcher.dispatch(call.params["method"] ?? "", call.body, {
            ...call,
            client: { id: "http", mode: "backend", version: "1", platform: "http" },
            connection: null,
            respondEarly: () => undefined,
          });
          return { status: 200, body: body ?? null };
        } catch (thrown) {
          if (thrown instanceof UnknownMethod) throw new AppError("not_found", thrown.message);
          if (thrown instanceof AuthorityEnded)
            throw new AppError("unauthenticated", "Access changed or was revoked.");
          throw thrown;
        }
      },
    }),
    defineRoute({
      method: "GET",
      path: "/openapi.json",
      policy: { kind: "public" },
      body: null,
      doc: "This API as an OpenAPI 3.1 document.",
      handler: async () => ({ status: 200, body: makeOpenApi(deps.registry, deps.routes(), deps.version) }),
    }),
  ];
}
