/** Organizations by what they spend. Owns: order, table, the way to a plan. Refuses to know: what they spend it on. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Building2 } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { listPlans, listSpending, type Plan, type SpendingRow } from "../../http/operator-money.ts";
import { useFormats } from "../../i18n/formats.ts";
import { makeMoney } from "../../i18n/money.ts";
import { useSpeech, useWords } from "../../i18n/words-context.tsx";
import { Badge } from "../../parts/badge.tsx";
import { Button } from "../../parts/button.tsx";
import { Sheet } from "../../parts/page-frame.tsx";
import { Segmented } from "../../parts/segmented.tsx";
import { Empty, Problem, Skeleton } from "../../parts/states.tsx";
import { OperatorPage } from "../operator-page.tsx";
import { PinDialog } from "./pin-dialog.tsx";

const CELL = "px-3 py-2.5 text-right whitespace-nowrap";

function SpendingLine(props: { row: SpendingRow; currency: string; onPin: () => void }) {
  const { words, language } = useSpeech();
  const formats = useFormats();
  const { row } = props;
  const money = makeMoney(language, props.currency);
  const growth = new Intl.NumberFormat(language, {
    style: "percent",
    maximumFractionDigits: 0,
    signDisplay: "exceptZero",
  });
  const share = row.limitMicros ? formats.percent(row.spentMicros / row.limitMicros) : "";
  return (
    <tr className="border-t border-line">
      <td className="max-w-64 px-4 py-2.5 sm:px-6">
        <Link
          href={`/tenants/${encodeURIComponent(row.id)}`}
          className="block truncate font-semibold underline-offset-4 hover:underline"
        >
          {row.name}
        </Link>
        <span className="block truncate font-mono text-xs text-ink-3">{row.slug}</span>
      </td>
      <td className={CELL}>
        <span className="inline-flex items-center gap-2">
          {row.isOver ? <Badge tone="danger">{words.money.over}</Badge> : null}
          {money.show(row.spentMicros)}
        </span>
      </td>
      <td className={CELL}>
        {row.limitMicros === null ? words.billing.noLimit : `${money.show(row.limitMicros)} · ${share}`}
      </td>
      <td className={CELL}>{row.growth === null ? "–" : growth.format(row.growth)}</td>
      <td className={CELL}>{money.show(row.marginMicros)}</td>
      <td className={`${CELL} sm:pr-6`}>
        <Button small aria-label={words.money.pinOf(row.name, row.plan)} onClick={props.onPin}>
          {row.plan}
        </Button>
      </td>
    </tr>
  );
}

function Table(props: { rows: SpendingRow[]; plans: Plan[]; onPin: (row: SpendingRow) => void }) {
  const words = useWords();
  const m = words.money;
  const currencyOf = (plan: string) => props.plans.find(({ id }) => id === plan)?.terms.currency ?? "USD";
  const heads = [words.billing.spent, words.billing.limit, m.growth, m.margin, words.billing.plan];
  return (
    <section
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table scrolls by keyboard too
      tabIndex={0}
      aria-label={m.spending}
      className="overflow-x-auto rounded-large border border-line bg-card shadow-1"
    >
      <table className="w-full text-m">
        <thead>
          <tr className="text-xs text-ink-3">
            <th scope="col" className="px-4 py-3 text-left font-medium sm:px-6">
              {words.operator.name}
            </th>
            {heads.map((head) => (
              <th key={head} scope="col" className="px-3 py-3 text-right font-medium last:sm:pr-6">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((row) => (
            <SpendingLine
              key={row.id}
              row={row}
              currency={currencyOf(row.plan)}
              onPin={() => props.onPin(row)}
            />
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** The page. */
export function SpendingPage() {
  const words = useWords();
  const queries = useQueryClient();
  const [sort, setSort] = useState<"spend" | "growth">("spend");
  const [onlyOver, setOnlyOver] = useState(false);
  const [pinning, setPinning] = useState<SpendingRow>();
  const list = useQuery({ queryKey: ["operator", "spending", sort], queryFn: () => listSpending(sort) });
  const plans = useQuery({ queryKey: ["operator", "plans"], queryFn: listPlans });
  const error = list.error ?? plans.error;
  const rows = (list.data ?? []).filter((row) => !onlyOver || row.isOver);
  return (
    <OperatorPage
      title={words.money.spending}
      subtitle={words.money.spendingHint}
      actions={
        <div className="flex flex-wrap gap-2">
          <Button aria-pressed={onlyOver} onClick={() => setOnlyOver(!onlyOver)}>
            {onlyOver ? words.money.showAll : words.money.onlyOver}
          </Button>
          <Segmented
            label={words.money.sort}
            value={sort}
            onChange={setSort}
            options={(["spend", "growth"] as const).map((value) => ({
              value,
              label: words.money.sorts[value],
            }))}
          />
        </div>
      }
    >
      {error ? (
        <Problem error={error} onRetry={() => void queries.invalidateQueries({ queryKey: ["operator"] })} />
      ) : !list.data || !plans.data ? (
        <Skeleton lines={8} label={words.money.spending} />
      ) : rows.length === 0 ? (
        <Sheet>
          <Empty icon={<Building2 size={28} aria-hidden />} title={words.money.noneOver} />
        </Sheet>
      ) : (
        <Table rows={rows} plans={plans.data} onPin={setPinning} />
      )}
      {pinning && plans.data ? (
        <PinDialog
          row={pinning}
          plans={plans.data}
          onClose={() => setPinning(undefined)}
          onDone={() => void queries.invalidateQueries({ queryKey: ["operator"] })}
        />
      ) : null}
    </OperatorPage>
  );
}
