/** Following a figure down to turns and ledger lines. Owns: filters (kept in the address) and the way back up. Refuses to know: sums. */
import { useQuery } from "@tanstack/react-query";
import { ArrowLeft, MessageSquare, X } from "lucide-react";
import { Link, useLocation, useSearchParams } from "wouter";
import { TransferTable } from "../billing/transfer-table.tsx";
import { billingKey, useTenantMoney } from "../billing/use-billing.ts";
import { useScope, useTenant } from "../gateway/tenant-context.tsx";
import { DRILL_GROUPS, type DrillGroup, findDrill, listTransfers } from "../http/billing.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { SelectField } from "../parts/field.tsx";
import { PageFrame, Sheet } from "../parts/page-frame.tsx";
import { Problem, Skeleton } from "../parts/states.tsx";
import { sessionPath } from "../sessions/session-key.ts";
import { type DrillPlace, drillPath, queryOf, readPlace } from "./drill-path.ts";
import { DrillSheet } from "./drill-sheet.tsx";
import { useKeyName } from "./drill-table.tsx";

/** The name of a filter's key: the answer to grouping by it has one row. */
function useFilterName(place: DrillPlace, group: DrillGroup, key: string): string {
  const { slug } = useTenant();
  const nameOf = useKeyName();
  const query = queryOf({ from: place.from, to: place.to, groupBy: group, filters: { [group]: key } });
  const isPlain = group === "day" || group === "run" || group === "channel" || group === "model";
  const answer = useQuery({
    queryKey: billingKey(slug, "drill", query.toString()),
    queryFn: () => findDrill(slug, query),
    enabled: !isPlain,
    staleTime: 60_000,
  });
  return nameOf(group, key, answer.data?.rows[0]?.name ?? key);
}

const WAY = "text-accent underline-offset-4 hover:underline";

function FilterChip(props: { place: DrillPlace; group: DrillGroup; value: string }) {
  const words = useWords();
  const { place, group, value } = props;
  const name = useFilterName(place, group, value);
  const { [group]: _gone, ...filters } = place.filters;
  const what = `${words.drill.groups[group]}: ${name}`;
  return (
    <Link
      href={drillPath({ ...place, filters, groupBy: group })}
      aria-label={words.drill.without(what)}
      className="quick inline-flex h-8 max-w-full items-center gap-2 rounded-full bg-accent-soft px-3 text-s font-medium text-accent hover:bg-hover"
    >
      <span className="truncate">{what}</span>
      <X size={14} aria-hidden className="shrink-0" />
    </Link>
  );
}

const MOST_LINES = 500;

function RunLines({ run }: { run: string }) {
  const words = useWords();
  const { slug } = useTenant();
  const { money, isPending } = useTenantMoney();
  const answer = useQuery({
    queryKey: billingKey(slug, "ledger", { run }),
    queryFn: () => listTransfers(slug, { run }, null, MOST_LINES),
  });
  const lines = answer.data?.transfers ?? [];
  const isWhole = answer.data?.next === null;
  const used = lines.filter((line) => line.to === "spent").reduce((sum, line) => sum + line.amountMicros, 0);
  return (
    <Sheet className="overflow-hidden">
      <h2 className="px-3 pt-4 pb-2 text-l font-semibold sm:px-4">{words.ledger.ofRun}</h2>
      {answer.isError ? (
        <div className="p-4">
          <Problem compact error={answer.error} onRetry={() => void answer.refetch()} />
        </div>
      ) : answer.isPending || isPending ? (
        <Skeleton lines={3} label={words.ledger.ofRun} className="p-4" />
      ) : lines.length === 0 ? (
        <p className="px-3 pb-4 text-m text-ink-2 sm:px-4">{words.ledger.empty}</p>
      ) : (
        <TransferTable
          label={words.ledger.ofRun}
          transfers={lines}
          money={money}
          usedMicros={isWhole ? used : undefined}
        />
      )}
      {answer.data?.next ? (
        <p className="border-t border-line px-3 py-2.5 sm:px-4">
          <Link href={`/billing/ledger?run=${encodeURIComponent(run)}`} className={WAY}>
            {words.ledger.all}
          </Link>
        </p>
      ) : null}
    </Sheet>
  );
}

/** The conversation that the chosen turn or session is in. */
function ConversationLink({ place }: { place: DrillPlace }) {
  const words = useWords();
  const { slug } = useTenant();
  const { run, session } = place.filters;
  const filters = run === undefined ? { session } : { run };
  const query = queryOf({ from: place.from, to: place.to, groupBy: "session", filters });
  const answer = useQuery({
    queryKey: billingKey(slug, "drill", query.toString()),
    queryFn: () => findDrill(slug, query),
    staleTime: 60_000,
  });
  const key = answer.data?.rows[0]?.name;
  if (!key) return null;
  return (
    <Link href={sessionPath(key)} className={`inline-flex h-8 items-center gap-2 px-2 text-s ${WAY}`}>
      <MessageSquare size={16} aria-hidden />
      {words.drill.conversation}
    </Link>
  );
}

function GroupChoice({ place }: { place: DrillPlace }) {
  const words = useWords();
  const [, navigate] = useLocation();
  return (
    <SelectField
      label={words.drill.groupBy}
      value={place.groupBy}
      onChange={(event) =>
        navigate(drillPath({ ...place, groupBy: event.target.value as DrillGroup }), { replace: true })
      }
    >
      {DRILL_GROUPS.map((group) => (
        <option key={group} value={group}>
          {words.drill.groups[group]}
        </option>
      ))}
    </SelectField>
  );
}

/** The page. */
export default function DrillPage() {
  const words = useWords();
  const formats = useFormats();
  const mayAdmin = useScope("operator.admin");
  const [search] = useSearchParams();
  const place = readPlace(search);
  const day = (text: string) => formats.day(new Date(`${text}T12:00:00`));
  const span =
    place.from !== null && place.to !== null && place.filters.day === undefined
      ? words.drill.span(day(place.from), day(place.to))
      : undefined;
  const chosen = DRILL_GROUPS.flatMap((group) => {
    const value = place.filters[group];
    return value === undefined ? [] : [{ group, value }];
  });
  return (
    <PageFrame
      title={words.drill.title}
      subtitle={words.drill.subtitle}
      actions={<GroupChoice place={place} />}
    >
      <div className="flex flex-wrap items-center gap-2">
        <Link
          href="/usage"
          className="quick inline-flex h-8 items-center gap-2 rounded-medium px-2 text-s text-ink-2 hover:bg-hover hover:text-ink"
        >
          <ArrowLeft size={16} aria-hidden />
          {words.usage.title}
        </Link>
        {span ? <span className="px-2 text-s text-ink-2">{span}</span> : null}
        {chosen.map(({ group, value }) => (
          <FilterChip key={group} place={place} group={group} value={value} />
        ))}
        {place.filters.run !== undefined || place.filters.session !== undefined ? (
          <ConversationLink place={place} />
        ) : null}
      </div>
      <DrillSheet place={place} />
      {mayAdmin && place.filters.run !== undefined ? <RunLines run={place.filters.run} /> : null}
    </PageFrame>
  );
}
