/** An organization's money as an operator sees it, and the forms that change it. Owns: that part of its page. Refuses to know: ledger lines. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { useFreshProof } from "../../account/step-up.tsx";
import { BudgetBar } from "../../billing/budget-bar.tsx";
import { useDays } from "../../billing/use-days.ts";
import { useAccount } from "../../http/account.ts";
import { findTenantMoney, listPlans, type TenantMoney as Money } from "../../http/operator-money.ts";
import { useFormats } from "../../i18n/formats.ts";
import { useMoney } from "../../i18n/use-money.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Badge } from "../../parts/badge.tsx";
import { Button } from "../../parts/button.tsx";
import { Sheet } from "../../parts/page-frame.tsx";
import { Problem, Skeleton } from "../../parts/states.tsx";
import { MarginDialog } from "../prices/margin-dialog.tsx";
import { PriceDialog } from "../prices/price-dialog.tsx";
import { usePriceFormat } from "../prices/price-format.ts";
import { type LineKind, useHeads, useOwnLines } from "../prices/price-lines.tsx";
import { PriceTable } from "../prices/price-table.tsx";
import { AdjustDialog } from "./adjust-dialog.tsx";
import { CreditDialog } from "./credit-dialog.tsx";
import { PinDialog } from "./pin-dialog.tsx";

type Form = "credit" | "adjust" | "plan" | "margin" | "price";

interface Named {
  id: string;
  name: string;
}

function Figure(props: { name: string; children: ReactNode }) {
  return (
    <div className="grid content-start gap-0.5">
      <dt className="text-xs text-ink-3">{props.name}</dt>
      <dd className="flex flex-wrap items-center gap-2 text-m">{props.children}</dd>
    </div>
  );
}

/** The month in the organization's own zone, which is where it begins and ends. */
function Month({ period }: { period: NonNullable<Money["period"]> }) {
  const m = useWords().operatorMoney;
  const days = useDays(period.timeZone);
  return (
    <p className="text-s text-ink-3">
      {m.month(days.of(period.startMs), days.before(period.endMs), period.timeZone)}
    </p>
  );
}

function Budget({ facts }: { facts: Money }) {
  const words = useWords();
  const money = useMoney(facts.currency);
  const formats = useFormats();
  const { funds, limitMicros, period } = facts;
  if (funds === null || period === null)
    return <p className="text-m text-ink-2">{words.operatorMoney.noFunds}</p>;
  const { spentMicros, reservedMicros, creditMicros } = funds;
  return (
    <div className="grid gap-4">
      <Month period={period} />
      {limitMicros === null ? null : (
        <BudgetBar
          label={words.billing.budgetBar(
            formats.percent(limitMicros === 0 ? 1 : (spentMicros + reservedMicros) / limitMicros),
          )}
          {...{ spentMicros, reservedMicros, limitMicros }}
        />
      )}
      <dl className="grid grid-cols-2 gap-x-8 gap-y-3 sm:grid-cols-4">
        <Figure name={words.billing.spent}>
          <span className="text-l font-semibold tabular-nums">{money.show(spentMicros)}</span>
        </Figure>
        <Figure name={words.billing.limit}>
          {limitMicros === null ? words.billing.noLimit : money.show(limitMicros)}
        </Figure>
        <Figure name={words.billing.reserved}>{money.show(reservedMicros)}</Figure>
        <Figure name={words.billing.credit}>
          <span className="text-l font-semibold tabular-nums">{money.show(creditMicros)}</span>
        </Figure>
      </dl>
    </div>
  );
}

function Terms({ facts }: { facts: Money }) {
  const words = useWords();
  const m = words.operatorMoney;
  const formats = useFormats();
  const format = usePriceFormat(facts.currency);
  const { plan, pins, margin } = facts;
  const day = (ms: number) => formats.dayTime(new Date(ms));
  const later = pins.filter(({ fromMs }) => fromMs > Date.now()).reverse();
  return (
    <dl className="grid gap-x-8 gap-y-3 border-t border-line pt-4 sm:grid-cols-2">
      <Figure name={words.billing.plan}>
        {plan.name}
        <Badge>{words.billing.version(plan.version)}</Badge>
        {plan.untilMs === null ? null : (
          <span className="text-s text-ink-2">{words.billing.planUntil(day(plan.untilMs))}</span>
        )}
      </Figure>
      <Figure name={m.margin}>
        {format.margin(margin.basisPoints)}
        <Badge tone={margin.isOwn ? "accent" : "plain"}>{margin.isOwn ? m.ofItsOwn : m.everybodys}</Badge>
      </Figure>
      {later.length === 0 ? null : (
        <Figure name={m.nextPlans}>
          <ul className="grid gap-1">
            {later.map((pin) => (
              <li key={pin.fromMs}>
                {`${pin.plan} · ${words.billing.version(pin.version)} · ${m.from(day(pin.fromMs))}`}
              </li>
            ))}
          </ul>
        </Figure>
      )}
    </dl>
  );
}

function OwnBook({ facts }: { facts: Money }) {
  const { usage, operatorMoney: m } = useWords();
  const names = { model: usage.model, tool: m.toolName, storage: m.kind.storage };
  const lines = useOwnLines(facts.currency, {});
  const prices = (["model", "tool", "storage"] as const).map((kind) => ({
    ...{ kind, lines: lines.prices(facts.prices, kind), label: m.ownPrices(m.kinds[kind]) },
    what: names[kind],
  }));
  const margins = { kind: "margin" as const, lines: lines.margins(facts.margin.rows), label: m.ownMargins };
  const tables = [...prices, { ...margins, what: m.margin }].filter((table) => table.lines.length > 0);
  return (
    <>
      {tables.map((table) => (
        <OwnTable key={table.kind} {...table} />
      ))}
    </>
  );
}

function OwnTable(props: {
  kind: LineKind;
  lines: ReturnType<ReturnType<typeof useOwnLines>["margins"]>;
  label: string;
  what: string;
}) {
  const heads = useHeads(props.kind);
  return (
    <div className="grid grid-cols-1 gap-2">
      <h3 className="text-m font-semibold">{props.label}</h3>
      <PriceTable isOfOne heads={heads} label={props.label} what={props.what} lines={props.lines} />
    </div>
  );
}

function Forms(props: { form: Form; tenant: Named; facts: Money; onClose: () => void; onDone: () => void }) {
  const { form, tenant, facts, onClose, onDone } = props;
  const plans = useQuery({
    queryKey: ["operator", "plans"],
    queryFn: listPlans,
    enabled: form === "plan",
  });
  const common = { tenant, onClose, onDone, currency: facts.currency };
  if (form === "credit") return <CreditDialog {...common} />;
  if (form === "adjust") return <AdjustDialog {...common} creditMicros={facts.funds?.creditMicros ?? null} />;
  if (form === "margin") return <MarginDialog {...common} />;
  if (form === "price") return <PriceDialog {...common} />;
  if (!plans.data) return null;
  return <PinDialog row={tenant} book={plans.data} onClose={onClose} onDone={onDone} />;
}

/** That part of an organization's page; forms only while it is not going. */
export function TenantMoney(props: { tenant: Named; isGoing: boolean }) {
  const words = useWords();
  const m = words.operatorMoney;
  const queries = useQueryClient();
  const isFresh = useFreshProof();
  const { data: account } = useAccount();
  const [form, setForm] = useState<Form>();
  const { tenant } = props;
  const answer = useQuery({
    queryKey: ["operator", "tenant", tenant.id, "money"],
    queryFn: () => findTenantMoney(tenant.id),
  });
  const ask = (wish: Form) => {
    if ((wish !== "credit" && wish !== "adjust") || isFresh(account?.authAtMs ?? 0)) setForm(wish);
  };
  const acts: [Form, string][] = [
    ["credit", m.giveCredit],
    ["adjust", m.adjust],
    ["plan", m.changePlan],
    ["margin", m.setMargin],
    ["price", m.setPrice],
  ];
  return (
    <section className="grid grid-cols-1 gap-3">
      <div className="grid gap-1">
        <h2 className="text-l font-semibold">{m.title}</h2>
        <p className="text-s text-ink-2">{m.hint}</p>
      </div>
      {answer.isError ? (
        <Problem title={m.failed} error={answer.error} onRetry={() => void answer.refetch()} />
      ) : answer.isPending ? (
        <Skeleton lines={5} label={m.title} />
      ) : (
        <>
          <Sheet className="grid grid-cols-1 gap-4 p-4 sm:p-6">
            {answer.data.breaker === null ? null : <p className="text-m text-danger">{m.stopped}</p>}
            <Budget facts={answer.data} />
            <Terms facts={answer.data} />
            {props.isGoing ? null : (
              <div className="flex flex-wrap gap-2">
                {acts.map(([wish, label]) => (
                  <Button key={wish} onClick={() => ask(wish)}>
                    {label}
                  </Button>
                ))}
              </div>
            )}
          </Sheet>
          <OwnBook facts={answer.data} />
        </>
      )}
      {form && answer.data ? (
        <Forms
          {...{ form, tenant, facts: answer.data }}
          onClose={() => setForm(undefined)}
          onDone={() => void queries.invalidateQueries({ queryKey: ["operator"] })}
        />
      ) : null}
    </section>
  );
}
