/**
 * The price book and what tenants spend, for operators, by cookie only. Owns: the routes' shapes, records.
 * Refuses to know: which price holds when, what it would have changed, plans.
 */
import { z } from "zod";
import { auditRecord, auditStatement, PLATFORM } from "../../audit/record.ts";
import { PriceRows } from "../../billing/pricing/price-rows.ts";
import type { PriceStore } from "../../billing/pricing/price-store.ts";
import type { PriceEntry } from "../../billing/pricing/price-table.ts";
import { type PriceTrialDeps, tryPrices } from "../../billing/pricing/price-trial.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import { defineRoute, type Route, type RouteCall } from "../../protocol/routes.ts";
import type { Statement } from "../../storage/database.ts";
import type { Tenants } from "../../tenancy/tenants.ts";
import { actorOf } from "./plan-routes.ts";
import { listSpending, platformCurrency, SPENDING_ROWS, type SpendingListDeps } from "./spending-list.ts";

/** What the routes need. */
export interface PriceRouteDeps extends SpendingListDeps, PriceTrialDeps {
  store: PriceStore;
  tenants: Tenants;
}

const NO_STORE = { "cache-control": "no-store" };
const MICROS = z.int().min(0).max(100_000_000_000);
const DAY = z.string().regex(/^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])$/);
const OWNER = z.union([z.literal(""), z.uuid()]).default("");

const PRICE = z.object({
  kind: z.enum(["model", "tool", "storage"]),
  tenantId: OWNER,
  provider: z.string().max(64).default(""),
  name: z.string().max(256).default(""),
  fromDay: DAY,
  input: MICROS,
  output: MICROS.default(0),
  cacheRead: MICROS.optional(),
  cacheWrite: MICROS.optional(),
  reasoning: MICROS.optional(),
  source: z.string().trim().min(1).max(300),
});

const MARGIN = z.object({ tenantId: OWNER, fromDay: DAY, basisPoints: z.int().min(-10_000).max(100_000) });

/** The routes, for the gateway. */
export function makeOperatorPriceRoutes(deps: PriceRouteDeps): Route[] {
  return [getSpending(deps), getPrices(deps), setPrices(deps)];
}

function getSpending(deps: PriceRouteDeps): Route {
  return defineRoute({
    method: "GET",
    path: "/operator/api/billing",
    policy: { kind: "operator" },
    body: null,
    doc: "Tenants by what they spent this month (`sort=spend`), by growth against the same days of the last (`sort=growth`) or by margin (`sort=margin`); with `over=1` only those over their plan's budget. Amounts of different currencies are never mixed: the platform's comes first.",
    async handler({ query }) {
      const sort = z.enum(["spend", "growth", "margin"]).default("spend").safeParse(query["sort"]);
      if (!sort.success)
        throw new AppError("invalid_request", "sort is spend, growth or margin.", {
          details: { field: "sort" },
        });
      const tenants = await listSpending(deps, { sort: sort.data, isOver: query["over"] === "1" });
      const currency = await platformCurrency(deps.control);
      const isCut = tenants.length >= SPENDING_ROWS;
      return { status: 200, headers: NO_STORE, body: { currency, tenants, isCut } };
    },
  });
}

const MOST_ROWS = 1_000;

function getPrices({ store, control, clock }: PriceRouteDeps): Route {
  return defineRoute({
    method: "GET",
    path: "/operator/api/prices",
    policy: { kind: "operator" },
    body: null,
    doc: "Prices and margins that operators set, the newest first, with what each is today (`in_force`, `later`, `replaced`), and those of the table that comes with the product or of the operator's own file (`shipped`); `table` says which, and whether its currency is used here. At most 1,000 of each, what has been replaced last; `isCut` says that there are more.",
    async handler() {
      const [{ rows, margins }, currency] = await Promise.all([store.list(), platformCurrency(control)]);
      const { currency: tableCurrency, version, isShipped } = store.table;
      const today = new Date(clock.nowMs()).toISOString().slice(0, 10);
      const known = new PriceRows(rows, margins);
      // What holds or will is never cut off by what has been.
      const shown = <Row extends { standing: string }>(all: Row[]) =>
        [
          ...all.filter(({ standing }) => standing !== "replaced"),
          ...all.filter(({ standing }) => standing === "replaced"),
        ].slice(0, MOST_ROWS);
      const body = {
        ...{ currency, today },
        rows: shown(rows.map((row) => ({ ...row, standing: known.standingOf(row, today) }))),
        margins: shown(margins.map((row) => ({ ...row, standing: known.marginStandingOf(row, today) }))),
        shipped: shown(tableOn(store.table.entries, today, known)),
        isCut: Math.max(rows.length, margins.length, store.table.entries.length) > MOST_ROWS,
        table: { currency: tableCurrency, version, isShipped, isUsed: tableCurrency === currency },
        tenants: await namesOf(control, [...rows, ...margins]),
      };
      return { status: 200, headers: NO_STORE, body };
    },
  });
}

/** A row of the table holds where it is the newest that has begun and no operator set a price for everybody. */
function tableOn(entries: readonly PriceEntry[], today: string, known: PriceRows) {
  const byModel = Map.groupBy(entries, ({ provider, model }) => `${provider}\n${model}`.toLowerCase());
  return entries.map((row) => {
    const ofModel = byModel.get(`${row.provider}\n${row.model}`.toLowerCase()) ?? [];
    const newest = ofModel.filter(({ from }) => from <= today).sort((a, b) => (a.from < b.from ? 1 : -1))[0];
    const isOverruled =
      known.find("model", { provider: row.provider, name: row.model }, "", today) !== undefined;
    const isHeld = newest === row && !isOverruled;
    const standing = isHeld ? "in_force" : row.from > today && !isOverruled ? "later" : "replaced";
    return { ...row, standing };
  });
}

/** What the tenants of rows are called. */
async function namesOf(
  control: PriceRouteDeps["control"],
  rows: readonly { tenantId: string }[],
): Promise<Record<string, string>> {
  const ids = JSON.stringify([...new Set(rows.map(({ tenantId }) => tenantId).filter((id) => id !== ""))]);
  const found = await control.list<{ id: string; name: string }>(
    "SELECT id, display_name AS name FROM tenants WHERE id IN (SELECT value FROM json_each(?)) LIMIT 10000",
    [ids],
  );
  return Object.fromEntries(found.map(({ id, name }) => [id, name]));
}

function setPrices(deps: PriceRouteDeps): Route {
  const { store, clock, tenants } = deps;
  return defineRoute({
    method: "PUT",
    path: "/operator/api/prices",
    policy: { kind: "operator" },
    body: z.object({
      rows: z.array(PRICE).max(200).default([]),
      margins: z.array(MARGIN).max(200).default([]),
      isPreview: z.boolean().default(false),
    }),
    doc: "Add prices and margins from a day on, today (UTC) at the earliest; what was charged stays charged. With `isPreview` nothing is stored: the answer says what the last 30 days would have cost.",
    async handler(call) {
      const { rows, margins, isPreview } = call.body;
      for (const row of rows) assertNamed(row);
      for (const id of ownersOf(rows, margins)) await tenants.getById(id);
      if (isPreview) {
        const effects = await tryPrices(deps, rows, margins, clock.nowMs());
        return { status: 200, headers: NO_STORE, body: { effects } };
      }
      const by = actorOf(call);
      await store.add(rows, margins, by.id, recordsOf(call, rows, margins, clock.nowMs()));
      return { status: 200, headers: NO_STORE, body: { rows: rows.length, margins: margins.length } };
    },
  });
}

type Rows = readonly z.output<typeof PRICE>[];
type Margins = readonly z.output<typeof MARGIN>[];

function ownersOf(rows: Rows, margins: Margins): Set<string> {
  return new Set([...rows, ...margins].map(({ tenantId }) => tenantId).filter((id) => id !== ""));
}

function ownedBy<Row extends { tenantId: string }>(owner: string, all: readonly Row[]): Row[] {
  return all.filter(({ tenantId }) => tenantId === owner).slice(0, 50);
}

/** One record for everybody's prices, and one in each tenant's own log (copied to the platform's) for its own. */
function recordsOf(call: RouteCall<unknown>, rows: Rows, margins: Margins, nowMs: number): Statement[] {
  const by = actorOf(call);
  const owners = [...new Set([...rows, ...margins].map(({ tenantId }) => tenantId))];
  return owners.map((owner) => {
    const ofOwner = { rows: ownedBy(owner, rows), margins: ownedBy(owner, margins) };
    const details = Object.fromEntries(Object.entries(ofOwner).filter(([, found]) => found.length > 0));
    if (owner === "") return auditStatement(PLATFORM, auditRecord(nowMs, by, "prices.set", null, details));
    const target = { kind: "tenant", id: owner };
    return auditStatement(owner as TenantId, auditRecord(nowMs, by, "tenant.prices_set", target, details));
  });
}

function assertNamed({ kind, provider, name }: z.output<typeof PRICE>): void {
  const isNamed = kind === "storage" ? name === "" : name !== "" && (kind === "tool") === (provider === "");
  if (isNamed) return;
  throw new AppError(
    "invalid_request",
    "A model's price names provider and model, a tool's its name, storage nothing.",
    {
      details: { field: "rows" },
    },
  );
}
