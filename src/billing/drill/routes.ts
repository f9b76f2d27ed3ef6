/**
 * Following a figure down, by HTTP. Owns: `/api/usage/drill`. Refuses to know: how sums are made, who people are.
 */
import { z } from "zod";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { describeIssues } from "../../protocol/methods.ts";
import { defineTenantRoute, type Route } from "../../protocol/routes.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { Calendars } from "../calendar.ts";
import { readWindow } from "../usage-window.ts";
import { DRILL_GROUPS, type DrillGroup, readDrill } from "./usage-drill.ts";

/** What keys are called by people; keys without a name keep the one they have. */
export type NameReader = (
  scope: TenantScope,
  group: DrillGroup,
  keys: readonly string[],
) => Promise<ReadonlyMap<string, string>>;

/** What the route needs. */
export interface DrillRouteDeps {
  clock: Clock;
  names: NameReader;
}

const DAY = z.string().regex(/^\d{4}-\d{2}-\d{2}$/, "must be YYYY-MM-DD");
const KEY = z.string().min(1).max(512);

const QUERY = z.object({
  ...{ day: DAY.optional(), from: DAY.optional(), to: DAY.optional() },
  ...{ agent: KEY.optional(), user: KEY.optional(), model: KEY.optional(), channel: KEY.optional() },
  ...{ session: KEY.optional(), run: KEY.optional() },
  groupBy: z.enum(DRILL_GROUPS).default("day"),
});

/** Declare the route. */
export function makeDrillRoutes(deps: DrillRouteDeps): Route[] {
  const reading = { clock: deps.clock, calendars: new Calendars() };
  return [
    defineTenantRoute({
      method: "GET",
      path: "/api/usage/drill",
      scope: "operator.read",
      body: null,
      doc: "Usage by `groupBy` (day, agent, user, model, channel, session, run) of one `day`, or of the days `from` to `to` (the last 30), filtered by agent, user, model, channel, session, run. Sums are whole micro-units, equal at every level; `rest` holds what is beyond 1,000 rows.",
      async handler({ tenant, query }) {
        const { day, from, to, groupBy, ...filter } = readQuery(query);
        const window = await readWindow(tenant, { startDate: day ?? from, endDate: day ?? to }, reading);
        const { rows, rest, total } = await readDrill(tenant, window, filter, groupBy);
        const names = await deps.names(
          tenant,
          groupBy,
          rows.map((row) => row.key),
        );
        const named = rows.map((row) => ({ ...row, name: names.get(row.key) ?? row.name }));
        const span = { from: window.startDate, to: window.endDate, timeZone: window.timeZone };
        return {
          status: 200,
          body: { ...span, rows: named, rest: rest ?? null, total, totalMicros: total.costMicros },
        };
      },
    }),
  ];
}

function readQuery(query: Readonly<Record<string, string>>): z.output<typeof QUERY> {
  const given = Object.fromEntries(Object.entries(query).filter(([, value]) => value !== ""));
  const parsed = QUERY.safeParse(given);
  if (parsed.success) return parsed.data;
  throw new AppError("invalid_request", `invalid query: ${describeIssues(parsed.error.issues)}`);
}
