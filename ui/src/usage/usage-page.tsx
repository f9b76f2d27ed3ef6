/** What the organization used. Owns: period, measure, layout. Refuses to know: prices. */
import { ChartColumn, Download, ListTree, Table2 } from "lucide-react";
import { useMemo, useState } from "react";
import { Link } from "wouter";
import { useTenantMoney } from "../billing/use-billing.ts";
import { useTenant } from "../gateway/tenant-context.tsx";
import { useCall } from "../gateway/use-call.ts";
import type { SessionsUsage, UsageTotals } from "../gateway/wire.ts";
import { useFormats } from "../i18n/formats.ts";
import type { Money } from "../i18n/money.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { PageFrame, Sheet } from "../parts/page-frame.tsx";
import { Segmented } from "../parts/segmented.tsx";
import { Empty, Problem, Skeleton } from "../parts/states.tsx";
import { DayTable } from "./day-table.tsx";
import { downloadCsv } from "./download-csv.ts";
import { type DrillPlace, drillPath, placeBelow } from "./drill-path.ts";
import { DrillSheet } from "./drill-sheet.tsx";
import { type Measure, UsageChart } from "./usage-chart.tsx";
import { csvText, daysOf, microsOf, type UsageDay } from "./usage-numbers.ts";

const PERIODS = ["7", "30", "90"] as const;
type Period = (typeof PERIODS)[number];

function Totals(props: { usage: SessionsUsage; money: Money }) {
  const words = useWords();
  const formats = useFormats();
  const { totals, aggregates, sessions } = props.usage;
  const micros = microsOf(totals.totalCost);
  const figures: [string, string, string?][] = [
    [words.usage.totalTokens, formats.compact(totals.totalTokens), formats.count(totals.totalTokens)],
    [words.usage.totalCost, props.money.show(micros), props.money.exact(micros)],
    [words.usage.messages, formats.count(aggregates.messages?.total ?? 0)],
    [words.usage.sessions, formats.count(aggregates.sessionCount ?? sessions.length)],
    [words.usage.toolCalls, formats.count(aggregates.tools?.totalCalls ?? 0)],
  ];
  return (
    <dl className="grid grid-cols-2 gap-x-8 gap-y-5 sm:flex sm:flex-wrap sm:gap-x-12">
      {figures.map(([name, value, exact]) => (
        <div key={name} className="flex flex-col-reverse justify-end">
          <dt className="text-s text-ink-2">
            {name}
            {exact ? <span className="block text-xs text-ink-3">{exact}</span> : null}
          </dt>
          <dd className="text-3xl font-semibold tracking-tight">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function useCsv(days: readonly UsageDay[]): () => void {
  const words = useWords();
  const { slug } = useTenant();
  const { currency } = useTenantMoney();
  return () => {
    const u = words.usage;
    const head = [
      u.date,
      u.input,
      u.output,
      u.cacheRead,
      u.cacheWrite,
      u.total,
      currency === undefined ? u.cost : `${u.cost} (${currency})`,
    ];
    const rows = days.map(({ date, totals }) => [
      date,
      totals.input,
      totals.output,
      totals.cacheRead,
      totals.cacheWrite,
      totals.totalTokens,
      totals.totalCost,
    ]);
    downloadCsv(`creel-${slug}-${days[0]?.date}-${days.at(-1)?.date}.csv`, csvText([head, ...rows]));
  };
}

function Daily(props: { days: readonly UsageDay[]; totals: UsageTotals; pathOf: (date: string) => string }) {
  const words = useWords();
  const { money } = useTenantMoney();
  const [measure, setMeasure] = useState<Measure>("tokens");
  const [table, setTable] = useState(false);
  const csv = useCsv(props.days);
  return (
    <Sheet className="grid grid-cols-1 gap-4 p-4 sm:p-6">
      <div className="flex flex-wrap items-center gap-2">
        <h2 className="flex-1 text-l font-semibold whitespace-nowrap">{words.usage.daily}</h2>
        <Segmented
          label={words.usage.measure}
          value={measure}
          onChange={setMeasure}
          options={[
            { value: "tokens", label: words.usage.tokens },
            { value: "cost", label: words.usage.cost },
          ]}
        />
        <Button small tone="quiet" aria-pressed={table} onClick={() => setTable(!table)}>
          {table ? <ChartColumn size={16} aria-hidden /> : <Table2 size={16} aria-hidden />}
          {table ? words.usage.showChart : words.usage.showTable}
        </Button>
        <Button small tone="quiet" onClick={csv}>
          <Download size={16} aria-hidden />
          {words.usage.csv}
        </Button>
      </div>
      {table ? (
        <DayTable days={props.days} pathOf={props.pathOf} money={money} totals={props.totals} />
      ) : (
        <UsageChart days={props.days} measure={measure} money={money} pathOf={props.pathOf} />
      )}
    </Sheet>
  );
}

/** Where a row of one of the tables leads. */
function useWays(usage: SessionsUsage) {
  const from = usage.startDate;
  const to = usage.endDate;
  const place = (groupBy: DrillPlace["groupBy"]): DrillPlace => ({ from, to, groupBy, filters: {} });
  const wayOf = (group: DrillPlace["groupBy"]) => (key: string) => drillPath(placeBelow(place(group), key));
  return { place, wayOf };
}

const GROUPS = ["user", "agent", "model", "channel"] as const;

/** Usage by one of a few things, with its growth. */
function Breakdown(props: { place: (groupBy: DrillPlace["groupBy"]) => DrillPlace }) {
  const words = useWords();
  const [group, setGroup] = useState<(typeof GROUPS)[number]>("user");
  return (
    <DrillSheet
      withGrowth
      isShort
      title={words.drill.breakdown}
      place={props.place(group)}
      actions={
        <Segmented
          label={words.drill.groupBy}
          value={group}
          onChange={setGroup}
          options={GROUPS.map((value) => ({ value, label: words.drill.groups[value] }))}
        />
      }
    />
  );
}

function Full(props: { usage: SessionsUsage; days: readonly UsageDay[] }) {
  const words = useWords();
  const { usage } = props;
  const { money } = useTenantMoney();
  const { place, wayOf } = useWays(usage);
  const names = useMemo(
    () => new Map(usage.sessions.flatMap(({ key, label }) => (label ? [[key, label]] : []))),
    [usage],
  );
  return (
    <>
      <div className="flex flex-wrap items-end justify-between gap-4">
        <Totals usage={usage} money={money} />
        <Link
          href={drillPath(place("day"))}
          className="quick inline-flex h-8 items-center gap-2 rounded-medium px-3 text-s font-medium text-ink-2 hover:bg-hover hover:text-ink"
        >
          <ListTree size={16} aria-hidden />
          {words.drill.open}
        </Link>
      </div>
      <Daily days={props.days} totals={usage.totals} pathOf={wayOf("day")} />
      <Breakdown place={place} />
      <DrillSheet isShort title={words.usage.bySession} place={place("session")} names={names} />
    </>
  );
}

/** The usage page. */
export default function UsagePage() {
  const words = useWords();
  const [period, setPeriod] = useState<Period>("30");
  const answer = useCall<SessionsUsage>("sessions.usage", {
    range: `${period}d`,
    groupBy: "family",
    limit: 1000,
    agentScope: "all",
  });
  const isMoneyKnown = !useTenantMoney().isPending;
  const usage = answer.data;
  const days = useMemo(() => (usage ? daysOf(usage) : []), [usage]);
  const empty = usage && usage.totals.totalTokens === 0 && usage.sessions.length === 0;
  return (
    <PageFrame
      title={words.usage.title}
      subtitle={words.usage.subtitle}
      actions={
        <Segmented
          label={words.usage.range}
          value={period}
          onChange={setPeriod}
          options={PERIODS.map((value) => ({ value, label: words.usage.days(Number(value)) }))}
        />
      }
    >
      {answer.isError ? (
        <Problem title={words.usage.failed} error={answer.error} onRetry={() => void answer.refetch()} />
      ) : !usage || !isMoneyKnown ? (
        <Skeleton lines={10} label={words.usage.title} className="py-4" />
      ) : empty ? (
        <Sheet>
          <Empty
            icon={<ChartColumn size={28} aria-hidden />}
            title={words.usage.empty}
            hint={words.usage.emptyHint}
          />
        </Sheet>
      ) : (
        <Full usage={usage} days={days} />
      )}
    </PageFrame>
  );
}
