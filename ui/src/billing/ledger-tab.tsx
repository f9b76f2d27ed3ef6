/** The lines of the ledger. Owns: its filters (kept in the address) and pages. Refuses to know: what a line is made of. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { BookOpen } from "lucide-react";
import { useSearchParams } from "wouter";
import { useTenant } from "../gateway/tenant-context.tsx";
import { listTransfers } from "../http/billing.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { SelectField, TextField } from "../parts/field.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Empty, Problem, Skeleton } from "../parts/states.tsx";
import { turnPath } from "../usage/drill-path.ts";
import { startOfDay } from "./day-start.ts";
import { TransferTable } from "./transfer-table.tsx";
import { billingKey, useTenantMoney } from "./use-billing.ts";

const FILTERS = ["since", "until", "kind", "run"] as const;
type Filter = Record<(typeof FILTERS)[number], string>;

function Filters(props: { filter: Filter; onChange: (name: keyof Filter, value: string) => void }) {
  const words = useWords();
  const { filter, onChange } = props;
  return (
    <div className="grid gap-3 sm:grid-cols-2 lg:grid-cols-4">
      {(["since", "until"] as const).map((name) => (
        <TextField
          key={name}
          type="date"
          label={words.ledger[name]}
          value={filter[name]}
          onChange={(event) => onChange(name, event.target.value)}
        />
      ))}
      <SelectField
        label={words.ledger.kind}
        value={filter.kind}
        onChange={(event) => onChange("kind", event.target.value)}
      >
        <option value="">{words.ledger.any}</option>
        {Object.entries(words.ledger.kinds).map(([kind, name]) => (
          <option key={kind} value={kind}>
            {name}
          </option>
        ))}
      </SelectField>
      <TextField
        label={words.ledger.run}
        value={filter.run}
        maxLength={256}
        spellCheck={false}
        className="font-mono"
        onChange={(event) => onChange("run", event.target.value.trim())}
      />
    </div>
  );
}

/** The ledger. */
export function LedgerTab(props: { timeZone: string }) {
  const words = useWords();
  const { slug } = useTenant();
  const { money } = useTenantMoney();
  const [search, setSearch] = useSearchParams();
  const filter = Object.fromEntries(FILTERS.map((name) => [name, search.get(name) ?? ""])) as Filter;
  const { kind, run } = filter;
  const from = startOfDay(filter.since, props.timeZone);
  const to = startOfDay(filter.until, props.timeZone, 1);
  const list = useInfiniteQuery({
    queryKey: billingKey(slug, "ledger", { kind, run, from, to }),
    queryFn: ({ pageParam }) => listTransfers(slug, { kind, run, from, to }, pageParam),
    initialPageParam: null as number | null,
    getNextPageParam: (page) => page.next,
  });
  const lines = list.data?.pages.flatMap((page) => page.transfers) ?? [];
  const change = (name: keyof Filter, value: string) =>
    setSearch(
      (before) => {
        const next = new URLSearchParams(before);
        if (value === "") next.delete(name);
        else next.set(name, value);
        return next;
      },
      { replace: true },
    );
  return (
    <>
      <p className="text-m text-ink-2">{words.ledger.hint}</p>
      <Filters filter={filter} onChange={change} />
      {list.isError ? (
        <Problem error={list.error} onRetry={() => void list.refetch()} />
      ) : list.isPending ? (
        <Skeleton lines={8} label={words.billing.ledger} />
      ) : (
        <Sheet className="overflow-hidden">
          {lines.length === 0 ? (
            <Empty
              icon={<BookOpen size={28} aria-hidden />}
              title={words.ledger.empty}
              hint={words.ledger.emptyHint}
            />
          ) : (
            <TransferTable
              label={words.billing.ledger}
              transfers={lines}
              money={money}
              pathOf={(line) => turnPath(line.runId ?? "", line.atMs, props.timeZone)}
            />
          )}
        </Sheet>
      )}
      {list.hasNextPage ? (
        <div className="flex justify-center">
          <Button disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
            {words.ledger.more}
          </Button>
        </div>
      ) : null}
    </>
  );
}
