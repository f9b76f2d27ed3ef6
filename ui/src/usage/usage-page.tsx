/** What the organization used. Owns: period, measure, layout. Refuses to know: prices. */
import { ChartColumn, Download, ListTree, Table2 } from "lucide-react";
import { useMemo, useState } from "react";
import { Link, useLocation } from "wouter";
import { agentName } from "../composer/model-menu.tsx";
import { useTenant } from "../gateway/tenant-context.tsx";
import { useAgents, useCall } from "../gateway/use-call.ts";
import { DEMO_PROVIDER, type SessionsUsage } from "../gateway/wire.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Badge } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { PageFrame, Sheet } from "../parts/page-frame.tsx";
import { Segmented } from "../parts/segmented.tsx";
import { Empty, Problem, Skeleton } from "../parts/states.tsx";
import { sessionPath, splitKey, titleOf } from "../sessions/session-key.ts";
import { downloadCsv } from "./download-csv.ts";
import { type DrillPlace, drillPath, placeBelow } from "./drill-path.ts";
import { DrillSheet } from "./drill-sheet.tsx";
import { type Measure, UsageChart } from "./usage-chart.tsx";
import { agentLines, csvText, daysOf, modelLines, sessionLines, type UsageDay } from "./usage-numbers.ts";
import { DayTable, LineTable } from "./usage-tables.tsx";

const PERIODS = ["7", "30", "90"] as const;
type Period = (typeof PERIODS)[number];

function Totals(props: { usage: SessionsUsage }) {
  const words = useWords();
  const formats = useFormats();
  const { totals, aggregates, sessions } = props.usage;
  const figures: [string, string][] = [
    [words.usage.totalTokens, formats.compact(totals.totalTokens)],
    [words.usage.totalCost, formats.money(totals.totalCost)],
    [words.usage.messages, formats.count(aggregates.messages?.total ?? 0)],
    [words.usage.sessions, formats.count(sessions.length)],
    [words.usage.toolCalls, formats.count(aggregates.tools?.totalCalls ?? 0)],
  ];
  return (
    <dl className="grid grid-cols-2 gap-x-8 gap-y-5 sm:flex sm:flex-wrap sm:gap-x-12">
      {figures.map(([name, value]) => (
        <div key={name} className="flex flex-col-reverse">
          <dt className="text-s text-ink-2">{name}</dt>
          <dd className="text-3xl font-semibold tracking-tight">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function useCsv(days: readonly UsageDay[]): () => void {
  const words = useWords();
  const { slug } = useTenant();
  return () => {
    const u = words.usage;
    const head = [u.date, u.input, u.output, u.cacheRead, u.cacheWrite, u.total, `${u.cost} (USD)`];
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

function Daily(props: { days: readonly UsageDay[]; pathOf: (date: string) => string }) {
  const words = useWords();
  const [, navigate] = useLocation();
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
        <DayTable days={props.days} pathOf={props.pathOf} />
      ) : (
        <UsageChart days={props.days} measure={measure} onPick={(date) => navigate(props.pathOf(date))} />
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

function Full(props: { usage: SessionsUsage; days: readonly UsageDay[] }) {
  const words = useWords();
  const { shelf } = useTenant();
  const { usage } = props;
  const { place, wayOf } = useWays(usage);
  const agents = useAgents().data?.agents;
  const nameOf = (key: string) =>
    titleOf(shelf.find(key)) ?? (splitKey(key).session === "main" ? words.list.mainSession : undefined);
  return (
    <>
      <div className="flex flex-wrap items-end justify-between gap-4">
        <Totals usage={usage} />
        <Link
          href={drillPath(place("day"))}
          className="quick inline-flex h-8 items-center gap-2 rounded-medium px-3 text-s font-medium text-ink-2 hover:bg-hover hover:text-ink"
        >
          <ListTree size={16} aria-hidden />
          {words.drill.open}
        </Link>
      </div>
      <Daily days={props.days} pathOf={wayOf("day")} />
      <LineTable
        title={words.usage.byModel}
        column={words.usage.model}
        pathOf={wayOf("model")}
        lines={modelLines(usage)}
        total={usage.totals}
        render={(line) => (
          <span className="flex items-center gap-2">
            <span className={`truncate ${line.name.startsWith(`${DEMO_PROVIDER}/`) ? "max-sm:hidden" : ""}`}>
              {line.name}
            </span>
            {line.name.startsWith(`${DEMO_PROVIDER}/`) ? (
              <Badge tone="willow">{words.chat.demoBadge}</Badge>
            ) : null}
          </span>
        )}
      />
      <LineTable
        title={words.usage.byAgent}
        column={words.usage.agent}
        pathOf={wayOf("agent")}
        lines={agentLines(usage).map((line) =>
          agents ? { ...line, name: agentName(agents, line.id) } : line,
        )}
        total={usage.totals}
      />
      <DrillSheet title={words.drill.byUser} place={place("user")} />
      <DrillSheet title={words.drill.byChannel} place={place("channel")} />
      <LineTable
        title={words.usage.bySession}
        column={words.usage.session}
        pathOf={wayOf("session")}
        lines={sessionLines(usage, nameOf)}
        total={usage.totals}
        render={(line) => (
          <Link href={sessionPath(line.id)} className="text-accent underline-offset-4 hover:underline">
            {line.name}
          </Link>
        )}
      />
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
      ) : !usage ? (
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
