/** The price book. Owns: its parts and the ways to a new price and a new margin. Refuses to know: which price holds for whom. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Plus, Tags } from "lucide-react";
import { useState } from "react";
import { listPrices, type PriceBook } from "../../http/operator-prices.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Button } from "../../parts/button.tsx";
import { Sheet } from "../../parts/page-frame.tsx";
import { Segmented } from "../../parts/segmented.tsx";
import { Empty, Problem, Skeleton } from "../../parts/states.tsx";
import { OperatorPage } from "../operator-page.tsx";
import { MarginDialog } from "./margin-dialog.tsx";
import { PriceDialog } from "./price-dialog.tsx";
import { type LineKind, useHeads, useOwnLines } from "./price-lines.tsx";
import { PriceTable } from "./price-table.tsx";

/** Of each kind that are sent. */
const MOST = 1_000;
const KINDS = ["model", "tool", "storage", "margin"] as const;

function Part(props: { kind: LineKind; book: PriceBook; withReplaced: boolean }) {
  const words = useWords();
  const m = words.operatorMoney;
  const { book, kind } = props;
  const lines = useOwnLines(book.currency, book.tenants);
  const heads = useHeads(kind);
  const all =
    kind === "margin"
      ? lines.margins(book.margins)
      : [...lines.prices(book.rows, kind), ...(kind === "model" ? lines.listed(book) : [])];
  const shown = all.filter(({ standing }) => props.withReplaced || standing !== "replaced");
  const hints = {
    model: m.perMillionTokens,
    tool: m.perCallHint,
    storage: m.storageHint,
    margin: m.marginsHint,
  };
  const what = { model: words.usage.model, tool: m.toolName, storage: m.kind.storage, margin: m.margin };
  return (
    <div className="grid grid-cols-1 gap-3">
      <p className="text-s text-ink-2">
        {hints[kind]}
        {kind === "model" && !book.table.isUsed ? ` ${m.shippedUnused(book.table.currency)}` : null}
        {book.isCut ? ` ${m.cut(MOST)}` : null}
      </p>
      {shown.length === 0 ? (
        <Sheet>
          <Empty icon={<Tags size={28} aria-hidden />} title={m.noPrices} hint={m.noPricesHint} />
        </Sheet>
      ) : (
        <PriceTable label={m.kinds[kind]} what={what[kind]} heads={heads} lines={shown} />
      )}
    </div>
  );
}

/** The page. */
export function PricesPage() {
  const words = useWords();
  const m = words.operatorMoney;
  const queries = useQueryClient();
  const [kind, setKind] = useState<LineKind>("model");
  const [withReplaced, setWithReplaced] = useState(false);
  const [adding, setAdding] = useState<"price" | "margin">();
  const answer = useQuery({ queryKey: ["operator", "prices"], queryFn: listPrices });
  const dialog = {
    onClose: () => setAdding(undefined),
    onDone: () => void queries.invalidateQueries({ queryKey: ["operator"] }),
  };
  return (
    <OperatorPage
      title={words.money.prices}
      subtitle={m.pricesHint}
      actions={
        <div className="flex flex-wrap gap-2">
          <Button onClick={() => setAdding("margin")}>{m.setMargin}</Button>
          <Button tone="primary" onClick={() => setAdding("price")}>
            <Plus size={18} aria-hidden />
            {words.money.newPrice}
          </Button>
        </div>
      }
    >
      {answer.isError ? (
        <Problem error={answer.error} onRetry={() => void answer.refetch()} />
      ) : answer.isPending ? (
        <Skeleton lines={8} label={words.money.prices} />
      ) : (
        <>
          <div className="flex flex-wrap items-center justify-between gap-3">
            <Segmented
              label={m.priceFor}
              value={kind}
              onChange={setKind}
              options={KINDS.map((value) => ({ value, label: m.kinds[value] }))}
            />
            <Button small aria-pressed={withReplaced} onClick={() => setWithReplaced(!withReplaced)}>
              {withReplaced ? m.onlyHeld : m.withReplaced}
            </Button>
          </div>
          <Part kind={kind} book={answer.data} withReplaced={withReplaced} />
        </>
      )}
      {adding === "price" && answer.data ? (
        <PriceDialog currency={answer.data.currency} kind={kind === "margin" ? "model" : kind} {...dialog} />
      ) : null}
      {adding === "margin" && answer.data ? (
        <MarginDialog currency={answer.data.currency} {...dialog} />
      ) : null}
    </OperatorPage>
  );
}
