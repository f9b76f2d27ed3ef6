/**
 * What a checked proof of a person leads to: a session, one more way in, or a fresh proof of who they are. Owns: who gets
 * a session and who does not. Refuses to know: flows' storage, the protocol with providers, HTTP.
 */
import { auditRecord, auditStatement } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { newId, newSecret, type TenantId, type UserId } from "../../kernel/ids.ts";
import type { Database, Statement } from "../../storage/database.ts";
import type { Actor } from "../../tenancy/actor.ts";
import type { Tenant } from "../../tenancy/tenant.ts";
import type { BrowserSessions, OpenSession } from "../browser/browser-sessions.ts";
import type { Members } from "../members.ts";
import type { Identities, IdentitySource } from "../people/identities.ts";
import type { Identity, IdentityFacts } from "../people/identity.ts";
import { joinStatements, memberAudit } from "../people/membership-sql.ts";
import type { Flow } from "./flows.ts";
import type { Proof } from "./provider/clients.ts";
import type { SignInProvider } from "./providers.ts";
import { slugIn } from "./return-path.ts";

/** What the page shows when a sign-in comes to nothing; never a provider's own words. */
export type SignInProblem =
  | "sign_in_failed"
  | "flow_expired"
  | "identity_taken"
  | "not_linked"
  | "provider_unavailable"
  | "account_closed";

/** Where the browser goes next, with a session or with a problem. */
export type SignInOutcome =
  | { kind: "done"; path: string; cookie: string; maxAgeMs: number }
  | { kind: "problem"; problem: SignInProblem };

/** The browser at hand. */
export interface SignInBrowser {
  /** Its secret for flows, or null. */
  flowCookie: string | null;
  sessionCookie: string | null;
  /** Where it sees us; the redirect URI is made from it. */
  origin: string;
  /** The tenant at whose own host it is. */
  hostTenant: Tenant | null;
  address: string;
  agent: string | null;
  requestId: string;
}

/** What arrivals are made of. */
export interface ArrivalDeps {
  control: Database;
  clock: Clock;
  identities: Identities;
  sessions: BrowserSessions;
  members: Members;
}

/** Somebody who came back from a provider with a proof that was checked. */
export interface Visit {
  flow: Flow;
  provider: SignInProvider;
  proof: Proof;
  facts: IdentityFacts;
  browser: SignInBrowser;
}

/** See the head of this file. */
export class Arrivals {
  private readonly deps: ArrivalDeps;

  constructor(deps: ArrivalDeps) {
    this.deps = deps;
  }

  /** Do what the flow was begun for. */
  conclude(visit: Visit): Promise<SignInOutcome> {
    if (visit.flow.intent === "link") return this.concludeLink(visit);
    if (visit.flow.intent === "step_up") return this.concludeStepUp(visit);
    return this.concludeSignIn(visit);
  }

  private async concludeSignIn(visit: Visit): Promise<SignInOutcome> {
    // Two browsers of a new person may come back at once: the second finds what the first made.
    for (let tries = 0; tries < 2; tries++) {
      const known = await this.findIdentity(visit);
      const outcome =
        known === undefined ? await this.openForStranger(visit) : await this.openFor(known, visit);
      if (outcome !== undefined) return outcome;
    }
    return problem("sign_in_failed");
  }

  private async openForStranger(visit: Visit): Promise<SignInOutcome | undefined> {
    const { identities } = this.deps;
    const { provider, facts } = visit;
    const userId = newId() as UserId;
    const identityId = newId();
    const name = facts.displayName?.slice(0, 100).toWellFormed().trim() || provider.label;
    const also = [
      identities.personStatement(userId, name, provider.realm),
      ...identities.addStatements(identityId, userId, sourceOf(provider), facts),
    ];
    return this.open(visit, { userId, identityId, name }, also);
  }

  private async openFor(known: Identity, visit: Visit): Promise<SignInOutcome | undefined> {
    const also = this.deps.identities.seenStatements(known.id, visit.provider.id, visit.facts);
    const name = known.displayName ?? visit.facts.displayName ?? "";
    return this.open(visit, { userId: known.userId, identityId: known.id, name }, also);
  }

  private async open(
    visit: Visit,
    who: { userId: UserId; identityId: string; name: string },
    also: readonly Statement[],
  ): Promise<SignInOutcome | undefined> {
    const { provider, proof, browser } = visit;
    const by = personOf(who, browser);
    const joining = await this.joining(provider, who.userId, by);
    const landing = await this.landing(visit.flow, provider, who.userId, joining.length > 0);
    const input = {
      userId: who.userId,
      previousCookie: browser.sessionCookie,
      proved: { ...proof, identityId: who.identityId, provider: provider.id },
      address: browser.address,
      agent: browser.agent,
    };
    const noted = landing.tenantId === null ? [] : [this.record(landing.tenantId, by, provider)];
    const opened = await this.deps.sessions.open({ ...input, also: [...also, ...joining, ...noted] });
    if (opened !== undefined) {
      const session = await this.deps.sessions.findOpenById(opened.sessionId);
      return this.done(landing.path, opened.cookie, session);
    }
    if (joining.length === 0) return undefined;
    // The tenant is full: in, but not a member.
    const alone = await this.deps.sessions.open({ ...input, also });
    if (alone === undefined) return undefined;
    return this.done("/", alone.cookie, await this.deps.sessions.findOpenById(alone.sessionId));
  }

  private async concludeLink(visit: Visit): Promise<SignInOutcome> {
    const { identities, sessions } = this.deps;
    const { flow, provider, facts, browser } = visit;
    const session = await this.sameSession(visit);
    if (session === undefined || browser.sessionCookie === null) return problem("flow_expired");
    const { userId, sessionId, displayName } = session.user;
    const fresh = newSecret(32);
    const rotation = sessions.rotateStatement(sessionId, browser.sessionCookie, fresh, false);
    const known = await this.findIdentity(visit);
    if (known !== undefined && known.userId !== userId) return problem("identity_taken");
    const by = personOf({ userId, identityId: sessionId, name: displayName }, browser);
    const isDone =
      known === undefined
        ? await identities.link(userId, sourceOf(provider), facts, by, [rotation])
        : (
            await this.deps.control.write({
              statements: [...identities.seenStatements(known.id, provider.id, facts), rotation],
            })
          ).committed;
    if (isDone) return this.done(flow.returnTo ?? "/account", fresh, session);
    const taken = await this.findIdentity(visit);
    return problem(taken !== undefined && taken.userId !== userId ? "identity_taken" : "sign_in_failed");
  }

  private async concludeStepUp(visit: Visit): Promise<SignInOutcome> {
    const { identities, sessions } = this.deps;
    const { flow, provider, facts, browser } = visit;
    const session = await this.sameSession(visit);
    if (session === undefined || browser.sessionCookie === null) return problem("flow_expired");
    const known = await this.findIdentity(visit);
    if (known === undefined || known.userId !== session.user.userId) return problem("not_linked");
    const also = identities.seenStatements(known.id, provider.id, facts);
    const fresh = await sessions.rotate(session.user.sessionId, browser.sessionCookie, true, also);
    if (fresh === undefined) return problem("flow_expired");
    return this.done(flow.returnTo ?? "/", fresh, session);
  }

  /** SECURITY: what a session asked for is given to that session and no other of this browser (ATTACKS ID-12). */
  private async sameSession({ flow, browser }: Visit): Promise<OpenSession | undefined> {
    if (browser.sessionCookie === null) return undefined;
    const session = await this.deps.sessions.findOpen(browser.sessionCookie);
    return session?.user.sessionId === flow.sessionId ? session : undefined;
  }

  private findIdentity({ provider, facts }: Visit): Promise<Identity | undefined> {
    return this.deps.identities.findBySubject(provider.issuer, facts.subject, provider.realm);
  }

  /** Where a sign-in leads, and the tenant in whose log it is noted. */
  private async landing(
    flow: Flow,
    provider: SignInProvider,
    userId: UserId,
    isJoining: boolean,
  ): Promise<{ path: string; tenantId: TenantId | null }> {
    const theirs = (await this.deps.members.listOfUser(userId)).filter((one) => one.status === "active");
    const joined = provider.tenant !== null && isJoining ? [membershipOf(provider.tenant)] : [];
    const open = [...theirs.map(({ tenantId, slug }) => ({ tenantId, slug })), ...joined];
    // The front door is where people come from who have not said where they want to go.
    const wanted = flow.returnTo === "/" ? null : flow.returnTo;
    const named = wanted === null ? null : slugIn(wanted);
    const target =
      open.find((one) => (named === null ? one.tenantId === flow.tenantId : one.slug === named)) ??
      (named === null && open.length === 1 ? open[0] : undefined);
    const path = wanted ?? (target === undefined ? "/" : `/t/${target.slug}/`);
    return { path, tenantId: target?.tenantId ?? null };
  }

  /** The statements with which somebody whom a tenant's own provider brings becomes a member, if that is to be. */
  private async joining(provider: SignInProvider, userId: UserId, by: Actor): Promise<Statement[]> {
    const { tenant, defaultRole } = provider;
    if (tenant === null || defaultRole === null) return [];
    const { control, clock } = this.deps;
    // SECURITY: whoever was put out, or left, comes back by invitation and not by signing in once more.
    const before = await control.find(
      `SELECT 1 FROM members WHERE tenant_id = ? AND user_id = ?
        UNION ALL SELECT 1 FROM former_members WHERE tenant_id = ? AND user_id = ?`,
      [tenant.id, userId, tenant.id, userId],
    );
    if (before !== undefined) return [];
    const target = { kind: "member", id: userId };
    const record = auditRecord(clock.nowMs(), by, "member.joined", target, { by: "sign_in_provider" });
    return [
      ...joinStatements(tenant.id, userId, defaultRole, clock.nowMs()),
      memberAudit(tenant.id, userId, record),
    ];
  }

  private record(tenantId: TenantId, by: Actor, provider: SignInProvider): Statement {
    const target = { kind: "user", id: by.id, name: by.name };
    const record = auditRecord(this.deps.clock.nowMs(), by, "signin.ok", target, {
      provider: provider.label,
    });
    return auditStatement(tenantId, record);
  }

  private done(path: string, cookie: string, session: OpenSession | undefined): SignInOutcome {
    if (session === undefined) return problem("sign_in_failed");
    const maxAgeMs = Math.max(0, session.expiresAtMs - this.deps.clock.nowMs());
    return { kind: "done", path, cookie, maxAgeMs };
  }
}

/** An outcome that is a problem. */
export function problem(code: SignInProblem): SignInOutcome {
  return { kind: "problem", problem: code };
}

function sourceOf(provider: SignInProvider): IdentitySource {
  return { realm: provider.realm, issuer: provider.issuer, provider: provider.id };
}

function membershipOf(tenant: Tenant): { tenantId: TenantId; slug: string } {
  return { tenantId: tenant.id, slug: tenant.slug };
}

function personOf(who: { userId: UserId; identityId: string; name: string }, browser: SignInBrowser): Actor {
  return {
    kind: "person",
    id: who.userId,
    name: who.name,
    role: null,
    credential: { kind: "identity", id: who.identityId },
    address: browser.address,
    requestId: browser.requestId,
  };
}
