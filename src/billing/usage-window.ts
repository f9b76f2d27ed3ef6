/**
 * Which days a question is about. Owns: reading dates, ranges and time zones from a caller, within bounds.
 * Refuses to know: what is counted in those days.
 */
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import {
  addDays,
  type Calendars,
  countDays,
  type Days,
  isDay,
  QUARTER_MS,
  zoneOfOffset,
} from "./calendar.ts";

/** What a caller may say about time, in OpenClaw's words. */
export interface WindowParams {
  days?: number | undefined;
  startDate?: string | undefined;
  endDate?: string | undefined;
  range?: "7d" | "30d" | "90d" | "1y" | "all" | undefined;
  /** `utc`, `specific` (timeZone, else utcOffset), `gateway` (the tenant's own). */
  mode?: "utc" | "gateway" | "specific" | undefined;
  timeZone?: string | undefined;
  utcOffset?: string | undefined;
}

/** Consecutive days of one time zone. */
export interface UsageWindow extends Days {
  timeZone: string;
  startDate: string;
  endDate: string;
}

/** Five years: what one answer can hold. */
const MOST_DAYS = 1_827;
const FIRST_DAY = "1970-01-01";
const RANGE_DAYS = { "7d": 7, "30d": 30, "90d": 90, "1y": 365 } as const;

/** The days that the params mean, by default the last 30 of the tenant's time zone; throws `invalid_request`. */
export async function readWindow(
  scope: TenantScope,
  params: WindowParams,
  deps: { calendars: Calendars; clock: Clock },
): Promise<UsageWindow> {
  const calendar = deps.calendars.of(zoneOf(params, scope.tenant.timeZone));
  const today = calendar.dayOf(deps.clock.nowMs());
  const endDate = readDay(params.endDate, "endDate") ?? today;
  // OpenClaw's clients ask for everything there is with the first day of all.
  const isAll = params.startDate === FIRST_DAY || (params.startDate === undefined && params.range === "all");
  const startDate = isAll
    ? calendar.dayOf(await firstUseMs(scope, deps.clock))
    : (readDay(params.startDate, "startDate") ?? addDays(endDate, 1 - lengthOf(params)));
  const bounded = startDate > endDate && isAll ? endDate : startDate;
  if (bounded > endDate) throw new AppError("invalid_request", "startDate lies after endDate.");
  if (countDays(bounded, endDate) > MOST_DAYS) {
    throw new AppError("invalid_request", `At most ${MOST_DAYS} days can be asked for at once.`);
  }
  const { timeZone } = calendar;
  return { timeZone, startDate: bounded, endDate, ...deps.calendars.days(timeZone, bounded, endDate) };
}

function zoneOf(params: WindowParams, own: string): string {
  if (params.mode === "utc") return "UTC";
  if (params.mode === "gateway") return own;
  if (params.timeZone !== undefined) return params.timeZone;
  return params.utcOffset === undefined ? own : zoneOfOffset(params.utcOffset);
}

function lengthOf(params: WindowParams): number {
  if (params.days !== undefined) return params.days;
  return params.range === undefined || params.range === "all" ? 30 : RANGE_DAYS[params.range];
}

function readDay(text: string | undefined, field: string): string | undefined {
  if (text === undefined || isDay(text)) return text;
  throw new AppError("invalid_request", `${field} is not a day of the calendar.`, { details: { field } });
}

async function firstUseMs(scope: TenantScope, clock: Clock): Promise<number> {
  const row = await scope.db.find<{ slot: number | null }>("SELECT min(slot) AS slot FROM usage_quarters");
  const nowMs = clock.nowMs();
  const earliestMs = nowMs - (MOST_DAYS - 2) * 24 * 3_600_000;
  return Math.max((row?.slot ?? nowMs / QUARTER_MS) * QUARTER_MS, earliestMs);
}
