/**
 * What a plan lets a tenant keep. Owns: who may still write how much, the refusal's words, when a warning is due.
 * Refuses to know: how bytes are counted, what is written.
 *
 * Files stop at the limit. Words of conversations go on into a small reserve beyond it, so that people can still talk
 * about what to remove. Removing always works.
 */
import { AppError } from "../../kernel/errors.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Plan } from "../plans/plan.ts";
import type { TenantPlans } from "../plans/tenant-plans.ts";
import type { StorageAlerts } from "./storage-alerts.ts";
import type { HeldBytes, StorageCounts } from "./storage-counts.ts";

/** `files` are uploads, attachments and workspaces, `words` the text of conversations. */
export type Stored = "files" | "words";

/** What limits need. */
export interface StorageLimitsDeps {
  counts: StorageCounts;
  plans: TenantPlans;
  alerts: Pick<StorageAlerts, "look">;
}

const LEAST_RESERVE = 1024 * 1024;
const MOST_RESERVE = 64 * 1024 * 1024;

/** Bytes beyond the limit that words may take: a twentieth of it, between 1 and 64 MiB. */
export function reserveOf(limitBytes: number): number {
  return Math.min(MOST_RESERVE, Math.max(LEAST_RESERVE, Math.floor(limitBytes / 20)));
}

/** See the head of this file. */
export class StorageLimits {
  private readonly deps: StorageLimitsDeps;

  constructor(deps: StorageLimitsDeps) {
    this.deps = deps;
  }

  /** Hold back room for what is about to be written; throws `plan_limit` when the plan has none. End it in any case. */
  async hold(scope: TenantScope, growBytes: number, stored: Stored): Promise<HeldBytes> {
    const { counts, plans, alerts } = this.deps;
    const { tenantId } = scope;
    const { plan } = await plans.of(tenantId);
    const { storageBytes: limitBytes } = plan.terms;
    const reserve = limitBytes === null || stored === "files" ? 0 : reserveOf(limitBytes);
    const outcome = await counts.hold(tenantId, growBytes, limitBytes === null ? null : limitBytes + reserve);
    if (limitBytes === null) {
      if (outcome.isHeld) return outcome.hold;
      throw new AppError("internal", "Nothing is refused without a limit.");
    }
    alerts.look(scope, limitBytes);
    if (!outcome.isHeld) throw storageRefused(plan, limitBytes, outcome.usedBytes, growBytes);
    const { hold } = outcome;
    return {
      end: (changedBytes) => {
        hold.end(changedBytes);
        alerts.look(scope, limitBytes);
      },
    };
  }
}

/** What somebody is told whose organization's storage is full. */
function storageRefused(
  plan: Pick<Plan, "id" | "terms">,
  limitBytes: number,
  usedBytes: number,
  neededBytes: number,
): AppError {
  return new AppError(
    "plan_limit",
    `The plan "${plan.terms.name}" holds ${size(limitBytes)} of files and conversations; ${size(usedBytes)} are taken and this needs ${size(neededBytes)}. Nothing was stored. Remove files or agents with their files, or ask whoever runs the platform for a larger plan.`,
    { details: { plan: plan.id, what: "storage", limit: limitBytes, usedBytes, neededBytes } },
  );
}

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"] as const;

/** Bytes for people, e.g. `1.5 MiB`. */
export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}
