/**
 * The price book and what tenants spend, for operators, by cookie only. Owns: the routes' shapes, the preview of a
 * price, records. Refuses to know: which price holds when, plans.
 */
import { z } from "zod";
import { auditRecord, auditStatement, PLATFORM } from "../../audit/record.ts";
import { SHIPPED_PRICES } from "../../billing/prices.ts";
import type { PriceDraft, PriceStore } from "../../billing/pricing/price-store.ts";
import { AppError } from "../../kernel/errors.ts";
import { defineRoute, type Route } from "../../protocol/routes.ts";
import type { Database } from "../../storage/database.ts";
import { actorOf } from "./plan-routes.ts";
import { listSpending, type SpendingListDeps } from "./spending-list.ts";

/** What the routes need. */
export interface PriceRouteDeps extends SpendingListDeps {
  store: PriceStore;
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
    doc: "Tenants by what they spent this month (`sort=spend`) or by growth against the same days of the last (`sort=growth`).",
    async handler({ query }) {
      const sort = z.enum(["spend", "growth"]).default("spend").safeParse(query["sort"]);
      if (!sort.success)
        throw new AppError("invalid_request", "sort is spend or growth.", { details: { field: "sort" } });
      return { status: 200, headers: NO_STORE, body: { tenants: await listSpending(deps, sort.data) } };
    },
  });
}

function getPrices({ store }: PriceRouteDeps): Route {
  return defineRoute({
    method: "GET",
    path: "/operator/api/prices",
    policy: { kind: "operator" },
    body: null,
    doc: "Prices and margins that operators set, the newest first, and those that come with the product.",
    async handler() {
      const { rows, margins } = await store.list();
      return {
        status: 200,
        headers: NO_STORE,
        body: { rows: rows.slice(0, 1_000), margins: margins.slice(0, 1_000), shipped: SHIPPED_PRICES },
      };
    },
  });
}

function setPrices({ store, control, clock }: PriceRouteDeps): Route {
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
      const nowMs = clock.nowMs();
      const effects = await Promise.all(
        rows.filter(({ kind }) => kind === "model").map((row) => effectOf(control, row, nowMs)),
      );
      if (isPreview) return { status: 200, headers: NO_STORE, body: { effects } };
      const by = actorOf(call);
      const record = auditRecord(nowMs, by, "prices.set", null, {
        rows: rows.slice(0, 50),
        margins: margins.slice(0, 50),
      });
      await store.add(rows, margins, by.id, [auditStatement(PLATFORM, record)]);
      return { status: 200, headers: NO_STORE, body: { effects } };
    },
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

/** What the last 30 days with the model cost, and would have cost, without margins. */
async function effectOf(control: Database, row: PriceDraft, nowMs: number) {
  const from = new Date(nowMs - 30 * 24 * 3_600_000).toISOString().slice(0, 10);
  const found = await control.find<
    Record<"tenants" | "input" | "output" | "read" | "write" | "before", number>
  >(
    `SELECT count(DISTINCT tenant_id) AS tenants, coalesce(sum(input_tokens), 0) AS input,
        coalesce(sum(output_tokens), 0) AS output, coalesce(sum(cache_read_tokens), 0) AS read,
        coalesce(sum(cache_write_tokens), 0) AS write, coalesce(sum(platform_cost_micros), 0) AS before
      FROM usage_daily WHERE day >= ? AND lower(provider) = lower(?) AND lower(model) = lower(?)
        AND platform_cost_micros > 0 AND (? = '' OR tenant_id = ?)`,
    [from, row.provider, row.name, row.tenantId, row.tenantId],
  );
  const { tenants = 0, input = 0, output = 0, read = 0, write = 0, before = 0 } = found ?? {};
  const { cacheRead = row.input, cacheWrite = row.input } = row;
  const after =
    BigInt(input) * BigInt(row.input) +
    BigInt(output) * BigInt(row.output) +
    BigInt(read) * BigInt(cacheRead) +
    BigInt(write) * BigInt(cacheWrite);
  const { provider, name: model, tenantId } = row;
  return {
    provider,
    model,
    tenantId,
    tenants,
    beforeMicros: before,
    afterMicros: Number((after + 999_999n) / 1_000_000n),
  };
}
