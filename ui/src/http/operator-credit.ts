/** Corrections of an organization's credit over HTTP, as operators see it. Owns: those shapes. Refuses to know: how they look. */
import { requestJson } from "./request.ts";

/** A line about credit that is no call's. */
export interface CreditLine {
  id: string;
  kind: string;
  /** Micro-units; below zero what left credit. */
  amountMicros: number;
  atMs: number;
  reason: string | null;
  /** How much of it a correction can answer. */
  openMicros: number;
}

/** The newest lines, the newest first. */
export function listCreditLines(tenantId: string): Promise<{ lines: CreditLine[] }> {
  return requestJson("GET", `/operator/api/tenants/${encodeURIComponent(tenantId)}/credits`);
}

/** Takes credit (below zero) or gives it back; the same key counts once. */
export function adjustCredit(wish: {
  tenantId: string;
  amountMicros: number;
  reason: string;
  linkedTo?: string;
  mayOwe?: boolean;
  idempotencyKey: string;
}): Promise<unknown> {
  return requestJson("POST", "/operator/api/adjustments", wish);
}
