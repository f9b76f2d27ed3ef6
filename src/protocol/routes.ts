/**
 * What an HTTP route is. Owns: the declaration; a route without a policy does not type.
 * Refuses to know: Fastify, cookies' syntax. The gateway enforces the policy before the handler runs.
 */
import type { z } from "zod";
import type { UserId } from "../kernel/ids.ts";
import type { Actor } from "../tenancy/actor.ts";
import type { Principal } from "../tenancy/principal.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import type { Scope } from "../tenancy/scopes.ts";
import type { Tenant } from "../tenancy/tenant.ts";
import type { AuditedAct } from "./methods.ts";

/** A person signed in with a browser; says nothing about any tenant. */
export interface BrowserUser {
  sessionId: string;
  userId: UserId;
  displayName: string;
  language: string | null;
  isOperator: boolean;
  /** When they last proved who they are (signed in or stepped up), wall-clock. */
  authAtMs: number;
}

/**
 * Who may call: `public` anybody; `browser` a signed-in person (cookie); `tenant` somebody with the scope in the
 * tenant that the request names, by bearer token or by cookie; `operator` a signed-in person who runs the platform, by
 * cookie only; `metrics` whoever has the metrics credential. `isStepUp`: only within `STEP_UP_MS` of having proved who
 * they are; a bearer token never counts as that. `servesReadOnly`: also for callers who may only read, though it is no GET.
 */
export type RoutePolicy =
  | { kind: "public" }
  | { kind: "browser"; isStepUp?: boolean | undefined }
  | { kind: "tenant"; scope: Scope; isStepUp?: boolean | undefined; servesReadOnly?: boolean | undefined }
  | { kind: "operator"; isStepUp?: boolean | undefined }
  | { kind: "metrics" };

/** How long a proof of who somebody is counts for acts that cannot be undone (ATTACKS AU-25). */
export const STEP_UP_MS = 5 * 60 * 1000;

/** The request as a handler sees it. */
export interface RouteCall<Body> {
  readonly requestId: string;
  readonly body: Body;
  /** Values of `:name` parts of the path. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  /** Header values by lower-case name; only headers that came exactly once. */
  readonly headers: Readonly<Record<string, string>>;
  /** Address of the caller, proxies considered. */
  readonly address: string;
  /** Where the caller's browser sees us, e.g. `https://creel.example`; made from the checked host. */
  readonly origin: string;
  readonly isSecure: boolean;
  readonly signal: AbortSignal;
  /** Set for `browser` routes, and for `tenant` routes called with a cookie. */
  readonly user: BrowserUser | null;
  /** The tenant that serves at the host the request came to, if one has it for its own. */
  readonly hostTenant: Tenant | null;
  /** Value of one of our own cookies besides the session's, by purpose; null when absent, doubled or malformed. */
  cookie(purpose: string): string | null;
  /** The raw cookie value of the browser session, for sign-in and sign-out. */
  readonly sessionCookie: string | null;
  /** Who acts, for the record; null while nobody is known. */
  readonly actor: Actor | null;
}

/** A call of a `tenant` route. */
export interface TenantRouteCall<Body> extends RouteCall<Body> {
  readonly tenant: TenantScope;
  readonly principal: Principal;
  readonly actor: Actor;
}

/** The answer; `body` is JSON unless `contentType` says otherwise, `stream` is sent piece by piece. */
export interface RouteAnswer {
  status: number;
  body?: unknown;
  contentType?: string;
  headers?: Readonly<Record<string, string>>;
  stream?: AsyncIterable<string>;
  /** Set (a value) or clear (null) the browser-session cookie. */
  sessionCookie?: { value: string; maxAgeMs: number } | null;
  /** Other cookies to set or clear, by purpose; bound to the host like the session's. */
  cookies?: Readonly<Record<string, { value: string; maxAgeMs: number } | null>>;
}

/** A declared route. `path` of a `tenant` route is below `/t/<slug>` and also served where a host or header names the tenant. */
export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly policy: RoutePolicy;
  readonly body: z.ZodType | null;
  readonly doc: string;
  /** Whether the body comes as a form and not as JSON; only for callers that know no other, never for pages. */
  readonly isForm?: boolean;
  /** Whether the body is handed on as the text that came, for signatures over it; of any of the types we read. */
  readonly isRaw?: boolean;
  /** For `tenant` routes: what a call that succeeded did; null for nothing worth a record. Recorded before the answer. */
  audit?(call: TenantRouteCall<unknown>, answer: RouteAnswer): AuditedAct | null;
  handler(call: RouteCall<unknown>): Promise<RouteAnswer>;
}

/** Declare a route that needs no tenant. */
export function defineRoute<Body extends z.ZodType>(declaration: {
  method: Route["method"];
  path: string;
  policy: Exclude<RoutePolicy, { kind: "tenant" }>;
  body: Body | null;
  doc: string;
  isForm?: boolean;
  isRaw?: boolean;
  handler(call: RouteCall<z.output<Body>>): Promise<RouteAnswer>;
}): Route {
  return declaration as Route;
}

/** Declare a route inside a tenant. */
export function defineTenantRoute<Body extends z.ZodType>(declaration: {
  method: Route["method"];
  path: string;
  scope: Scope;
  isStepUp?: boolean;
  servesReadOnly?: boolean;
  body: Body | null;
  doc: string;
  audit?(call: TenantRouteCall<z.output<Body>>, answer: RouteAnswer): AuditedAct | null;
  handler(call: TenantRouteCall<z.output<Body>>): Promise<RouteAnswer>;
}): Route {
  const { scope, isStepUp, servesReadOnly, ...rest } = declaration;
  return { ...rest, policy: { kind: "tenant", scope, isStepUp, servesReadOnly } } as Route;
}
