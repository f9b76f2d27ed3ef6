/**
 * The HTTP server. Owns: Fastify, what every request goes through, declared routes, the form of errors.
 * Refuses to know: what routes do.
 */
import type { Server } from "node:http";
import { STATUS_CODES } from "node:http";
import { Readable } from "node:stream";
import fastifyCookie from "@fastify/cookie";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Acts } from "../../audit/recording/acts.ts";
import type { Denials } from "../../audit/recording/denials.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError, type ErrorCode, toAppError } from "../../kernel/errors.ts";
import { newId } from "../../kernel/ids.ts";
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
import { actorOf } from "../../tenancy/actor.ts";
import { runInContext } from "../../tenancy/context.ts";
import type { TenantDoor } from "../../tenancy/scoped.ts";
import { allows } from "../../tenancy/scopes.ts";
import { assertRouteReached } from "../agent-limits.ts";
import { logFailure } from "../failure-log.ts";
import type { Ingress, IngressReader } from "../ingress.ts";
import { assertMayCall, type LookRecorder } from "../read-only.ts";
import { limitHeaders, OverLimit } from "../traffic/traffic.ts";
import type { Bodies } from "./bodies.ts";
import { endBrokenLine } from "./broken-line.ts";
import { readPurposeCookie, setPurposeCookies } from "./cookies.ts";
import { readSessionCookie, sessionCookieName } from "./credentials.ts";
import { type Entrance, type Entry, nameOf, type TenantEntry } from "./entrance.ts";
import type { OpenCall, OpenCalls } from "./open-calls.ts";
import { endUnread } from "./unread-body.ts";

/** What the server needs. */
export interface ServerDeps {
  ingress: IngressReader;
  entrance: Entrance;
  bodies: Bodies;
  door: TenantDoor;
  clock: Clock;
  log: Log;
  acts: Acts;
  denials: Denials;
  /** A request was refused with this code. */
  onRefused(code: ErrorCode): void;
  noteLook: LookRecorder;
  calls: OpenCalls;
}

declare module "fastify" {
  interface FastifyRequest {
    ingress: Ingress | null;
    /** Who was let in; null before, and for pages. */
    entry: Entry | null;
    /** Ends when the caller leaves, or has the answer. */
    gone: AbortController | null;
    /** Gives the room of a large body to the next. */
    leaveRoom: (() => void) | null;
  }
  interface FastifyContextConfig {
    route?: Route;
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

/** Bodies are read by zod. Fastify's own compilers (ajv, fast-json-stringify) are not even loaded: 40 ms and 3 MB. */
function noSchemas(): never {
  throw new AppError("internal", "Routes have no JSON schemas.");
}

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
      schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
      clientErrorHandler: (error, line) => endBrokenLine(error as { code?: string }, line),
      // Targets that cannot be decoded never reach a hook; they get the same form and headers as every answer.
      frameworkErrors: (thrown, request, reply) => {
        reply.headers({ ...API_HEADERS, "x-request-id": request.id });
        this.sendError(fromFastify(thrown), request, reply);
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
      const bodyLimit = route.policy.kind === "public" ? LIMITS.strangerBodyBytes : LIMITS.bodyBytes;
      const shared = { method: route.method, config: { route }, bodyLimit, handler };
      this.fastify.route({ url: route.path, ...shared });
      if (route.policy.kind === "tenant")
        this.fastify.route({ url: `/t/:tenantSlug${route.path}`, ...shared });
    }
  }

  private prepare(): void {
    const { fastify } = this;
    void fastify.register(fastifyCookie);
    for (const name of ["ingress", "entry", "gone", "leaveRoom"]) fastify.decorateRequest(name, null);
    this.deps.bodies.register(fastify);
    fastify.addHook("onRequest", async (request, reply) => {
      reply.headers({ ...API_HEADERS, "x-request-id": request.id });
      const gone = new AbortController();
      request.gone = gone;
      reply.raw.on("close", () => gone.abort());
      const ingress = await this.deps.ingress.read(request.raw);
      request.ingress = ingress;
      if (ingress.peer.isSecure) reply.header("strict-transport-security", "max-age=31536000");
      // ORDER: before the body, of which nobody will read anything.
      if (request.is404) throw new AppError("not_found", "There is nothing here.");
      const { route } = request.routeOptions.config;
      if (route !== undefined) request.entry = await this.deps.entrance.enter(route, request, reply, ingress);
    });
    fastify.addHook("onSend", (request, reply, payload, done) => {
      endUnread(request.raw, reply.raw, this.deps.clock);
      done(null, payload);
    });
    fastify.setErrorHandler(async (thrown, request, reply) => {
      const error = await this.countStranger(fromFastify(thrown), request);
      return this.sendError(error, request, reply);
    });
    fastify.setNotFoundHandler(() => {
      throw new AppError("not_found", "There is nothing here.");
    });
  }

  private async handle(route: Route, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { ingress, entry, gone } = request;
    if (ingress === null || entry === null || gone === null)
      throw new AppError("internal", "The request was not looked at.");
    const call = this.call(request, gone.signal, ingress);
    switch (entry.kind) {
      case "open":
        return this.send(reply, ingress, await route.handler({ ...call, body: readBody(route, request) }));
      case "person": {
        const { user, actor } = entry;
        const answer = await this.deps.denials.watch("platform", actor, nameOf(route), async () => {
          if ("isStepUp" in route.policy && route.policy.isStepUp === true) this.assertFresh(user);
          return route.handler({ ...call, body: readBody(route, request), user, actor });
        });
        return this.send(reply, ingress, answer);
      }
      case "tenant": {
        const known = await this.deps.entrance.lookAgain(route, request, ingress, entry);
        return this.send(reply, ingress, await this.asCaller(route, request, call, known, gone));
      }
      default:
        return entry satisfies never;
    }
  }

  /** Call a tenant's route in its caller's own context. */
  private asCaller(
    route: Route,
    request: FastifyRequest,
    call: RouteCall<unknown>,
    { caller, epoch }: TenantEntry,
    gone: AbortController,
  ): Promise<RouteAnswer> {
    const { principal, user } = caller;
    // ORDER: before the call counts as open; nobody would tell it again that its caller left.
    if (gone.signal.aborted) throw new AppError("aborted", "The caller left.");
    const open = this.deps.calls.begin(principal, epoch, () => gone.abort());
    gone.signal.addEventListener("abort", () => open.end(), { once: true });
    const tenant = this.deps.door.scope(caller.tenant);
    const actor = actorOf(principal, { address: call.address, requestId: call.requestId });
    const context = { tenantId: tenant.tenantId, principal, requestId: request.id };
    return runInContext(context, () =>
      this.deps.denials.watch(tenant, actor, nameOf(route), async () => {
        const known = { ...call, tenant, principal, actor, user };
        return stillTheirs(route, open, await this.inTenant(route, request, known));
      }),
    );
  }

  /** What follows once it is known who calls in which tenant. */
  private async inTenant(
    route: Route,
    request: FastifyRequest,
    known: TenantRouteCall<unknown>,
  ): Promise<RouteAnswer> {
    const { policy } = route;
    if (policy.kind !== "tenant") throw new AppError("internal", "The route is not one of a tenant.");
    const { principal } = known;
    assertMayCall(principal, policy.scope, route.method !== "GET" && policy.servesReadOnly !== true);
    if (!allows(principal.scopes, policy.scope)) {
      const details = { missingScope: policy.scope };
      throw new AppError("forbidden", `missing scope: ${policy.scope}`, { details });
    }
    assertRouteReached(principal, route.path);
    if (policy.isStepUp === true) this.assertFresh(known.user);
    const call = { ...known, body: readBody(route, request) };
    // A call of a method is noted where it is dispatched.
    if (principal.credential.kind === "break_glass" && route.path !== "/rpc/:method")
      await this.deps.noteLook(principal, nameOf(route).name);
    const answer = await route.handler(call);
    const act = route.audit?.(call, answer) ?? null;
    // ORDER: on record before the caller is told that it is done.
    if (act !== null) await this.deps.acts.done(call.tenant, call.actor, act);
    return answer;
  }

  private call(request: FastifyRequest, signal: AbortSignal, ingress: Ingress): RouteCall<unknown> {
    return {
      requestId: request.id,
      body: undefined,
      params: request.params as Record<string, string>,
      query: onlyTexts(request.query as Record<string, unknown>),
      headers: onlyTexts(request.headers),
      address: ingress.peer.address,
      origin: ingress.origin,
      isSecure: ingress.peer.isSecure,
      signal,
      user: null,
      hostTenant: ingress.hostTenant,
      cookie: (purpose) => readPurposeCookie(request.raw, ingress, purpose),
      sessionCookie: readSessionCookie(request.raw, ingress),
      actor: null,
    };
  }

  /** Refuse an act that cannot be undone to whoever did not just prove who they are. */
  private assertFresh(user: BrowserUser | null): void {
    if (user !== null && this.deps.clock.nowMs() - user.authAtMs <= STEP_UP_MS) return;
    throw new AppError("step_up_required", "Sign in once more to confirm that it is you.", {
      details: { maxAgeMs: STEP_UP_MS },
    });
  }

  private send(reply: FastifyReply, ingress: Ingress, answer: RouteAnswer): FastifyReply {
    reply.status(answer.status).headers({ ...answer.headers });
    if (answer.sessionCookie !== undefined) setSessionCookie(reply, ingress, answer.sessionCookie);
    if (answer.cookies !== undefined) setPurposeCookies(reply, ingress, answer.cookies);
    if (answer.stream !== undefined) {
      reply.header("content-type", answer.contentType ?? "text/event-stream");
      return reply.send(Readable.from(answer.stream));
    }
    if (answer.body === undefined) return reply.send();
    if (answer.contentType !== undefined)
      return reply.header("content-type", answer.contentType).send(answer.body);
    return reply.header("content-type", "application/json; charset=utf-8").send(JSON.stringify(answer.body));
  }

  /** What is answered: the error, or that of a stranger who has had too many. */
  private async countStranger(error: AppError, request: FastifyRequest): Promise<AppError> {
    const { ingress, entry } = request;
    if (entry !== null || ingress === null) return error;
    return this.deps.entrance.countStranger(error, ingress).then(() => error, toAppError);
  }

  private sendError(error: AppError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    this.deps.onRefused(error.code);
    logFailure(this.deps.log, error, {
      requestId: request.id,
      path: request.url.split("?", 1)[0]?.slice(0, 200),
    });
    if (error instanceof OverLimit) reply.headers(limitHeaders(error.allowance));
    if (error.retryAfterMs !== undefined)
      reply.header("retry-after", String(Math.ceil(error.retryAfterMs / 1_000)));
    if (error.rule.status === 401) reply.header("www-authenticate", "Bearer");
    return reply
      .status(error.rule.status === 499 ? 400 : error.rule.status)
      .header("content-type", "application/json; charset=utf-8")
      .send(JSON.stringify(errorBody(error, request.id)));
  }
}

/** An answer leaves only while its caller's authority stands; a stream looks again before each piece. */
async function stillTheirs(route: Route, open: OpenCall, answer: RouteAnswer): Promise<RouteAnswer> {
  // Whoever leaves, or revokes what they came with, is told that it is done; there is nothing to read in that.
  const isAct = route.method !== "GET" && /^\/(api|auth)\//.test(route.path);
  if (!isAct) await open.assertStands();
  return answer.stream === undefined ? answer : { ...answer, stream: open.guard(answer.stream) };
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
