/** Plan, budget, limits and warnings. Owns: their layout. Refuses to know: how they are counted. */
import { useQueryClient } from "@tanstack/react-query";
import { OctagonPause } from "lucide-react";
import { type ReactNode, useState } from "react";
import { useScope, useTenant } from "../gateway/tenant-context.tsx";
import { type BillingOverview, resumeTurns } from "../http/billing.ts";
import { useFormats } from "../i18n/formats.ts";
import { useMoney } from "../i18n/use-money.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Badge } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Problem } from "../parts/states.tsx";
import { useToast } from "../parts/toasts.tsx";
import { BudgetBar } from "./budget-bar.tsx";
import { PreviewForm } from "./preview-form.tsx";
import { RedeemForm } from "./redeem-form.tsx";
import { TopUpForm } from "./top-up/top-up-form.tsx";
import { TopUpReturn } from "./top-up/top-up-return.tsx";
import { billingKey } from "./use-billing.ts";
import { useBudgetName } from "./use-budget-name.ts";
import { useDays } from "./use-days.ts";

interface Props {
  overview: BillingOverview;
}

function Breaker(props: { sinceMs: number }) {
  const words = useWords();
  const formats = useFormats();
  const toast = useToast();
  const queries = useQueryClient();
  const { slug } = useTenant();
  const mayAdmin = useScope("operator.admin");
  const [failure, setFailure] = useState<Error>();
  const resume = async () => {
    setFailure(undefined);
    try {
      await resumeTurns(slug);
      toast(words.billing.resumed);
      await queries.invalidateQueries({ queryKey: billingKey(slug) });
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
    }
  };
  return (
    <section className="grid gap-3 rounded-large border border-danger/30 bg-danger-soft p-4 sm:p-6">
      <h2 className="flex items-center gap-2 text-l font-semibold text-danger">
        <OctagonPause size={20} aria-hidden />
        {words.billing.breakerTitle}
      </h2>
      <p className="text-m">{words.billing.breaker(formats.dayTime(new Date(props.sinceMs)))}</p>
      {failure ? <Problem compact error={failure} /> : null}
      {mayAdmin ? (
        <div>
          <Button onClick={() => void resume()}>{words.billing.resume}</Button>
        </div>
      ) : null}
    </section>
  );
}

function Figure(props: { name: string; value: string }) {
  return (
    <div className="flex flex-col-reverse">
      <dt className="text-s text-ink-2">{props.name}</dt>
      <dd className="text-xl font-semibold tracking-tight sm:text-2xl">{props.value}</dd>
    </div>
  );
}

function BudgetSheet({ overview }: Props) {
  const words = useWords();
  const formats = useFormats();
  const money = useMoney(overview.currency);
  const { plan, period, budget } = overview;
  const days = useDays(period.timeZone);
  const { limitMicros: limit, spentMicros, reservedMicros, creditMicros } = budget;
  const left = limit === null ? 0 : Math.max(0, limit - spentMicros - reservedMicros);
  const share = limit ? (spentMicros + reservedMicros) / limit : 1;
  return (
    <Sheet className="grid gap-5 p-4 sm:p-6">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <h2 className="text-xl font-semibold">{plan.name}</h2>
        <Badge>{words.billing.version(plan.version)}</Badge>
        {plan.until === null ? null : <Badge>{words.billing.planUntil(days.of(plan.until))}</Badge>}
        <p className="text-s text-ink-2 sm:ml-auto">
          {words.billing.period(days.of(period.startMs), days.before(period.endMs), period.timeZone)}
        </p>
      </div>
      <dl className="grid grid-cols-2 gap-x-8 gap-y-4 sm:flex sm:flex-wrap sm:gap-x-12">
        <Figure name={words.billing.spent} value={money.show(spentMicros)} />
        <Figure name={words.billing.reserved} value={money.show(reservedMicros)} />
        {limit === null ? null : <Figure name={words.billing.left} value={money.show(left)} />}
        <Figure
          name={words.billing.limit}
          value={limit === null ? words.billing.noLimit : money.show(limit)}
        />
        <Figure name={words.billing.credit} value={money.show(creditMicros)} />
      </dl>
      {creditMicros < 0 ? (
        <p className="text-s text-ink-2">{words.billing.owedHint(money.show(creditMicros))}</p>
      ) : null}
      {limit === null ? (
        <p className="text-s text-ink-2">{words.billing.unlimitedHint}</p>
      ) : (
        <>
          <BudgetBar
            marks
            label={words.billing.budgetBar(formats.percent(share))}
            spentMicros={spentMicros}
            reservedMicros={reservedMicros}
            limitMicros={limit}
          />
          <p className="text-s text-ink-2">
            {left === 0 && creditMicros <= 0
              ? words.billing.overHint
              : `${words.billing.marks} · ${words.billing.reset(days.of(period.endMs))}`}
          </p>
        </>
      )}
    </Sheet>
  );
}

function LimitRow(props: { name: string; used?: string; limit: ReactNode; isOver?: boolean }) {
  return (
    <tr className="border-t border-line">
      <th scope="row" className="px-4 py-2.5 text-left font-normal sm:px-6">
        {props.name}
      </th>
      <td
        className={`px-3 py-2.5 text-right whitespace-nowrap ${props.isOver ? "font-semibold text-danger" : ""}`}
      >
        {props.used ?? ""}
      </td>
      <td className="px-4 py-2.5 text-right sm:px-6">{props.limit}</td>
    </tr>
  );
}

function Limits({ overview }: Props) {
  const words = useWords();
  const formats = useFormats();
  const money = useMoney(overview.currency);
  const { limits } = overview;
  const b = words.billing;
  const show = (limit: number | null, format: (n: number) => string) =>
    limit === null ? b.noLimit : format(limit);
  return (
    <Sheet className="overflow-hidden">
      <h2 className="px-4 pt-4 pb-2 text-l font-semibold sm:px-6">{b.limits}</h2>
      <table className="w-full text-m">
        <thead>
          <tr className="text-xs text-ink-3">
            <th scope="col" className="px-4 py-2 text-left font-medium sm:px-6">
              {b.what}
            </th>
            <th scope="col" className="px-3 py-2 text-right font-medium">
              {b.used}
            </th>
            <th scope="col" className="px-4 py-2 text-right font-medium sm:px-6">
              {b.limit}
            </th>
          </tr>
        </thead>
        <tbody>
          {(["seats", "agents", "storageBytes"] as const).map((name) => {
            const { used, limit } = limits[name];
            const format = name === "storageBytes" ? formats.bytes : formats.count;
            return (
              <LimitRow
                key={name}
                name={b[name]}
                used={format(used)}
                limit={show(limit, format)}
                isOver={limit !== null && used >= limit}
              />
            );
          })}
          {(["requestsPerMinute", "concurrentTurns", "tokensPerMinute"] as const).map((name) => (
            <LimitRow key={name} name={b[name]} limit={show(limits[name], formats.count)} />
          ))}
          <LimitRow name={b.backgroundBudgetMicros} limit={show(limits.backgroundBudgetMicros, money.show)} />
          <LimitRow
            name={b.models}
            limit={
              <span className="break-all">
                {limits.models === null ? b.allModels : limits.models.join(", ")}
              </span>
            }
          />
        </tbody>
      </table>
    </Sheet>
  );
}

function Alerts({ overview }: Props) {
  const words = useWords();
  const formats = useFormats();
  const money = useMoney(overview.currency);
  const nameOf = useBudgetName();
  return (
    <Sheet className="p-4 sm:p-6">
      <h2 className="pb-2 text-l font-semibold">{words.billing.alerts}</h2>
      {overview.alerts.length === 0 ? (
        <p className="text-m text-ink-2">{words.billing.noAlerts}</p>
      ) : (
        <ul className="divide-y divide-line">
          {overview.alerts.map((alert) => (
            <li key={alert.id} className="flex flex-wrap items-baseline gap-x-4 gap-y-0.5 py-2.5">
              <span
                className={`w-full sm:w-auto sm:flex-1 ${alert.level >= 95 ? "font-medium text-danger" : ""}`}
              >
                {words.billing.alert(nameOf(alert), formats.percent(alert.level / 100))}
              </span>
              <span className="text-s text-ink-2">
                {words.billing.alertSpent(money.show(alert.spentMicros), money.show(alert.limitMicros))}
              </span>
              <span className="text-s text-ink-3">{formats.moment(new Date(alert.atMs))}</span>
            </li>
          ))}
        </ul>
      )}
    </Sheet>
  );
}

/** What admins can do about money: pay beside the smaller acts, which stand side by side where nobody takes payments. */
function Acts({ overview }: Props) {
  const smaller = (
    <>
      <RedeemForm currency={overview.currency} />
      <PreviewForm currency={overview.currency} />
    </>
  );
  const canPay = overview.topUp.providers.length > 0;
  return (
    <div className="grid items-start gap-6 lg:grid-cols-2">
      <TopUpForm overview={overview} />
      {canPay ? <div className="grid gap-6">{smaller}</div> : smaller}
    </div>
  );
}

/** The overview. */
export function OverviewTab({ overview }: Props) {
  const mayAdmin = useScope("operator.admin");
  return (
    <>
      {overview.breaker ? <Breaker sinceMs={overview.breaker.sinceMs} /> : null}
      {mayAdmin ? <TopUpReturn currency={overview.currency} /> : null}
      <BudgetSheet overview={overview} />
      <Alerts overview={overview} />
      {mayAdmin ? <Acts overview={overview} /> : null}
      <Limits overview={overview} />
    </>
  );
}
