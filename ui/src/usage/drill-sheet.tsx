/** Usage by one thing on a sheet of its own. Owns: asking for it and its states. Refuses to know: columns, how sums are made. */
import { useQuery } from "@tanstack/react-query";
import { SearchX } from "lucide-react";
import type { ReactNode } from "react";
import { billingKey, useTenantMoney } from "../billing/use-billing.ts";
import { useTenant } from "../gateway/tenant-context.tsx";
import { type Drill, findDrill } from "../http/billing.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Empty, Problem, Skeleton } from "../parts/states.tsx";
import { type DrillPlace, queryOf } from "./drill-path.ts";
import { type Comparison, DrillTable } from "./drill-table.tsx";
import { daysBefore } from "./usage-numbers.ts";

function useDrill(place: DrillPlace, isNeeded = true) {
  const { slug } = useTenant();
  const query = queryOf(place);
  return useQuery({
    queryKey: billingKey(slug, "drill", query.toString()),
    queryFn: () => findDrill(slug, query),
    enabled: isNeeded,
    staleTime: 10_000,
  });
}

/** The same of the days before the answer's; undefined when nobody wants it. */
function useComparison(place: DrillPlace, now: Drill | undefined, isWanted: boolean): Comparison | undefined {
  const then = now && daysBefore(now);
  const isNeeded = isWanted && then !== undefined;
  const answer = useDrill({ ...place, from: then?.from ?? null, to: then?.to ?? null }, isNeeded);
  return isNeeded ? { before: answer.data, days: then.days } : undefined;
}

/** The table of a place. */
export function DrillSheet(props: {
  place: DrillPlace;
  /** A title of its own when it is one of several. */
  title?: string;
  actions?: ReactNode;
  /** With growth against as many days before. */
  withGrowth?: boolean;
  isShort?: boolean;
  names?: ReadonlyMap<string, string>;
}) {
  const words = useWords();
  const { money, isPending } = useTenantMoney();
  const answer = useDrill(props.place);
  const comparison = useComparison(props.place, answer.data, props.withGrowth ?? false);
  const label = props.title ?? words.drill.title;
  return (
    <Sheet className="overflow-hidden">
      {props.title ? (
        <div className="flex flex-wrap items-center justify-between gap-2 px-3 pt-4 pb-2 sm:px-4">
          <h2 className="text-l font-semibold">{props.title}</h2>
          {props.actions}
        </div>
      ) : null}
      {answer.isError ? (
        <div className="p-4">
          <Problem
            compact
            title={words.usage.failed}
            error={answer.error}
            onRetry={() => void answer.refetch()}
          />
        </div>
      ) : answer.isPending || isPending ? (
        <Skeleton lines={4} label={label} className="p-4" />
      ) : answer.data.rows.length === 0 ? (
        <Empty
          icon={<SearchX size={28} aria-hidden />}
          title={words.drill.none}
          hint={words.drill.noneHint}
        />
      ) : (
        <DrillTable
          key={props.place.groupBy}
          drill={answer.data}
          place={props.place}
          label={label}
          money={money}
          comparison={comparison}
          isShort={props.isShort ?? false}
          names={props.names}
        />
      )}
    </Sheet>
  );
}
