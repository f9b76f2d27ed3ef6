/**
 * What happens to a device that shows its key and no credential. Owns: the three ways: it was let in, it has a setup
 * code, or it asks. Refuses to know: params and frames, how the key was proven (connect does that first).
 */
import { auditRecord, auditStatement } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { Database } from "../../storage/database.ts";
import type { Actor } from "../../tenancy/actor.ts";
import { allows, isScope } from "../../tenancy/scopes.ts";
import type { Tenant } from "../../tenancy/tenant.ts";
import type { Tenants } from "../../tenancy/tenants.ts";
import type { Authenticated, Authenticator } from "../authenticate.ts";
import { type AttemptLimits, Attempts } from "../guard/attempts.ts";
import { pairingRequired, type Refusal, rateLimited } from "../handshake/refusals.ts";
import type { DeviceFacts } from "./device.ts";
import { standsStatement } from "./holder.ts";
import type { PairingEvents } from "./pairing-events.ts";
import { NO_TENANT, type PairingRequests } from "./pairing-requests.ts";
import type { Pairings } from "./pairings.ts";
import type { SetupCode, SetupCodes } from "./setup/setup-codes.ts";

/** A tenant as a connect names it: resolved, none, or one that a stranger shall not see. */
export type NamedTenant = Tenant | null | "unknown";

/** How often one address may ask: each asking costs a commit. A waiting person tries a few times a minute. */
export const ASK_LIMITS: AttemptLimits = {
  freeFailures: 30,
  firstWaitMs: 2_000,
  longestWaitMs: 5 * 60 * 1000,
  forgetMs: 10 * 60 * 1000,
  remembered: 50_000,
};

/** What the door needs. */
export interface PairingDoorDeps {
  control: Database;
  clock: Clock;
  tenants: Tenants;
  authenticator: Authenticator;
  requests: PairingRequests;
  pairings: Pairings;
  setupCodes: SetupCodes;
  events: PairingEvents;
}

/** A device that came in with a setup code. */
export interface SetUp {
  found: Authenticated;
  /** To be called when the device has its token in hand. */
  delivered(): void;
}

/** See the head of this file. */
export class PairingDoor {
  private readonly deps: PairingDoorDeps;
  private readonly asks: Attempts;

  constructor(deps: PairingDoorDeps) {
    this.deps = deps;
    this.asks = new Attempts(deps.clock, ASK_LIMITS);
  }

  /** Who a device is by its proven key; undefined when nobody let it in, or its tenant is not there. */
  findPaired(named: NamedTenant, deviceId: string, address: string): Promise<Authenticated | undefined> {
    return this.deps.authenticator.findByPairing(tenantIdOf(named), deviceId, { address, agent: null });
  }

  /**
   * Ask to be let into the tenant that is named. The answer is the same, after the same work, whether there is such a
   * tenant or not.
   * @param words scopes as the client words them; unknown words are dropped
   * @param isLooking the client only looks whether somebody is there; nothing is kept of it
   */
  async ask(
    named: NamedTenant,
    facts: DeviceFacts,
    words: readonly string[],
    isLooking: boolean,
  ): Promise<Refusal> {
    const waitMs = this.asks.addressWaitMs(facts.address);
    if (waitMs > 0) return rateLimited(waitMs);
    this.asks.noteFailure(facts.address, null);
    const scopes = [...new Set(words.filter(isScope))];
    const tenantId = tenantIdOf(named);
    const asked = await this.deps.requests.ask(tenantId, facts, scopes, !isLooking);
    for (const requestId of asked.superseded) {
      const old = { requestId, deviceId: facts.deviceId };
      this.deps.events.resolved(tenantId, old, "rejected", this.deps.clock.nowMs());
    }
    if (asked.created !== null) this.deps.events.requested(tenantId, asked.created);
    return pairingRequired({ requestId: asked.requestId, deviceId: facts.deviceId, scopes });
  }

  /**
   * Use a setup code. Undefined for every code that does not count here: unknown, ended, used by another device, of
   * another tenant than the one named, or of somebody who may not make codes any more.
   */
  async redeem(named: NamedTenant, secret: string, facts: DeviceFacts): Promise<SetUp | undefined> {
    const code = await this.deps.setupCodes.findBySecret(secret);
    if (code === undefined || (named !== null && tenantIdOf(named) !== code.tenantId)) return undefined;
    // The answer to its first use may have been lost; the same device key brings it back in any case.
    const isItsOwn = code.usedAtMs !== null && code.deviceId === facts.deviceId;
    if (!isItsOwn && !(await this.spend(code, facts))) return undefined;
    const found = await this.deps.authenticator.findByPairing(code.tenantId, facts.deviceId, {
      address: facts.address,
      agent: null,
    });
    if (found === undefined) return undefined;
    return { found, delivered: () => this.delivered(code) };
  }

  private async spend(code: SetupCode, facts: DeviceFacts): Promise<boolean> {
    const { tenantId, holder } = code;
    const tenant = await this.deps.tenants.findById(tenantId);
    const standing = await this.deps.authenticator.holderStanding(tenantId, holder);
    if (tenant?.status !== "active" || standing === undefined || !this.deps.setupCodes.isUsable(code))
      return false;
    // SECURITY: whoever may not make a code any more has no code any more.
    if (!allows(standing.scopes, "operator.admin")) return false;
    const nowMs = this.deps.clock.nowMs();
    const by: Actor = {
      kind: holder.kind === "api_token" && holder.id === holder.userId ? "token" : "person",
      ...{ id: holder.userId, name: standing.displayName, role: standing.role },
      credential: { kind: "setup_code", id: code.id },
      ...{ address: facts.address, requestId: null },
    };
    const target = { kind: "device", id: facts.deviceId, name: facts.displayName ?? undefined };
    const details = { setupId: code.id, scopes: code.scopes, via: "setup_code" };
    const outcome = await this.deps.control.write({
      statements: [
        this.deps.setupCodes.spendStatement(code, facts),
        standsStatement(tenantId, holder, standing.role, nowMs),
        this.deps.pairings.roomStatement(tenantId),
        ...this.deps.pairings.letInStatements(tenantId, facts, code.scopes, holder, "setup_code"),
        auditStatement(tenantId, auditRecord(nowMs, by, "device.approved", target, details)),
      ],
    });
    if (outcome.committed) this.deps.events.changed(tenantId);
    return outcome.committed;
  }

  private delivered(code: SetupCode): void {
    this.deps.setupCodes.noteDelivered(code.tenantId, code.id).then(
      (done) => {
        if (done !== undefined) this.deps.events.setupCompleted(done);
      },
      // Whoever follows the code is then told that delivery is not certain, which is so.
      () => undefined,
    );
  }
}

function tenantIdOf(named: NamedTenant): TenantId {
  return named === null || named === "unknown" ? NO_TENANT : named.id;
}
