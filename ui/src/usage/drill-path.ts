/** Addresses of figures that are followed. Owns: the query's names and which step comes next. Refuses to know: requests. */
import { DRILL_GROUPS, type DrillGroup } from "../http/billing.ts";

const DAY_MS = 86_400_000;

/** What comes after a row of each kind was chosen. */
const NEXT: Readonly<Record<DrillGroup, DrillGroup>> = {
  day: "session",
  user: "session",
  agent: "session",
  model: "session",
  channel: "session",
  session: "run",
  run: "model",
};

/** Days and filters of an address, without what is not known. */
export interface DrillPlace {
  from: string | null;
  to: string | null;
  groupBy: DrillGroup;
  filters: Partial<Record<DrillGroup, string>>;
}

/** A day of the calendar, as addresses name it; null for what is none. */
function dayOf(text: string | null): string | null {
  if (text === null || !/^\d{4}-\d{2}-\d{2}$/.test(text)) return null;
  const atMs = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(atMs) && new Date(atMs).toISOString().startsWith(text) ? text : null;
}

/** What an address asks for; what is no day, or ends before it begins, falls back to the days that are usual. */
export function readPlace(search: URLSearchParams): DrillPlace {
  const filters: DrillPlace["filters"] = {};
  for (const group of DRILL_GROUPS) {
    const value = group === "day" ? dayOf(search.get(group)) : search.get(group);
    if (value) filters[group] = value;
  }
  const groupBy = DRILL_GROUPS.find((group) => group === search.get("groupBy")) ?? "day";
  const [from, to] = [dayOf(search.get("from")), dayOf(search.get("to"))];
  if (from !== null && to !== null && from > to) return { from: null, to: null, groupBy, filters };
  return { from, to, groupBy, filters };
}

/** The same as a query, for addresses and requests alike. */
export function queryOf(place: DrillPlace): URLSearchParams {
  const query = new URLSearchParams();
  for (const name of ["from", "to"] as const) {
    const value = place[name];
    if (value !== null) query.set(name, value);
  }
  for (const [group, key] of Object.entries(place.filters)) query.set(group, key);
  query.set("groupBy", place.groupBy);
  return query;
}

/** Where a row leads: its key becomes a filter, and the next thing not yet chosen groups. */
export function placeBelow(place: DrillPlace, key: string): DrillPlace {
  const filters = { ...place.filters, [place.groupBy]: key };
  let groupBy = NEXT[place.groupBy];
  for (let step = 0; step < DRILL_GROUPS.length && filters[groupBy] !== undefined; step += 1)
    groupBy = NEXT[groupBy];
  return { ...place, filters, groupBy };
}

/** Days around an instant, as a calendar of the zone names them; a turn may go on past midnight. */
function daysAround(atMs: number, timeZone: string): { from: string; to: string } {
  const day = new Intl.DateTimeFormat("en-CA", { timeZone, dateStyle: "short" });
  return { from: day.format(new Date(atMs - DAY_MS)), to: day.format(new Date(atMs + DAY_MS)) };
}

/** The page of one turn, from an instant in it. */
export function turnPath(runId: string, atMs: number, timeZone: string): string {
  return drillPath({ ...daysAround(atMs, timeZone), groupBy: "model", filters: { run: runId } });
}

/** The page of a place. */
export function drillPath(place: DrillPlace): string {
  return `/usage/details?${queryOf(place)}`;
}
