/**
 * Who comes by HTTP, and whether they are let in, before a byte of the body is read. Owns: the route's policy, the count
 * of the call, and the second look at whoever had to wait. Refuses to know: bodies, what routes do.
 *
 * SECURITY: nothing here may wait for the body. Reading and parsing what strangers and refused callers send costs
 * everybody's thread, and is the only thing that a refusal can still save.
 */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Denials } from "../../audit/recording/denials.ts";
import type { Epochs } from "../../auth/guard/epochs.ts";
import type { Clock } from "../../kernel/clock.ts";
import { equalConstantTime } from "../../kernel/crypto.ts";
import { AppError, type ErrorCode } from "../../kernel/errors.ts";
import type { CostClass } from "../../protocol/methods.ts";
import type { BrowserUser, Route } from "../../protocol/routes.ts";
import { type Actor, actorOf } from "../../tenancy/actor.ts";
import type { TenantDoor } from "../../tenancy/scoped.ts";
import type { Ingress } from "../ingress.ts";
import { limitHeaders, type Traffic } from "../traffic/traffic.ts";
import {
  assertCanHoldSession,
  assertSameOrigin,
  type Callers,
  ForeignTenant,
  readBearer,
  readSessionCookie,
  type TenantCaller,
} from "./credentials.ts";
import { declaredBytes } from "./unread-body.ts";

/** Somebody in a tenant, and when that was looked at. */
export interface TenantEntry {
  kind: "tenant";
  caller: TenantCaller;
  /** From before the look. */
  epoch: number;
  lookedAtMs: number;
}

/** Who was let in: anybody, a signed-in person, or somebody in a tenant. */
export type Entry = { kind: "open" } | { kind: "person"; user: BrowserUser; actor: Actor } | TenantEntry;

/** What the entrance needs. */
export interface EntranceDeps {
  callers: Callers;
  door: TenantDoor;
  denials: Denials;
  epochs: Epochs;
  traffic: Traffic;
  clock: Clock;
  metricsToken: string;
  /** What a call of a route costs; `name` is that of the method that it calls, if it calls one. */
  costOf(route: Route, name: string | undefined): CostClass;
}

/** A look at somebody's authority counts for so long; what was waited for or read meanwhile may have taken a minute. */
const LOOK_MS = 100;

/** Refusals that only strangers get, who may have so many of them. */
const STRANGE: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["unauthenticated", "not_found"]);

/** See the head of this file. */
export class Entrance {
  private readonly deps: EntranceDeps;

  constructor(deps: EntranceDeps) {
    this.deps = deps;
  }

  /** Apply the route's policy and count the call. ORDER: strangers learn nothing of what a route takes. */
  async enter(route: Route, request: FastifyRequest, reply: FastifyReply, ingress: Ingress): Promise<Entry> {
    switch (route.policy.kind) {
      case "public":
        await this.enterOpen(route, request, ingress);
        return { kind: "open" };
      case "metrics":
        if (!equalConstantTime(readBearer(request.raw) ?? "", this.deps.metricsToken)) {
          throw new AppError(
            "unauthenticated",
            "Metrics need their own token, see `metrics-token` in the state folder.",
          );
        }
        return { kind: "open" };
      case "browser":
      case "operator":
        return this.enterAsPerson(route, request, ingress);
      case "tenant": {
        const entry = await this.look(route, request, ingress);
        // ORDER: before anything is read or opened for the call.
        await this.count(route, request, reply, entry);
        return entry;
      }
      default:
        return route.policy satisfies never;
    }
  }

  /** SECURITY: the wait can be a minute, and whoever came as an owner may be one no longer. Throws as `enter`. */
  async lookAgain(
    route: Route,
    request: FastifyRequest,
    ingress: Ingress,
    entry: TenantEntry,
  ): Promise<TenantEntry> {
    const { epochs, clock } = this.deps;
    const isFresh = entry.epoch === epochs.current && clock.monotonicMs() - entry.lookedAtMs < LOOK_MS;
    return isFresh ? entry : this.look(route, request, ingress);
  }

  /** Who is refused before they are known is a stranger; of those an address may send only so many. */
  async countStranger(error: AppError, ingress: Ingress): Promise<void> {
    if (STRANGE.has(error.code)) await this.deps.traffic.admitStranger(ingress.peer.address);
  }

  private async enterOpen(route: Route, request: FastifyRequest, ingress: Ingress): Promise<void> {
    const { address } = ingress.peer;
    if (!isProbe(route)) await this.deps.traffic.admitStranger(address, declaredBytes(request.raw));
    // SECURITY: also without a cookie: a foreign page must not sign a browser in as somebody else.
    if (readSessionCookie(request.raw, ingress) !== null || request.headers.origin !== undefined)
      assertSameOrigin(request.raw, ingress);
    // ORDER: before the handler, which would use a sign-in link up for a session that cannot be held.
    if (route.method !== "GET") assertCanHoldSession(ingress);
  }

  /** Routes of whoever is signed in, and of operators. */
  private async enterAsPerson(route: Route, request: FastifyRequest, ingress: Ingress): Promise<Entry> {
    const { kind } = route.policy;
    const user = await this.deps.callers.user(request.raw, ingress);
    if (user === null) throw new AppError("unauthenticated", "Sign in first.");
    await this.deps.traffic.admitPerson(user.userId);
    assertSameOrigin(request.raw, ingress);
    const from = { address: ingress.peer.address, requestId: request.id };
    const actor = personActor(kind === "operator" && user.isOperator ? "operator" : "person", user, from);
    if (kind === "operator" && !user.isOperator) {
      const denial = { of: "platform", actor, what: nameOf(route) } as const;
      await this.deps.denials.note({ ...denial, reason: { code: "no_operator" } });
      // SECURITY: whoever is no operator sees no more than that there is nothing.
      throw new AppError("not_found", "There is nothing here.");
    }
    return { kind: "person", user, actor };
  }

  private async look(route: Route, request: FastifyRequest, ingress: Ingress): Promise<TenantEntry> {
    // ORDER: before the credential is looked at, so that a change during the look counts as later.
    const epoch = this.deps.epochs.current;
    const caller = await this.deps.callers
      .inTenant(request.raw, ingress)
      .catch((thrown: unknown) => this.refuseForeign(route, request, ingress, thrown));
    return { kind: "tenant", caller, epoch, lookedAtMs: this.deps.clock.monotonicMs() };
  }

  /** Count a tenant's call; its answer says where the caller stands, also when it is refused. */
  private async count(
    route: Route,
    request: FastifyRequest,
    reply: FastifyReply,
    { caller: { principal } }: TenantEntry,
  ): Promise<void> {
    const cost = this.deps.costOf(route, (request.params as Record<string, string>)["method"]);
    const sizeBytes = declaredBytes(request.raw) ?? 0;
    const allowance = await this.deps.traffic.admit({ principal, cost, sizeBytes });
    if (allowance !== undefined) reply.headers(limitHeaders(allowance));
  }

  /** An attempt at another tenant is on record at home, never in the tenant that was named. */
  private async refuseForeign(
    route: Route,
    request: FastifyRequest,
    ingress: Ingress,
    thrown: unknown,
  ): Promise<never> {
    if (thrown instanceof ForeignTenant) {
      const { principal, tenant } = thrown.caller;
      const actor = actorOf(principal, { address: ingress.peer.address, requestId: request.id });
      const denial = { of: this.deps.door.scope(tenant), actor, what: nameOf(route) };
      await this.deps.denials.note({ ...denial, reason: { code: thrown.code } });
    }
    throw thrown;
  }
}

/** Asked by machines that look whether we live; they come often, and from one address. */
function isProbe(route: Route): boolean {
  return /^\/(?:healthz|readyz)$/.test(route.path);
}

/** A route as the record names it. */
export function nameOf(route: Route): { kind: "route"; name: string } {
  return { kind: "route", name: `${route.method} ${route.path}` };
}

function personActor(
  kind: "person" | "operator",
  user: BrowserUser,
  from: { address: string; requestId: string },
): Actor {
  const { userId, displayName, sessionId } = user;
  const credential = { kind: "browser_session", id: sessionId };
  return { kind, id: userId, name: displayName, role: null, credential, ...from };
}
