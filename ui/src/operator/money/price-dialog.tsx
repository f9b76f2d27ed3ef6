/** A new price of a model from a day on, tried on the last 30 days first. Owns: that form. Refuses to know: the book. */
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { type PriceDraft, type PriceEffect, setPrices } from "../../http/operator-money.ts";
import { makeMoney, parseMicros } from "../../i18n/money.ts";
import { useSpeech, useWords } from "../../i18n/words-context.tsx";
import { Button } from "../../parts/button.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { TextField } from "../../parts/field.tsx";
import { Problem } from "../../parts/states.tsx";
import { ActForm } from "../operator-dialog.tsx";

const AMOUNTS = ["input", "output", "cacheRead", "cacheWrite"] as const;
type Amount = (typeof AMOUNTS)[number];
type Wish = Record<Amount | "provider" | "name" | "fromDay" | "source", string>;

/** The price of a wish; undefined while something is missing. */
function draftOf(wish: Wish): PriceDraft | undefined {
  const [input, output] = [parseMicros(wish.input), parseMicros(wish.output)];
  const [cacheRead, cacheWrite] = [parseMicros(wish.cacheRead), parseMicros(wish.cacheWrite)];
  const { fromDay } = wish;
  const [provider, name, source] = [wish.provider.trim(), wish.name.trim(), wish.source.trim()];
  if (input === undefined || output === undefined || [provider, name, source, fromDay].includes(""))
    return undefined;
  if ((wish.cacheRead && cacheRead === undefined) || (wish.cacheWrite && cacheWrite === undefined))
    return undefined;
  return {
    ...{ kind: "model", provider, name, fromDay, input, output, source },
    ...(cacheRead === undefined ? {} : { cacheRead }),
    ...(cacheWrite === undefined ? {} : { cacheWrite }),
  };
}

function Effect({ effect }: { effect: PriceEffect }) {
  const { words, language } = useSpeech();
  const money = makeMoney(language, "USD");
  const { beforeMicros, afterMicros, tenants } = effect;
  return (
    <p className="text-m" aria-live="polite">
      {tenants === 0
        ? words.money.noEffect
        : words.money.effect(money.show(beforeMicros), money.show(afterMicros), tenants)}
    </p>
  );
}

function Fields(props: { wish: Wish; onChange: (part: Partial<Wish>) => void }) {
  const words = useWords();
  const { wish, onChange } = props;
  const field = (name: keyof Wish, label: string, more: { hint?: string; type?: string } = {}) => (
    <TextField
      key={name}
      label={label}
      value={wish[name]}
      maxLength={300}
      onChange={(event) => onChange({ [name]: event.target.value })}
      {...more}
    />
  );
  return (
    <>
      <div className="grid gap-4 sm:grid-cols-2">
        {field("provider", words.money.provider)}
        {field("name", words.usage.model)}
        {AMOUNTS.map((name) => field(name, words.money.perMillion(words.usage[name])))}
      </div>
      {field("fromDay", words.money.fromDay, { type: "date", hint: words.money.priceDayHint })}
      {field("source", words.ledger.source, { hint: words.money.sourceHint })}
    </>
  );
}

/** The form. */
export function PriceDialog(props: { onClose: () => void; onDone: () => void }) {
  const words = useWords();
  const [wish, setWish] = useState<Wish>({
    ...{ provider: "", name: "", input: "", output: "", cacheRead: "", cacheWrite: "", source: "" },
    fromDay: new Date().toISOString().slice(0, 10),
  });
  const draft = draftOf(wish);
  const trial = useMutation({ mutationFn: (row: PriceDraft) => setPrices([row], true) });
  const effect = trial.data?.effects[0];
  return (
    <Dialog
      open
      wide
      onClose={props.onClose}
      title={words.money.newPrice}
      description={words.money.newPriceHint}
    >
      <ActForm
        action={words.act.save}
        ready={draft !== undefined}
        act={async () => draft && setPrices([draft], false)}
        onClose={props.onClose}
        onDone={props.onDone}
      >
        <Fields
          wish={wish}
          onChange={(part) => {
            trial.reset();
            setWish({ ...wish, ...part });
          }}
        />
        <div className="flex flex-wrap items-center gap-4">
          <Button
            disabled={draft === undefined || trial.isPending}
            onClick={() => draft && trial.mutate(draft)}
          >
            {words.money.tryPrice}
          </Button>
          {effect ? <Effect effect={effect} /> : null}
        </div>
        {trial.isError ? <Problem compact error={trial.error} /> : null}
      </ActForm>
    </Dialog>
  );
}
