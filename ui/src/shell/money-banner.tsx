/**
 * A line for admins while a budget is nearly used, storage nearly full or turns are stopped. Owns: which warning is shown, live by the event
 * `billing.alert`. Refuses to know: what is counted, how it is put right (the billing page).
 */
import { useQueryClient } from "@tanstack/react-query";
import { OctagonPause, TriangleAlert, X } from "lucide-react";
import { useEffect } from "react";
import { Link, useLocation } from "wouter";
import { billingKey, useBilling } from "../billing/use-billing.ts";
import { useBudgets } from "../billing/use-budget-name.ts";
import { useDays } from "../billing/use-days.ts";
import { type BudgetWarning, listWarnings, type MoneyWarning, needsBudgets } from "../billing/warnings.ts";
import { useTenant } from "../gateway/tenant-context.tsx";
import type { BillingOverview } from "../http/billing.ts";
import { useFormats } from "../i18n/formats.ts";
import { useMoney } from "../i18n/use-money.ts";
import { useWords } from "../i18n/words-context.tsx";
import { NoticeLine } from "./notice-line.tsx";
import { usePutAway } from "./put-away.ts";

/** Months end without an event. */
const PERIOD_MS = 300_000;

/** Everything about money is asked for anew on each alert, and when events may have been missed. */
function useFreshMoney(): void {
  const { slug, connection } = useTenant();
  const queries = useQueryClient();
  useEffect(() => {
    const refresh = () => void queries.invalidateQueries({ queryKey: billingKey(slug) });
    let isFirst = true;
    const closeReady = connection.onReady(() => {
      if (!isFirst) refresh();
      isFirst = false;
    });
    const closeEvents = connection.onEvent((event) => {
      if (event === "billing.alert") refresh();
    });
    return () => {
      closeReady();
      closeEvents();
    };
  }, [slug, connection, queries]);
}

function useBudgetText(overview: BillingOverview): (warning: BudgetWarning) => string {
  const { warning: w } = useWords();
  const formats = useFormats();
  const money = useMoney(overview.currency);
  const days = useDays(overview.period.timeZone);
  return ({ level, scope, isPlan, name, resetAtMs, creditMicros, ...amounts }) => {
    const whose = isPlan ? w.plan : scope === "tenant" ? w.tenant : w[scope](name);
    const [spent, limit] = [money.show(amounts.spentMicros), money.show(amounts.limitMicros)];
    const day = resetAtMs === null ? undefined : days.of(resetAtMs);
    if (level < 100) {
      const share = formats.percent(level / 100);
      return day === undefined
        ? w.nearForEver(whose, share, spent, limit)
        : w.near(whose, share, spent, limit, day);
    }
    if (day === undefined) return w.fullForEver(whose, spent, limit);
    if (creditMicros > 0) return w.onCredit(whose, limit, money.show(creditMicros), day);
    return w.full(whose, spent, limit, day);
  };
}

function Shown(props: {
  overview: BillingOverview;
  warning: MoneyWarning;
  others: number;
  onPutAway: () => void;
}) {
  const words = useWords();
  const formats = useFormats();
  const budgetText = useBudgetText(props.overview);
  const { warning } = props;
  const isGrave = warning.kind === "stopped" || warning.level >= 95;
  const Icon = warning.kind === "stopped" ? OctagonPause : TriangleAlert;
  const text = (() => {
    if (warning.kind === "stopped") return words.warning.stopped(formats.moment(new Date(warning.sinceMs)));
    if (warning.kind === "budget") return budgetText(warning);
    const [used, limit] = [formats.bytes(warning.usedBytes), formats.bytes(warning.limitBytes)];
    return warning.level === 100
      ? words.warning.storageFull(used, limit)
      : words.warning.storageNear(formats.percent(warning.level / 100), used, limit);
  })();
  return (
    <NoticeLine
      tone={isGrave ? "danger" : "willow"}
      icon={<Icon size={16} aria-hidden className="mt-0.5 shrink-0" />}
      text={text}
    >
      <span className="flex shrink-0 items-center gap-3">
        {props.others > 0 ? <span>{words.warning.more(props.others)}</span> : null}
        <Link href="/billing" className="font-semibold underline underline-offset-4">
          {words.warning.open}
        </Link>
        <button
          type="button"
          aria-label={words.warning.putAway}
          title={words.warning.putAway}
          className="quick grid size-7 place-items-center rounded-small hover:bg-hover"
          onClick={props.onPutAway}
        >
          <X size={16} aria-hidden />
        </button>
      </span>
    </NoticeLine>
  );
}

/** The gravest warning that nobody put away here; on the billing page, which shows all of them, nothing. */
export default function MoneyBanner() {
  useFreshMoney();
  const { slug } = useTenant();
  const [path] = useLocation();
  const overview = useBilling(PERIOD_MS).data;
  const isNeeded = overview !== undefined && needsBudgets(overview);
  const budgets = useBudgets(isNeeded).data;
  const [away, putAway] = usePutAway(slug);
  if (overview === undefined || path === "/billing") return null;
  const warnings = listWarnings(overview, isNeeded ? (budgets ?? []) : []);
  const [first, ...others] = warnings.filter(({ id }) => !away.includes(id));
  if (first === undefined) return null;
  return (
    <Shown overview={overview} warning={first} others={others.length} onPutAway={() => putAway(first.id)} />
  );
}
