/**
 * The HTTP server. Owns: Fastify, what every request goes through, declared routes, the form of errors.
 * Refuses to know: what routes do.
 */
import type { Server } from "node:http";
import { STATUS_CODES } from "node:http";
import { Readable } from "node:stream";
import fastifyCookie from "@fastify/cookie";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { equalConstantTime } from "../../kernel/crypto.ts";
import { AppError, type ErrorCode, toAppError } from "../../kernel/errors.ts";
import { newId } from "../../kernel/ids.ts";
import { parseUntrusted } from "../../kernel/json.ts";
import { LIMITS } from "../../kernel/limits.ts";
import type { Log } from "../../kernel/log.ts";
import { describeIssues } from "../../protocol/methods.ts";
import {
  type BrowserUser,
  type Route,
  type RouteAnswer,
  type RouteCall,
  STEP_UP_MS,
  type TenantRouteCall,
} from "../../protocol/routes.ts";
import { type Actor, actorOf } from "../../tenancy/actor.ts";
import { runInContext } from "../../tenancy/context.ts";
import type { TenantDoor } from "../../tenancy/scoped.ts";
import { allows } from "../../tenancy/scopes.ts";
import type { Ingress, IngressReader } from "../ingress.ts";
import { endBrokenLine } from "./broken-line.ts";
import {
  assertCanHoldSession,
  assertSameOrigin,
  type Callers,
  readBearer,
  readSessionCookie,
  sessionCookieName,
} from "./credentials.ts";

/** What the server needs. */
export interface ServerDeps {
  ingress: IngressReader;
  callers: Callers;
  door: TenantDoor;
  log: Log;
  metricsToken: string;
  /** Wall-clock time. */
  nowMs(): number;
}

declare module "fastify" {
  interface FastifyRequest {
    ingress: Ingress | null;
  }
}

const API_HEADERS = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "x-frame-options": "DENY",
};

/** See the head of this file. */
export class HttpServer {
  readonly fastify: FastifyInstance;
  private readonly deps: ServerDeps;

  constructor(deps: ServerDeps) {
    this.deps = deps;
    this.fastify = Fastify({
      logger: false,
      bodyLimit: LIMITS.bodyBytes,
      requestTimeout: 120_000,
      connectionTimeout: 0,
      keepAliveTimeout: 72_000,
      routerOptions: { maxParamLength: 256 },
      genReqId: () => newId(),
      requestIdHeader: false,
      exposeHeadRoutes: true,
      clientErrorHandler: (error, line) => endBrokenLine(error as { code?: string }, line),
      // Targets that cannot be decoded never reach a hook; they get the same form and headers as every answer.
      frameworkErrors: (thrown, request, reply) => {
        reply.headers({ ...API_HEADERS, "x-request-id": request.id });
        this.fail(thrown, request, reply);
      },
    });
    // SECURITY: Node leaves headers above a count out without a word, maybe the one that decides. All are read, as far
    // as their bytes are allowed, and the ingress refuses what is too many.
    this.fastify.server.maxHeadersCount = 0;
    this.prepare();
  }

  get server(): Server {
    return this.fastify.server;
  }

  /** Register declared routes; those of tenants also below `/t/<slug>`. */
  register(routes: readonly Route[]): void {
    for (const route of routes) {
      const handler = (request: FastifyRequest, reply: FastifyReply) => this.handle(route, request, reply);
      this.fastify.route({ method: route.method, url: route.path, handler });
      if (route.policy.kind === "tenant") {
        this.fastify.route({ method: route.method, url: `/t/:tenantSlug${route.path}`, handler });
      }
    }
  }

  private prepare(): void {
    const { fastify } = this;
    void fastify.register(fastifyCookie);
    fastify.decorateRequest("ingress", null);
    fastify.removeAllContentTypeParsers();
    fastify.addContentTypeParser("application/json", { parseAs: "string" }, (_request, body, done) => {
      try {
        done(null, body === "" ? undefined : parseUntrusted(String(body)));
      } catch (thrown) {
        done(toAppError(thrown));
      }
    });
    fastify.addHook("onRequest", async (request, reply) => {
      reply.headers({ ...API_HEADERS, "x-request-id": request.id });
      request.ingress = await this.deps.ingress.read(request.raw);
      if (request.ingress.peer.isSecure) reply.header("strict-transport-security", "max-age=31536000");
    });
    fastify.setErrorHandler((thrown, request, reply) => this.fail(thrown, request, reply));
    fastify.setNotFoundHandler(() => {
      throw new AppError("not_found", "There is nothing here.");
    });
  }

  private async handle(route: Route, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { ingress } = request;
    if (ingress === null) throw new AppError("internal", "The request was not looked at.");
    const call = this.call(request, reply, ingress);
    const answer = await this.authorised(route, request, ingress, call);
    return this.send(reply, ingress, answer);
  }

  /** Apply the route's policy, read the body, call the route. ORDER: strangers learn nothing of what it takes. */
  private async authorised(
    route: Route,
    request: FastifyRequest,
    ingress: Ingress,
    call: RouteCall<unknown>,
  ): Promise<RouteAnswer> {
    switch (route.policy.kind) {
      case "public":
        // SECURITY: also without a cookie: a foreign page must not sign a browser in as somebody else.
        if (call.sessionCookie !== null || call.headers["origin"] !== undefined)
          assertSameOrigin(request.raw, ingress);
        // ORDER: before the handler, which would use a sign-in link up for a session that cannot be held.
        if (route.method !== "GET") assertCanHoldSession(ingress);
        return route.handler({ ...call, body: readBody(route, request) });
      case "metrics":
        if (!equalConstantTime(readBearer(request.raw) ?? "", this.deps.metricsToken)) {
          throw new AppError(
            "unauthenticated",
            "Metrics need their own token, see `metrics-token` in the state folder.",
          );
        }
        return route.handler({ ...call, body: readBody(route, request) });
      case "browser": {
        const user = await this.deps.callers.user(request.raw, ingress);
        if (user === null) throw new AppError("unauthenticated", "Sign in first.");
        assertSameOrigin(request.raw, ingress);
        if (route.policy.isStepUp === true) this.assertFresh(user);
        const actor = personActor("person", user, call);
        return route.handler({ ...call, body: readBody(route, request), user, actor });
      }
      case "operator": {
        const user = await this.deps.callers.user(request.raw, ingress);
        if (user === null) throw new AppError("unauthenticated", "Sign in first.");
        assertSameOrigin(request.raw, ingress);
        // SECURITY: whoever is no operator sees no more than that there is nothing.
        if (!user.isOperator) throw new AppError("not_found", "There is nothing here.");
        if (route.policy.isStepUp === true) this.assertFresh(user);
        const actor = personActor("operator", user, call);
        return route.handler({ ...call, body: readBody(route, request), user, actor });
      }
      case "tenant": {
        const caller = await this.deps.callers.inTenant(request.raw, ingress);
        const { principal } = caller;
        if (!allows(principal.scopes, route.policy.scope)) {
          throw new AppError("forbidden", `missing scope: ${route.policy.scope}`);
        }
        if (route.policy.isStepUp === true) this.assertFresh(caller.user);
        const tenant = this.deps.door.scope(caller.tenant);
        const body = readBody(route, request);
        const actor = actorOf(principal, { address: call.address, requestId: call.requestId });
        const full: TenantRouteCall<unknown> = { ...call, body, tenant, principal, actor, user: caller.user };
        const context = { tenantId: tenant.tenantId, principal, requestId: request.id };
        return runInContext(context, () => route.handler(full));
      }
      default:
        return route.policy satisfies never;
    }
  }

  private call(request: FastifyRequest, reply: FastifyReply, ingress: Ingress): RouteCall<unknown> {
    const gone = new AbortController();
    reply.raw.on("close", () => gone.abort());
    return {
      requestId: request.id,
      body: undefined,
      params: request.params as Record<string, string>,
      query: onlyTexts(request.query as Record<string, unknown>),
      headers: onlyTexts(request.headers),
      address: ingress.peer.address,
      origin: ingress.origin,
      isSecure: ingress.peer.isSecure,
      signal: gone.signal,
      user: null,
      sessionCookie: readSessionCookie(request.raw, ingress),
      actor: null,
    };
  }

  /** Refuse an act that cannot be undone to whoever did not just prove who they are. */
  private assertFresh(user: BrowserUser | null): void {
    if (user !== null && this.deps.nowMs() - user.authAtMs <= STEP_UP_MS) return;
    throw new AppError("step_up_required", "Sign in once more to confirm that it is you.", {
      details: { maxAgeMs: STEP_UP_MS },
    });
  }

  private send(reply: FastifyReply, ingress: Ingress, answer: RouteAnswer): FastifyReply {
    reply.status(answer.status).headers({ ...answer.headers });
    if (answer.sessionCookie !== undefined) setSessionCookie(reply, ingress, answer.sessionCookie);
    if (answer.stream !== undefined) {
      reply.header("content-type", answer.contentType ?? "text/event-stream");
      return reply.send(Readable.from(answer.stream));
    }
    if (answer.body === undefined) return reply.send();
    if (answer.contentType !== undefined)
      return reply.header("content-type", answer.contentType).send(answer.body);
    return reply.header("content-type", "application/json; charset=utf-8").send(JSON.stringify(answer.body));
  }

  private fail(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const error = fromFastify(thrown);
    this.deps.log[error.rule.level](
      { err: error, requestId: request.id, path: request.url.slice(0, 200) },
      "a request failed",
    );
    if (error.retryAfterMs !== undefined)
      reply.header("retry-after", String(Math.ceil(error.retryAfterMs / 1_000)));
    if (error.rule.status === 401) reply.header("www-authenticate", "Bearer");
    reply
      .status(error.rule.status === 499 ? 400 : error.rule.status)
      .header("content-type", "application/json; charset=utf-8")
      .send(JSON.stringify(errorBody(error, request.id)));
  }
}

function personActor(kind: "person" | "operator", user: BrowserUser, call: RouteCall<unknown>): Actor {
  const { userId, displayName, sessionId } = user;
  const { address, requestId } = call;
  const credential = { kind: "browser_session", id: sessionId };
  return { kind, id: userId, name: displayName, role: null, credential, address, requestId };
}

function readBody(route: Route, request: FastifyRequest): unknown {
  const parsed = route.body?.safeParse(request.body);
  if (parsed === undefined || parsed.success) return parsed?.data;
  throw new AppError("invalid_request", `invalid body: ${describeIssues(parsed.error.issues)}`);
}

/** The one form of errors by HTTP; `type` is for OpenAI's clients. */
export function errorBody(error: AppError, requestId: string): Record<string, unknown> {
  const type = error.rule.status >= 500 ? "server_error" : "invalid_request_error";
  const details = error.details === undefined ? {} : { details: error.details };
  return { error: { code: error.code, type, message: error.publicMessage, requestId, ...details } };
}

function setSessionCookie(
  reply: FastifyReply,
  ingress: Ingress,
  cookie: NonNullable<RouteAnswer["sessionCookie"]> | null,
): void {
  const name = sessionCookieName(ingress);
  const options = { path: "/", httpOnly: true, secure: ingress.peer.isSecure, sameSite: "lax" } as const;
  if (cookie === null) reply.clearCookie(name, options);
  else reply.setCookie(name, cookie.value, { ...options, maxAge: Math.floor(cookie.maxAgeMs / 1_000) });
}

const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: "invalid_request",
  404: "not_found",
  405: "method_not_allowed",
  413: "too_large",
  415: "invalid_request",
};

function fromFastify(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  const status = (thrown as { statusCode?: unknown }).statusCode;
  const code = typeof status === "number" ? BY_STATUS[status] : undefined;
  if (code === undefined) return toAppError(thrown);
  return new AppError(code, STATUS_CODES[Number(status)] ?? "The request is not valid.", { cause: thrown });
}

function onlyTexts(values: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}
