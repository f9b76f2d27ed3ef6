/** What the payer sees after paying. Owns: waiting until the ledger has the credit. Refuses to know: providers. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { CircleCheck, CircleSlash, Hourglass } from "lucide-react";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { useSearchParams } from "wouter";
import { useTenant } from "../../gateway/tenant-context.tsx";
import { listTransfers, type Transfer } from "../../http/billing.ts";
import { useMoney } from "../../i18n/use-money.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Button } from "../../parts/button.tsx";
import { billingKey } from "../use-billing.ts";
import { type BegunOrder, findOrder, forgetOrder } from "./top-up-order.ts";

const EAGER_MS = 2_000;
const CALM_MS = 15_000;
/** After this long it is said that it takes longer, and asked less often. */
const PATIENCE_MS = 60_000;

/** The credit of this payment; without knowing which it was, the first one that came in since the page was opened. */
function creditOf(lines: readonly Transfer[], order: BegunOrder | undefined, firstSeq: number) {
  if (order) return lines.find((line) => line.sourceId === order.orderId);
  return lines.find((line) => line.seq > firstSeq);
}

function useCredit(isBack: boolean): { credit: Transfer | undefined; isLate: boolean } {
  const { slug } = useTenant();
  const queries = useQueryClient();
  const [order] = useState(() => findOrder(slug));
  const [isLate, setLate] = useState(false);
  const firstSeq = useRef<number>(undefined);
  const asked = useQuery({
    queryKey: [...billingKey(slug, "ledger"), "top-ups"],
    queryFn: async () => (await listTransfers(slug, { kind: "top_up" })).transfers,
    enabled: isBack,
    refetchInterval: (query) => {
      const lines = query.state.data ?? [];
      if (creditOf(lines, order, firstSeq.current ?? Number.POSITIVE_INFINITY)) return false;
      return isLate ? CALM_MS : EAGER_MS;
    },
  });
  const lines = asked.data;
  if (lines !== undefined) firstSeq.current ??= lines[0]?.seq ?? 0;
  const credit = lines && creditOf(lines, order, firstSeq.current ?? 0);
  const isWaiting = isBack && credit === undefined;
  useEffect(() => {
    if (!isWaiting) return;
    const timer = setTimeout(() => setLate(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [isWaiting]);
  const seq = credit?.seq;
  useEffect(() => {
    if (seq !== undefined) void queries.invalidateQueries({ queryKey: billingKey(slug, "overview") });
  }, [queries, slug, seq]);
  return { credit, isLate };
}

function Notice(props: { icon: ReactNode; title: string; hint: string; tone: string; onEnd: () => void }) {
  const words = useWords();
  return (
    <section
      role="status"
      className={`flex flex-wrap items-center gap-x-4 gap-y-2 rounded-large border p-4 ${props.tone}`}
    >
      {props.icon}
      <div className="grid min-w-44 flex-1 gap-0.5">
        <p className="text-m font-semibold">{props.title}</p>
        <p className="text-s text-ink-2">{props.hint}</p>
      </div>
      <Button small onClick={props.onEnd}>
        {words.act.dismiss}
      </Button>
    </section>
  );
}

/** How a payment stands, on the page that the payer comes back to; nothing on any other visit. */
export function TopUpReturn(props: { currency: string }) {
  const words = useWords();
  const money = useMoney(props.currency);
  const { slug } = useTenant();
  const [search, setSearch] = useSearchParams();
  const state = search.get("payment");
  const { credit, isLate } = useCredit(state === "done");
  const end = () => {
    forgetOrder(slug);
    setSearch(new URLSearchParams(), { replace: true });
  };
  if (state === "cancelled") {
    return (
      <Notice
        icon={<CircleSlash size={20} aria-hidden className="shrink-0 text-ink-3" />}
        tone="border-line bg-card"
        title={words.topUp.cancelled}
        hint={words.topUp.cancelledHint}
        onEnd={end}
      />
    );
  }
  if (state !== "done") return null;
  if (credit) {
    return (
      <Notice
        icon={<CircleCheck size={20} aria-hidden className="shrink-0 text-accent" />}
        tone="border-line bg-accent-soft"
        title={words.topUp.credited(money.show(credit.amountMicros))}
        hint={words.topUp.creditedHint}
        onEnd={end}
      />
    );
  }
  return (
    <Notice
      icon={<Hourglass size={20} aria-hidden className="shrink-0 text-willow" />}
      tone="border-line bg-willow-soft"
      title={isLate ? words.topUp.late : words.topUp.waiting}
      hint={isLate ? words.topUp.lateHint : words.topUp.waitingHint}
      onEnd={end}
    />
  );
}
