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
import type { Epochs } from "../../auth/guard/epochs.ts";
import { equalConstantTime } from "../../kernel/crypto.ts";
import { AppError, type ErrorCode, toAppError } from "../../kernel/errors.ts";
import { newId } from "../../kernel/ids.ts";
import { parseUntrusted } from "../../kernel/json.ts";
import { LIMITS } from "../../kernel/limits.ts";
import type { Log } from "../../kernel/log.ts";
import { type CostClass, describeIssues } from "../../protocol/methods.ts";
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
import { assertRouteReached } from "../agent-limits.ts";
import { logFailure } from "../failure-log.ts";
import type { Ingress, IngressReader } from "../ingress.ts";
import { assertMayCall, type LookRecorder } from "../read-only.ts";
import { limitHeaders, OverLimit, type Traffic } from "../traffic/traffic.ts";
import { endBrokenLine } from "./broken-line.ts";
import { parseForm, readPurposeCookie, setPurposeCookies } from "./cookies.ts";
import {
  assertCanHoldSession,
  assertSameOrigin,
  type Callers,
  ForeignTenant,
  readBearer,
  readSessionCookie,
  sessionCookieName,
  type TenantCaller,
} from "./credentials.ts";
import type { OpenCall, OpenCalls } from "./open-calls.ts";

/** What the server needs. */
export interface ServerDeps {
  ingress: IngressReader;
  callers: Callers;
  door: TenantDoor;
  log: Log;
  acts: Acts;
  denials: Denials;
  /** A request was refused with this code. */
  onRefused(code: ErrorCode): void;
  noteLook: LookRecorder;
  epochs: Epochs;
  calls: OpenCalls;
  metricsToken: string;
  traffic: Traffic;
  /** What a call of a route costs; `name` is that of the method that it calls, if it calls one. */
  costOf(route: Route, name: string | undefined): CostClass;
  /** Wall-clock time. */
  nowMs(): number;
}

declare module "fastify" {
  interface FastifyRequest {
    ingress: Ingress | null;
  }
}

const FORM = "application/x-www-form-urlencoded";
const FORM_BYTES = 64 * 1024;

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
      const config = { isForm: route.isForm === true, isRaw: route.isRaw === true };
      this.fastify.route({ method: route.method, url: route.path, config, handler });
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
    fastify.addContentTypeParser("application/json", { parseAs: "string" }, (request, body, done) => {
      try {
        if (isRaw(request)) done(null, String(body));
        else done(null, body === "" ? undefined : parseUntrusted(String(body)));
      } catch (thrown) {
        done(toAppError(thrown));
      }
    });
    fastify.addContentTypeParser(
      FORM,
      { parseAs: "string", bodyLimit: FORM_BYTES },
      (request, body, done) => {
        try {
          if (isRaw(request)) done(null, String(body));
          else
            done(null, parseForm(String(body), (request.routeOptions.config as { isForm?: boolean }).isForm));
        } catch (thrown) {
          done(toAppError(thrown));
        }
      },
    );
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
    const gone = new AbortController();
    reply.raw.on("close", () => gone.abort());
    const call = this.call(request, gone.signal, ingress);
    try {
      return this.send(reply, ingress, await this.authorised(route, request, reply, ingress, call, gone));
    } catch (thrown) {
      // Who shows a credential that does not count is a stranger; of those an address may send only so many.
      if (thrown instanceof AppError && thrown.code === "unauthenticated" && route.policy.kind !== "public")
        await this.deps.traffic.admitStranger(call.address);
      throw thrown;
    }
  }

  /** Who calls in which tenant, let in by its limits; `epoch` is from before the look at what they may do. */
  private async admitted(
    route: Route,
    request: FastifyRequest,
    reply: FastifyReply,
    ingress: Ingress,
    call: RouteCall<unknown>,
  ): Promise<{ caller: TenantCaller; epoch: number }> {
    const look = async () => {
      // ORDER: before the credential is looked at, so that a change during the look counts as later.
      const epoch = this.deps.epochs.current;
      const caller = await this.deps.callers
        .inTenant(request.raw, ingress)
        .catch((thrown: unknown) => this.refuseForeign(route, call, thrown));
      return { caller, epoch };
    };
    const first = await look();
    // ORDER: before anything is read or opened for the call.
    const hasWaited = await this.count(route, request, reply, first.caller);
    // SECURITY: the wait can be a minute, and whoever came as an owner may be one no longer.
    return hasWaited ? look() : first;
  }

  /** Count a tenant's call; its answer says where the caller stands, also when it is refused. Whether that took time. */
  private async count(
    route: Route,
    request: FastifyRequest,
    reply: FastifyReply,
    { principal }: Pick<TenantRouteCall<unknown>, "principal">,
  ): Promise<boolean> {
    const cost = this.deps.costOf(route, (request.params as Record<string, string>)["method"]);
    const sizeBytes = Number(request.headers["content-length"] ?? 0) || 0;
    const counted = this.deps.traffic.admit({ principal, cost, sizeBytes });
    const allowance = await counted;
    if (allowance !== undefined) reply.headers(limitHeaders(allowance));
    return counted !== undefined;
  }

  /** Apply the route's policy, read the body, call the route. ORDER: strangers learn nothing of what it takes. */
  private async authorised(
    route: Route,
    request: FastifyRequest,
    reply: FastifyReply,
    ingress: Ingress,
    call: RouteCall<unknown>,
    gone: AbortController,
  ): Promise<RouteAnswer> {
    switch (route.policy.kind) {
      case "public":
        if (!isProbe(route)) await this.deps.traffic.admitStranger(call.address);
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
      case "browser":
      case "operator":
        return this.asPerson(route, request, ingress, call);
      case "tenant": {
        const { caller, epoch } = await this.admitted(route, request, reply, ingress, call);
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
      default:
        return route.policy satisfies never;
    }
  }

  /** Routes of whoever is signed in, and of operators. */
  private async asPerson(
    route: Route,
    request: FastifyRequest,
    ingress: Ingress,
    call: RouteCall<unknown>,
  ): Promise<RouteAnswer> {
    const { kind } = route.policy;
    const isStepUp = "isStepUp" in route.policy && route.policy.isStepUp === true;
    const user = await this.deps.callers.user(request.raw, ingress);
    if (user === null) throw new AppError("unauthenticated", "Sign in first.");
    assertSameOrigin(request.raw, ingress);
    const actor = personActor(kind === "operator" && user.isOperator ? "operator" : "person", user, call);
    const denial = { of: "platform", actor, what: nameOf(route) } as const;
    if (kind === "operator" && !user.isOperator) {
      await this.deps.denials.note({ ...denial, reason: { code: "no_operator" } });
      // SECURITY: whoever is no operator sees no more than that there is nothing.
      throw new AppError("not_found", "There is nothing here.");
    }
    return this.deps.denials.watch(denial.of, actor, denial.what, async () => {
      if (isStepUp) this.assertFresh(user);
      return route.handler({ ...call, body: readBody(route, request), user, actor });
    });
  }

  /** An attempt at another tenant is on record at home, never in the tenant that was named. */
  private async refuseForeign(route: Route, call: RouteCall<unknown>, thrown: unknown): Promise<never> {
    if (thrown instanceof ForeignTenant) {
      const { principal, tenant } = thrown.caller;
      const actor = actorOf(principal, { address: call.address, requestId: call.requestId });
      const denial = { of: this.deps.door.scope(tenant), actor, what: nameOf(route) };
      await this.deps.denials.note({ ...denial, reason: { code: thrown.code } });
    }
    throw thrown;
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
    if (user !== null && this.deps.nowMs() - user.authAtMs <= STEP_UP_MS) return;
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

  private fail(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const error = fromFastify(thrown);
    this.deps.onRefused(error.code);
    logFailure(this.deps.log, error, {
      requestId: request.id,
      path: request.url.split("?", 1)[0]?.slice(0, 200),
    });
    if (error instanceof OverLimit) reply.headers(limitHeaders(error.allowance));
    if (error.retryAfterMs !== undefined)
      reply.header("retry-after", String(Math.ceil(error.retryAfterMs / 1_000)));
    if (error.rule.status === 401) reply.header("www-authenticate", "Bearer");
    reply
      .status(error.rule.status === 499 ? 400 : error.rule.status)
      .header("content-type", "application/json; charset=utf-8")
      .send(JSON.stringify(errorBody(error, request.id)));
  }
}

/** Asked by machines that look whether we live; they come often, and from one address. */
function isProbe(route: Route): boolean {
  return /^\/(?:healthz|readyz)$/.test(route.path);
}

/** Whether the route takes its body as the text that came. */
function isRaw(request: FastifyRequest): boolean {
  return (request.routeOptions.config as { isRaw?: boolean }).isRaw === true;
}

/** An answer leaves only while its caller's authority stands; a stream looks again before each piece. */
async function stillTheirs(route: Route, open: OpenCall, answer: RouteAnswer): Promise<RouteAnswer> {
  // Whoever leaves, or revokes what they came with, is told that it is done; there is nothing to read in that.
  const isAct = route.method !== "GET" && /^\/(api|auth)\//.test(route.path);
  if (!isAct) await open.assertStands();
  return answer.stream === undefined ? answer : { ...answer, stream: open.guard(answer.stream) };
}

function nameOf(route: Route): { kind: "route"; name: string } {
  return { kind: "route", name: `${route.method} ${route.path}` };
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
