/** The price book. Owns: its list and the way to a new price. Refuses to know: which price holds for whom. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { useState } from "react";
import { listPrices } from "../../http/operator-money.ts";
import { makeMoney } from "../../i18n/money.ts";
import { useSpeech, useWords } from "../../i18n/words-context.tsx";
import { Badge } from "../../parts/badge.tsx";
import { Button } from "../../parts/button.tsx";
import { Problem, Skeleton } from "../../parts/states.tsx";
import { OperatorPage } from "../operator-page.tsx";
import { PriceDialog } from "./price-dialog.tsx";

interface Line {
  id: string;
  name: string;
  from: string;
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  source: string;
  isOwn: boolean;
}

function linesOf(book: Awaited<ReturnType<typeof listPrices>>): Line[] {
  const own = book.rows.map((row) => ({
    ...row,
    id: `own ${row.seq}`,
    name: [row.provider, row.name].filter((part) => part !== "").join("/") || row.kind,
    from: row.fromDay,
    isOwn: true,
  }));
  const shipped = book.shipped.map((row) => {
    const { cacheRead = row.input, cacheWrite = row.input } = row;
    const name = `${row.provider}/${row.model}`;
    return { ...row, id: `${name} ${row.from}`, name, cacheRead, cacheWrite, isOwn: false };
  });
  return [...own, ...shipped];
}

function Table({ lines }: { lines: readonly Line[] }) {
  const { words, language } = useSpeech();
  const money = makeMoney(language, "USD");
  const cell = "px-3 py-2.5 text-right whitespace-nowrap";
  const columns = ["input", "output", "cacheRead", "cacheWrite"] as const;
  const today = new Date().toISOString().slice(0, 10);
  return (
    <section
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table scrolls by keyboard too
      tabIndex={0}
      aria-label={words.money.prices}
      className="overflow-x-auto rounded-large border border-line bg-card shadow-1"
    >
      <table className="w-full text-m">
        <thead>
          <tr className="text-xs text-ink-3">
            <th scope="col" className="px-4 py-3 text-left font-medium sm:px-6">
              {words.usage.model}
            </th>
            <th scope="col" className="px-3 py-3 text-left font-medium">
              {words.money.fromDay}
            </th>
            {columns.map((name) => (
              <th key={name} scope="col" className="px-3 py-3 text-right font-medium">
                {words.usage[name]}
              </th>
            ))}
            <th scope="col" className="px-4 py-3 text-left font-medium">
              {words.ledger.source}
            </th>
          </tr>
        </thead>
        <tbody>
          {lines.map((line) => (
            <tr key={line.id} className="border-t border-line">
              <td className="px-4 py-2.5 whitespace-nowrap sm:px-6">
                <span className="inline-flex items-center gap-2">
                  {line.name}
                  {line.isOwn ? <Badge tone="accent">{words.money.own}</Badge> : null}
                </span>
              </td>
              <td className="px-3 py-2.5 whitespace-nowrap">
                <span className="inline-flex items-center gap-2">
                  {line.from}
                  {line.from > today ? <Badge tone="willow">{words.money.later}</Badge> : null}
                </span>
              </td>
              {columns.map((name) => (
                <td key={name} className={cell}>
                  {money.show(line[name])}
                </td>
              ))}
              <td className="max-w-56 truncate px-4 py-2.5 text-s text-ink-2" title={line.source}>
                {line.source}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** The page. */
export function PricesPage() {
  const words = useWords();
  const queries = useQueryClient();
  const [adding, setAdding] = useState(false);
  const answer = useQuery({ queryKey: ["operator", "prices"], queryFn: listPrices });
  return (
    <OperatorPage
      title={words.money.prices}
      subtitle={words.money.pricesHint}
      actions={
        <Button tone="primary" onClick={() => setAdding(true)}>
          <Plus size={18} aria-hidden />
          {words.money.newPrice}
        </Button>
      }
    >
      {answer.isError ? (
        <Problem error={answer.error} onRetry={() => void answer.refetch()} />
      ) : answer.isPending ? (
        <Skeleton lines={8} label={words.money.prices} />
      ) : (
        <Table lines={linesOf(answer.data)} />
      )}
      {adding ? (
        <PriceDialog
          onClose={() => setAdding(false)}
          onDone={() => void queries.invalidateQueries({ queryKey: ["operator", "prices"] })}
        />
      ) : null}
    </OperatorPage>
  );
}
