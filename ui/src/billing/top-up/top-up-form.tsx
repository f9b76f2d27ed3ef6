/** Paying in advance. Owns: the form, and the way to whoever takes the money. Refuses to know: what happens there. */
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useTenant } from "../../gateway/tenant-context.tsx";
import { type BillingOverview, beginTopUp } from "../../http/billing.ts";
import { HttpFailure } from "../../http/request.ts";
import { useMoney } from "../../i18n/use-money.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Button } from "../../parts/button.tsx";
import { TextField } from "../../parts/field.tsx";
import { Sheet } from "../../parts/page-frame.tsx";
import { Segmented } from "../../parts/segmented.tsx";
import { Problem } from "../../parts/states.tsx";
import { readTopUp, suggestTopUps, type TopUpAmount } from "./top-up-amount.ts";
import { keepOrder } from "./top-up-order.ts";

/** SECURITY: only a page of the web is opened, whatever the answer says. */
function leaveFor(address: string): void {
  const url = URL.parse(address);
  if (url === null || !/^https?:$/.test(url.protocol)) throw new Error(address);
  location.assign(url.href);
}

/** Begins a payment, remembers it for the way back, and leaves the page. */
function useTopUp() {
  const words = useWords();
  const { slug } = useTenant();
  return useMutation({
    mutationFn: async (wish: { provider: string; amountMicros: number }) => {
      const returnTo = `/t/${encodeURIComponent(slug)}/billing?payment=done`;
      const { orderId, redirect } = await beginTopUp(slug, { ...wish, returnTo }).catch((error: unknown) => {
        const isTheirs = error instanceof HttpFailure && error.code === "provider_failed";
        if (!isTheirs) throw error;
        throw new HttpFailure(error.status, "", words.topUp.unreachable, error.requestId);
      });
      keepOrder(slug, { orderId, amountMicros: wish.amountMicros });
      leaveFor(redirect);
    },
  });
}

function useFaultText(overview: BillingOverview): (amount: TopUpAmount) => string | undefined {
  const words = useWords();
  const money = useMoney(overview.currency);
  const { minMicros, maxMicros } = overview.topUp;
  return ({ fault }) => {
    if (fault === undefined) return undefined;
    const texts = {
      not_amount: words.topUp.notAmount,
      too_fine: words.topUp.tooFine,
      too_small: words.topUp.tooSmall(money.show(minMicros)),
      too_large: words.topUp.tooLarge(money.show(maxMicros)),
    };
    return texts[fault];
  };
}

function Suggestions(props: { currency: string; onChoose: (amount: string) => void }) {
  const money = useMoney(props.currency);
  return (
    <div className="flex flex-wrap gap-2">
      {suggestTopUps(props.currency).map((amount) => (
        <Button small key={amount} onClick={() => props.onChoose(String(amount))}>
          {money.whole(amount * 1_000_000)}
        </Button>
      ))}
    </div>
  );
}

/** The form; nothing when nobody takes payments in the tenant's currency. */
export function TopUpForm({ overview }: { overview: BillingOverview }) {
  const words = useWords();
  const { currency, topUp } = overview;
  const money = useMoney(currency);
  const faultText = useFaultText(overview);
  const [text, setText] = useState("");
  const [wanted, setWanted] = useState<string>();
  const begin = useTopUp();
  const provider = topUp.providers.find((id) => id === wanted) ?? topUp.providers[0];
  if (provider === undefined) return null;
  const amount = readTopUp(text, topUp);
  const fault = text.trim() === "" ? undefined : faultText(amount);
  // A page that is being left does not come back to life.
  const isGoing = begin.isPending || begin.isSuccess;
  return (
    <Sheet className="grid gap-4 p-4 sm:p-6">
      <div className="grid gap-1">
        <h2 className="text-l font-semibold">{words.topUp.title}</h2>
        <p className="text-s text-ink-2">{words.topUp.hint}</p>
      </div>
      <form
        className="grid gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (amount.micros !== undefined && !isGoing)
            begin.mutate({ provider, amountMicros: amount.micros });
        }}
      >
        <Suggestions currency={currency} onChoose={setText} />
        <TextField
          label={words.topUp.amount(currency)}
          inputMode="decimal"
          value={text}
          maxLength={16}
          aria-invalid={fault !== undefined}
          hint={
            <span aria-live="polite" className={fault ? "font-medium text-danger" : ""}>
              {fault ?? words.topUp.range(money.show(topUp.minMicros), money.show(topUp.maxMicros))}
            </span>
          }
          onChange={(event) => setText(event.target.value)}
        />
        {topUp.providers.length > 1 ? (
          <Segmented
            label={words.topUp.pays}
            value={provider}
            onChange={setWanted}
            options={topUp.providers.map((id) => ({ value: id, label: words.topUp.providers[id] ?? id }))}
          />
        ) : null}
        <div>
          <Button type="submit" tone="primary" disabled={amount.micros === undefined || isGoing}>
            {isGoing
              ? words.topUp.going
              : amount.micros === undefined
                ? words.topUp.act
                : words.topUp.actAmount(money.show(amount.micros))}
          </Button>
        </div>
      </form>
      {begin.isError ? <Problem compact error={begin.error} /> : null}
    </Sheet>
  );
}
