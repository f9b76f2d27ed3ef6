/**
 * Refused attempts of people who are known. Owns: recording the first at once and counting the rest, so that nobody can
 * fill a disk or our memory by being refused. Refuses to know: why something was refused, who is not known (counted by
 * the gateway, never recorded).
 */
import type { Clock, Timer } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { Log } from "../../kernel/log.ts";
import type { Actor } from "../../tenancy/actor.ts";
import { runInContext } from "../../tenancy/context.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { AuditLog, LogOf } from "../log.ts";
import { type AuditRecord, auditRecord } from "../record.ts";

/** One refusal. */
export interface Denial {
  /** The log it belongs to: of the tenant in which the caller acts, never of another. */
  of: LogOf;
  actor: Actor;
  /** Method name or `<verb> <path>` as declared. */
  what: { kind: "method" | "route"; name: string };
  /** The missing scope, or the code of the refusal. */
  reason: { missingScope: string } | { code: string };
}

/** What the parts need. */
export interface DenialDeps {
  log: AuditLog;
  clock: Clock;
  logger: Log;
  /** A chain has a new row; must not throw. */
  onAppended?(of: LogOf): void;
}

/** Failures that mean that somebody known may not do what they asked for. */
const REFUSALS: ReadonlySet<string> = new Set(["forbidden", "step_up_required", "last_owner"]);

const WINDOW_MS = 60_000;
/** Kinds of refusal counted at once; beyond it the oldest is written down early. */
const ENTRIES = 5_000;
/** Kinds of refusal of one tenant that get rows of their own within a window; the rest share one. */
const PER_CHAIN = 100;

interface Entry {
  denial: Denial;
  /** Repeats since the row that was written at once. */
  count: number;
  sinceMs: number;
  /** Monotonic. */
  endsMs: number;
}

/** See the head of this file. */
export class Denials {
  private readonly deps: DenialDeps;
  /** In the order in which their windows end. */
  private readonly entries = new Map<string, Entry>();
  private readonly noted = new WeakSet<AppError>();
  private readonly perChain = new Map<string, number>();
  private timer: Timer | undefined;

  constructor(deps: DenialDeps) {
    this.deps = deps;
  }

  /** Do the work; when it is refused for what the caller may not do, that is recorded before it is thrown on. */
  async watch<T>(of: LogOf, actor: Actor, what: Denial["what"], work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      // A method called through a route is one refusal, not two.
      if (!(thrown instanceof AppError) || !REFUSALS.has(thrown.code) || this.noted.has(thrown)) throw thrown;
      this.noted.add(thrown);
      const scope = thrown.details?.["missingScope"];
      const reason = typeof scope === "string" ? { missingScope: scope } : { code: thrown.code };
      await this.note({ of, actor, what, reason });
      throw thrown;
    }
  }

  /** Record a refusal: the first of its kind is on disk when this resolves, repeats are counted. Never rejects. */
  async note(denial: Denial): Promise<void> {
    const { clock, log } = this.deps;
    const chain = log.chainOf(denial.of);
    const key = keyOf(chain, denial);
    const known = this.entries.get(key);
    if (known !== undefined) {
      known.count++;
      return;
    }
    const used = this.perChain.get(chain) ?? 0;
    if (used >= PER_CHAIN) return this.overflow(chain, denial);
    this.add(key, chain, {
      denial,
      count: 0,
      sinceMs: clock.nowMs(),
      endsMs: clock.monotonicMs() + WINDOW_MS,
    });
    await this.write(denial.of, recordOf(denial, clock.nowMs(), {}));
  }

  /** Write down what was only counted so far. Never rejects. */
  async close(): Promise<void> {
    this.timer?.cancel();
    for (const key of [...this.entries.keys()]) await this.end(key);
  }

  private overflow(chain: string, denial: Denial): void {
    const key = `${chain}\n`;
    const known = this.entries.get(key);
    if (known !== undefined) known.count++;
    else {
      const { clock } = this.deps;
      const sinceMs = clock.nowMs();
      this.add(key, chain, { denial, count: 1, sinceMs, endsMs: clock.monotonicMs() + WINDOW_MS });
    }
  }

  private add(key: string, chain: string, entry: Entry): void {
    const [oldest] = this.entries.keys();
    if (this.entries.size >= ENTRIES && oldest !== undefined) void this.end(oldest);
    this.entries.set(key, entry);
    this.perChain.set(chain, (this.perChain.get(chain) ?? 0) + 1);
    this.arm();
  }

  private arm(): void {
    const [first] = this.entries.values();
    if (first === undefined || this.timer !== undefined) return;
    const delayMs = Math.max(0, first.endsMs - this.deps.clock.monotonicMs());
    this.timer = this.deps.clock.after(delayMs + 1, () => {
      this.timer = undefined;
      void this.sweep();
    });
  }

  private async sweep(): Promise<void> {
    const nowMs = this.deps.clock.monotonicMs();
    for (const [key, entry] of [...this.entries]) {
      if (entry.endsMs > nowMs) break;
      await this.end(key);
    }
    this.arm();
  }

  /** A window is over. */
  private async end(key: string): Promise<void> {
    const entry = this.entries.get(key);
    if (entry === undefined) return;
    this.entries.delete(key);
    const chain = this.deps.log.chainOf(entry.denial.of);
    const left = (this.perChain.get(chain) ?? 1) - 1;
    if (left > 0) this.perChain.set(chain, left);
    else this.perChain.delete(chain);
    if (entry.count === 0) return;
    const { count, sinceMs, denial } = entry;
    const counted = { count, sinceMs };
    const details = key.endsWith("\n") ? { ...counted, of: "many callers and methods" } : counted;
    await this.write(denial.of, recordOf(denial, this.deps.clock.nowMs(), details, key.endsWith("\n")));
  }

  private async write(of: LogOf, record: AuditRecord): Promise<void> {
    try {
      const append = () => this.deps.log.append(of, record);
      // SECURITY: a timer runs in the context of the call that set it, which may have been another tenant's.
      await (of === "platform" ? append() : runInContext(contextOf(of), append));
      this.deps.onAppended?.(of);
    } catch (error) {
      this.deps.logger.error({ err: error, action: record.action }, "a refusal could not be recorded");
    }
  }
}

function contextOf({ tenantId }: TenantScope) {
  return { tenantId, principal: null, requestId: "audit" };
}

function keyOf(chain: string, { actor, what, reason }: Denial): string {
  return JSON.stringify([chain, actor.id, actor.credential?.id, what.kind, what.name, Object.values(reason)]);
}

function recordOf(denial: Denial, nowMs: number, counted: object, isMany = false): AuditRecord {
  const { actor, what, reason } = denial;
  if (isMany) return auditRecord(nowMs, ANYBODY, "request.denied", null, { ...counted }, "denied");
  const details = { [what.kind]: what.name, ...reason, ...counted };
  return auditRecord(nowMs, actor, "request.denied", { kind: what.kind, id: what.name }, details, "denied");
}

const ANYBODY: Actor = {
  ...{ kind: "system", id: "many", name: "Many callers", role: null },
  ...{ credential: null, address: null, requestId: null },
};
