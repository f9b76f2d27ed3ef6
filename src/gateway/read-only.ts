/**
 * What a caller who may only read is told. Owns: which calls change something, the words of the refusal, and that an
 * operator's looks are on record. Refuses to know: why somebody may only read (the principal says it).
 */
import { AppError } from "../kernel/errors.ts";
import type { CostClass } from "../protocol/methods.ts";
import type { Principal, ReadOnlyCause } from "../tenancy/principal.ts";
import { allows, type Scope } from "../tenancy/scopes.ts";

/** Puts on record that an operator looked at something in a tenant; on disk when it resolves. */
export type LookRecorder = (principal: Principal, what: string) => Promise<void>;

const REFUSALS: Readonly<Record<ReadOnlyCause, { code: string; message: string }>> = {
  suspended: {
    code: "TENANT_READ_ONLY",
    message: "This organization is read-only: it is suspended. Ask whoever runs the platform.",
  },
  break_glass: { code: "BREAK_GLASS_READ_ONLY", message: "An operator who looks in can only read." },
};

/**
 * Refuse what changes something, and what needs more than reading, to a caller who may only read. SECURITY: besides the
 * scopes, since some things that a reader may change need no more than the scope to read.
 */
export function assertMayCall(principal: Principal, needed: Scope | null, isChange: boolean): void {
  const cause = principal.readOnly ?? null;
  if (cause === null || (!isChange && allows(principal.scopes, needed))) return;
  const { code, message } = REFUSALS[cause];
  throw new AppError("forbidden", message, { details: { code, readOnly: cause } });
}

/** Whether a method of this cost changes something. */
export function isChange(cost: CostClass): boolean {
  return cost === "write" || cost === "turn";
}

/** What is looked at, for the record: the name of the call and the one thing it names. */
export function lookOf(name: string, params: unknown): string {
  const named = params as Readonly<Record<string, unknown>> | null | undefined;
  const values = ["sessionKey", "key", "agentId", "name", "path"].map((field) => named?.[field]);
  const value = values.find((found) => typeof found === "string");
  return value === undefined ? name : `${name} ${String(value)}`;
}
