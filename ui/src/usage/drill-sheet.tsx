/** Usage by one thing with every digit, each row a way down. Owns: its states and columns. Refuses to know: how sums are made. */
import { useQuery } from "@tanstack/react-query";
import { SearchX } from "lucide-react";
import { Link } from "wouter";
import { billingKey, useTenantMoney } from "../billing/use-billing.ts";
import { useTenant } from "../gateway/tenant-context.tsx";
import { type Drill, type DrillGroup, type DrillSums, findDrill } from "../http/billing.ts";
import { useFormats } from "../i18n/formats.ts";
import type { Money } from "../i18n/money.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Empty, Problem, Skeleton } from "../parts/states.tsx";
import { splitKey, titleOf } from "../sessions/session-key.ts";
import { type DrillPlace, drillPath, placeBelow, queryOf } from "./drill-path.ts";

const HEAD = "px-3 sm:px-4 py-2 text-right text-xs font-medium whitespace-nowrap text-ink-3 first:text-left";
const CELL = "px-3 sm:px-4 py-2.5 text-right whitespace-nowrap first:text-left";
/** Longer than any account of a person or agent needs; a turn's own id is shown in full. */
const NAME = "block max-w-48 truncate sm:max-w-80";

/** What people call the key of a group. */
export function useKeyName(): (group: DrillGroup, key: string, name?: string) => string {
  const words = useWords();
  const formats = useFormats();
  const { shelf } = useTenant();
  return (group, key, name = key) => {
    if (group === "day") return formats.day(new Date(`${key}T12:00:00`));
    if (group === "model" && key === "-") return words.drill.tools;
    if (group === "run") return key;
    if (key === "") return words.drill.nobody;
    if (group !== "session") return name || key;
    return titleOf(shelf.find(name)) ?? (splitKey(name).session === "main" ? words.list.mainSession : name);
  };
}

function Figures({ sums, money }: { sums: DrillSums; money: Money }) {
  const formats = useFormats();
  return (
    <>
      <td className={CELL}>{money.exact(sums.costMicros)}</td>
      <td className={CELL}>{formats.count(sums.calls + sums.toolCalls)}</td>
      <td className={CELL}>{formats.count(sums.inputTokens)}</td>
      <td className={CELL}>{formats.count(sums.outputTokens)}</td>
      <td className={CELL}>{formats.count(sums.cacheReadTokens + sums.cacheWriteTokens)}</td>
    </>
  );
}

function Rows(props: { drill: Drill; place: DrillPlace; label: string; money: Money }) {
  const words = useWords();
  const nameOf = useKeyName();
  const { drill, place, money } = props;
  const u = words.usage;
  const heads = [
    ...[words.drill.groups[place.groupBy], u.cost, words.drill.calls],
    ...[u.input, u.output, words.drill.cached],
  ];
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
    <section className="overflow-x-auto" tabIndex={0} aria-label={props.label}>
      <table className="w-full border-collapse text-m">
        <thead className="border-b border-line">
          <tr>
            {heads.map((head) => (
              <th key={head} scope="col" className={HEAD}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {drill.rows.map((row) => {
            const name = nameOf(place.groupBy, row.key, row.name);
            return (
              <tr key={row.key} className="border-b border-line">
                <td className={CELL}>
                  {row.key === "" ? (
                    <span className={NAME}>{name}</span>
                  ) : (
                    <Link
                      href={drillPath(placeBelow(place, row.key))}
                      title={name}
                      className={`${NAME} text-accent underline-offset-4 hover:underline`}
                    >
                      {name}
                    </Link>
                  )}
                </td>
                <Figures sums={row} money={money} />
              </tr>
            );
          })}
          {drill.rest ? (
            <tr className="border-b border-line text-ink-2">
              <td className={CELL}>{words.drill.rest(drill.rest.rows)}</td>
              <Figures sums={drill.rest} money={money} />
            </tr>
          ) : null}
        </tbody>
        <tfoot>
          <tr className="font-semibold">
            <td className={CELL}>{words.drill.total}</td>
            <Figures sums={drill.total} money={money} />
          </tr>
        </tfoot>
      </table>
    </section>
  );
}

/** The table of a place, with a title of its own when it is one of several. */
export function DrillSheet(props: { place: DrillPlace; title?: string }) {
  const words = useWords();
  const { slug } = useTenant();
  const { money, currency } = useTenantMoney();
  const query = queryOf(props.place);
  const answer = useQuery({
    queryKey: billingKey(slug, "drill", query.toString()),
    queryFn: () => findDrill(slug, query),
    staleTime: 10_000,
  });
  const label = props.title ?? words.drill.title;
  return (
    <Sheet className="overflow-hidden">
      {props.title ? <h2 className="px-3 pt-4 pb-2 text-l font-semibold sm:px-4">{props.title}</h2> : null}
      {answer.isError ? (
        <div className="p-4">
          <Problem
            compact
            title={words.usage.failed}
            error={answer.error}
            onRetry={() => void answer.refetch()}
          />
        </div>
      ) : answer.isPending || currency === undefined ? (
        <Skeleton lines={4} label={label} className="p-4" />
      ) : answer.data.rows.length === 0 ? (
        <Empty
          icon={<SearchX size={28} aria-hidden />}
          title={words.drill.none}
          hint={words.drill.noneHint}
        />
      ) : (
        <Rows drill={answer.data} place={props.place} label={label} money={money} />
      )}
    </Sheet>
  );
}
