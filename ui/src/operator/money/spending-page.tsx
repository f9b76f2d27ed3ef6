/** Organizations by what they spend. Owns: order, tables, the way to a plan. Refuses to know: what they spend it on. */
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { Building2 } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { listPlans, listSpending, type SpendingOrder, type SpendingRow } from "../../http/operator-money.ts";
import { useFormats } from "../../i18n/formats.ts";
import { useMoney } from "../../i18n/use-money.ts";
import { useSpeech, useWords } from "../../i18n/words-context.tsx";
import { Badge } from "../../parts/badge.tsx";
import { Button } from "../../parts/button.tsx";
import { Sheet } from "../../parts/page-frame.tsx";
import { Segmented } from "../../parts/segmented.tsx";
import { Empty, Problem, Skeleton } from "../../parts/states.tsx";
import { OperatorPage } from "../operator-page.tsx";
import { usePriceFormat } from "../prices/price-format.ts";
import { PinDialog } from "./pin-dialog.tsx";

const CELL = "px-3 py-2.5 text-right whitespace-nowrap tabular-nums";
const ORDERS = ["spend", "growth", "margin"] as const;

function SpendingLine(props: { row: SpendingRow; onPin: () => void }) {
  const { words, language } = useSpeech();
  const formats = useFormats();
  const { row } = props;
  const money = useMoney(row.currency);
  const { margin } = usePriceFormat(row.currency);
  const growth = new Intl.NumberFormat(language, {
    style: "percent",
    maximumFractionDigits: 0,
    signDisplay: "exceptZero",
  });
  const share = row.limitMicros ? formats.percent(row.spentMicros / row.limitMicros) : "";
  return (
    <tr className="border-t border-line">
      <td className="max-w-40 px-4 py-2.5 sm:max-w-64 sm:px-6">
        <Link
          href={`/tenants/${encodeURIComponent(row.id)}`}
          className="block truncate font-semibold underline-offset-4 hover:underline"
        >
          {row.name}
        </Link>
        <span className="flex items-center gap-2">
          <span className="truncate font-mono text-xs text-ink-3">{row.slug}</span>
          {row.isOver ? <Badge tone="danger">{words.money.over}</Badge> : null}
        </span>
      </td>
      <td className={CELL}>{money.show(row.spentMicros)}</td>
      <td className={CELL}>
        {row.limitMicros === null ? words.billing.noLimit : `${money.show(row.limitMicros)} · ${share}`}
      </td>
      <td className={CELL}>{row.growth === null ? "–" : growth.format(row.growth)}</td>
      <td className={CELL}>
        {row.marginBasisPoints === 0
          ? "–"
          : `${margin(row.marginBasisPoints)} · ${money.show(row.marginMicros)}`}
      </td>
      <td className={`${CELL} sm:pr-6`}>
        <Button small aria-label={words.money.pinOf(row.name, row.plan)} onClick={props.onPin}>
          {row.plan}
        </Button>
      </td>
    </tr>
  );
}

function Table(props: { rows: SpendingRow[]; onPin: (row: SpendingRow) => void; label: string }) {
  const words = useWords();
  const m = words.money;
  const heads = [words.billing.spent, words.billing.limit, m.growth, m.margin, words.billing.plan];
  return (
    <section
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table scrolls by keyboard too
      tabIndex={0}
      aria-label={props.label}
      className="overflow-x-auto rounded-large border border-line bg-card shadow-1"
    >
      <table className="w-full text-m">
        <thead>
          <tr className="text-xs text-ink-3">
            <th scope="col" className="px-4 py-3 text-left font-medium sm:px-6">
              {words.operator.name}
            </th>
            {heads.map((head) => (
              <th
                key={head}
                scope="col"
                title={head === m.margin ? words.operatorMoney.marginHeld : undefined}
                className="px-3 py-3 text-right font-medium last:sm:pr-6"
              >
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((row) => (
            <SpendingLine key={row.id} row={row} onPin={() => props.onPin(row)} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** One table for each currency, so that no amount is read against one of another. */
function Tables(props: {
  answer: Awaited<ReturnType<typeof listSpending>>;
  onPin: (row: SpendingRow) => void;
}) {
  const words = useWords();
  const m = words.operatorMoney;
  const { answer } = props;
  const currencies = [...new Set(answer.tenants.map(({ currency }) => currency))];
  return (
    <>
      {currencies.map((currency) => (
        <div key={currency} className="grid grid-cols-1 gap-2">
          {currency === answer.currency ? null : (
            <>
              <h2 className="text-l font-semibold">{m.inCurrency(currency)}</h2>
              <p className="text-s text-ink-2">{m.otherCurrency(currency)}</p>
            </>
          )}
          <Table
            label={`${words.money.spending}: ${currency}`}
            rows={answer.tenants.filter((row) => row.currency === currency)}
            onPin={props.onPin}
          />
        </div>
      ))}
      {answer.isCut ? <p className="text-s text-ink-3">{m.cut(answer.tenants.length)}</p> : null}
    </>
  );
}

/** The page. */
export function SpendingPage() {
  const words = useWords();
  const queries = useQueryClient();
  const [sort, setSort] = useState<SpendingOrder>("spend");
  const [onlyOver, setOnlyOver] = useState(false);
  const [pinning, setPinning] = useState<SpendingRow>();
  const list = useQuery({
    queryKey: ["operator", "spending", sort, onlyOver],
    queryFn: () => listSpending(sort, onlyOver),
    placeholderData: keepPreviousData,
  });
  const plans = useQuery({ queryKey: ["operator", "plans"], queryFn: listPlans });
  const error = list.error ?? plans.error;
  const orders = { ...words.money.sorts, margin: words.operatorMoney.sortMargin };
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
            options={ORDERS.map((value) => ({ value, label: orders[value] }))}
          />
        </div>
      }
    >
      {error ? (
        <Problem error={error} onRetry={() => void queries.invalidateQueries({ queryKey: ["operator"] })} />
      ) : !list.data || !plans.data ? (
        <Skeleton lines={8} label={words.money.spending} />
      ) : list.data.tenants.length === 0 ? (
        <Sheet>
          <Empty
            icon={<Building2 size={28} aria-hidden />}
            title={onlyOver ? words.money.noneOver : words.operatorMoney.noTenants}
          />
        </Sheet>
      ) : (
        <Tables answer={list.data} onPin={setPinning} />
      )}
      {pinning && plans.data ? (
        <PinDialog
          row={pinning}
          book={plans.data}
          onClose={() => setPinning(undefined)}
          onDone={() => void queries.invalidateQueries({ queryKey: ["operator"] })}
        />
      ) : null}
    </OperatorPage>
  );
}
