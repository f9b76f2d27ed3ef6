/**
 * The operator's export to a meter. Owns: that every event becomes part of a charge once, that every charge is sent until
 * it is known what became of it, and never again once nobody could tell. Refuses to know: which meter, who is due.
 *
 * ORDER: a message's charges are made in the commit that moves the cursor past it; from then on each goes its own way, so
 * that one that is refused holds up no other.
 */
import type { Clock } from "../../../kernel/clock.ts";
import type { TenantId } from "../../../kernel/ids.ts";
import type { Database } from "../../../storage/database.ts";
import type { TenantScope } from "../../../tenancy/scoped.ts";
import type { Complaints } from "../complaints.ts";
import { type Cursor, type ExportCursors, moveStatements, PLATFORM, RESTORED } from "../export-cursors.ts";
import { MESSAGE_EVENTS, newestSeq, readKey, readMessage } from "../usage-message.ts";
import type { UsageMeter } from "../usage-sink.ts";
import type { Charges, WaitingCharge } from "./charges.ts";

/** What the export needs. */
export interface MeterExportDeps {
  control: Database;
  meter: UsageMeter;
  charges: Charges;
  cursors: ExportCursors;
  complaints: Complaints;
  clock: Clock;
  currencyOf(scope: TenantScope): Promise<string>;
  /** When to try again after so many failures, wall-clock. */
  nextTryMs(failures: number): number;
}

/** What became of making charges: `held` for nobody said whose, `lost` for nobody knows from where on. */
type Collected = "all" | "more" | "held" | "lost" | "moved";

const MESSAGES_AT_ONCE = 50;
/** So many charges on their way: no more are made. */
const MOST_WAITING = 150;
const ROUND_MS = 20_000;
const SLOW_MS = 5_000;
/** Refusals in one round that need not mean that everything is refused. */
const MOST_REFUSALS = 3;
/** How far our clock may be wrong, when it is about what the meter still remembers. */
const DOUBT_MS = 4 * 3_600_000;

const LOST =
  "The tenant's file comes from a backup older than what is remembered; say with `cursor` after which event to go on.";

/** See the head of this file. */
export class MeterExport {
  private readonly deps: MeterExportDeps;

  constructor(deps: MeterExportDeps) {
    this.deps = deps;
  }

  /**
   * Make charges of what is new and send what is on its way; says whether it went well and fast.
   * @param scope undefined when the tenant is gone; what it owes is sent all the same
   */
  async run(tenantId: TenantId, scope: TenantScope | undefined): Promise<boolean> {
    const { cursors } = this.deps;
    const number = await cursors.numberOf(tenantId);
    const collected = scope === undefined ? "held" : await this.collect(scope);
    // ORDER: before the sending, so that what an operator decides from here on makes the tenant due again.
    const at = await cursors.get(PLATFORM, tenantId);
    const sent = await this.sendWaiting(tenantId, scope);
    if (collected === "moved") return true;
    if (sent.trouble !== null || collected === "lost") {
      await cursors.fail(at, sent.trouble ?? LOST, this.deps.nextTryMs(at.failures));
      this.complain(tenantId, at, sent.trouble ?? LOST);
      return false;
    }
    if (scope === undefined) await cursors.forget(PLATFORM, tenantId);
    // Held: not seen, so it is looked at again without anything new.
    else if (collected === "more" || sent.isMore) await cursors.goOn(at);
    else await cursors.rest(at, collected === "held" ? 0 : number);
    return !sent.isSlow;
  }

  /** Tenants that owe something and that nothing else makes due, e.g. since they are gone. */
  listForgotten(limit: number): Promise<TenantId[]> {
    return this.deps.charges.listForgotten(limit);
  }

  private complain(tenantId: TenantId, { failures }: Cursor, reason: string): void {
    if (failures > 0) return;
    this.deps.complaints.tell(tenantId, "a tenant's usage could not be billed; it is tried again", {
      reason,
    });
  }

  private async collect(scope: TenantScope): Promise<Collected> {
    const { cursors, meter, complaints } = this.deps;
    const { tenantId, tenant } = scope;
    const customer = meter.customerOf(tenant);
    if (customer === undefined) {
      complaints.tell(
        tenantId,
        "a tenant has no customer in billing.export.customers; its usage is kept until it has, or null",
        { slug: tenant.slug },
      );
      return "held";
    }
    const known = await cursors.get(PLATFORM, tenantId);
    if (customer === null) return this.skip(known, scope);
    const at = await cursors.mend(known, scope);
    if (at === undefined) return "lost";
    if (at.moves !== known.moves) complaints.tell(tenantId, RESTORED, { cursor: at.cursorSeq });
    return this.makeCharges(at, scope, customer);
  }

  /** Not billed there: nothing is charged, and nothing of it will be if that changes. */
  private async skip(at: Cursor, scope: TenantScope): Promise<Collected> {
    const newest = await newestSeq(scope);
    const key = await readKey(scope, newest);
    if (newest === at.cursorSeq && key === at.cursorKey) return "all";
    const statements = moveStatements(at, newest, key, this.deps.clock.nowMs());
    await this.deps.control.write({ statements });
    // The move made it due: it is looked at once more.
    return "moved";
  }

  private async makeCharges(begun: Cursor, scope: TenantScope, customer: string): Promise<Collected> {
    const { control, cursors, charges } = this.deps;
    const currency = await this.deps.currencyOf(scope);
    let room = MOST_WAITING - (await charges.listWaiting(scope.tenantId)).length;
    let at = begun;
    for (let made = 0; made < MESSAGES_AT_ONCE && room > 0; made++) {
      const message = await readMessage(scope, PLATFORM, at.cursorSeq, null, currency);
      if (message === undefined) return "all";
      const statements = charges.statementsOf(message, customer);
      const outcome = await control.write({
        statements: [...cursors.advanceStatements(at, message, null), ...statements],
      });
      if (!outcome.committed) return "moved";
      if (message.events.length < MESSAGE_EVENTS) return "all";
      room -= statements.length;
      at = { ...at, cursorSeq: message.lastSeq, cursorKey: message.keys.at(-1) ?? "" };
    }
    return "more";
  }

  private async sendWaiting(tenantId: TenantId, scope: TenantScope | undefined) {
    const { clock, charges } = this.deps;
    const beganMs = clock.monotonicMs();
    const found = { trouble: null as string | null, isMore: false, isSlow: false };
    let refusals = 0;
    const customer = scope === undefined ? undefined : this.deps.meter.customerOf(scope.tenant);
    for (const known of await charges.listWaiting(tenantId)) {
      // What certainly never arrived goes to whoever is named now: the first name may have been the mistake.
      const isOpen = known.unsureSinceMs === null && typeof customer === "string";
      const charge = isOpen ? { ...known, customer } : known;
      const fromMs = clock.monotonicMs();
      if (fromMs - beganMs > ROUND_MS) return { ...found, isMore: true };
      const outcome = await this.attempt(charge);
      found.isSlow ||= clock.monotonicMs() - fromMs > SLOW_MS;
      if (outcome === "done") continue;
      found.trouble ??= outcome.reason;
      refusals += 1;
      // One day that is refused says nothing of the others; an address that is down does.
      if (outcome.isGeneral || refusals >= MOST_REFUSALS) break;
    }
    return found;
  }

  private async attempt(charge: WaitingCharge): Promise<"done" | { reason: string; isGeneral: boolean }> {
    const { charges, meter } = this.deps;
    const hopeless = this.hopelessness(charge);
    if (hopeless !== undefined) return this.setAside(charge, hopeless);
    // ORDER: on disk before it leaves; after a crash here nobody takes it for unsent.
    if (!(await charges.begin(charge))) return "done";
    const outcome = await meter.send(charge);
    if (outcome.kind === "accepted") {
      await charges.end(charge);
      return "done";
    }
    if (outcome.kind === "unknown") return { reason: outcome.reason, isGeneral: true };
    if (outcome.isForGood) return this.setAside(charge, outcome.reason);
    await charges.refuse(charge, outcome.reason);
    return outcome;
  }

  /** Why a charge must not be sent, or cannot arrive. */
  private hopelessness({ unsureSinceMs, timestampMs }: WaitingCharge): string | undefined {
    const { meter, clock } = this.deps;
    const nowMs = clock.nowMs();
    const unsureMs = unsureSinceMs === null ? 0 : nowMs - unsureSinceMs;
    if (unsureMs > meter.remembersMs - DOUBT_MS || unsureMs < -DOUBT_MS)
      return "It was sent, no answer came, and the meter may have forgotten it by now: look there whether it has it.";
    if (timestampMs <= nowMs - meter.longestAgeMs) return "It is older than the meter takes.";
    return undefined;
  }

  private async setAside(charge: WaitingCharge, reason: string): Promise<"done"> {
    const { tenantId, identifier, amountMicros } = charge;
    await this.deps.charges.setAside(charge, reason);
    this.deps.complaints.tell(tenantId, "a charge was set aside; an operator has to decide", {
      ...{ identifier, amountMicros, reason },
    });
    return "done";
  }
}
