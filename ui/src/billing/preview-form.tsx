/** Trying a limit on last month. Owns: that form. Refuses to know: setting limits. */
import { useMutation } from "@tanstack/react-query";
import { useId, useState } from "react";
import { useTenant } from "../gateway/tenant-context.tsx";
import { previewLimit } from "../http/billing.ts";
import { useFormats } from "../i18n/formats.ts";
import { parseMicros } from "../i18n/money.ts";
import { useMoney } from "../i18n/use-money.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { TextField } from "../parts/field.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Problem } from "../parts/states.tsx";

/** The form and its answer. */
export function PreviewForm(props: { currency: string }) {
  const words = useWords();
  const formats = useFormats();
  const money = useMoney(props.currency);
  const { slug } = useTenant();
  const [text, setText] = useState("");
  const reasonId = useId();
  const micros = parseMicros(text);
  const isWrong = text !== "" && micros === undefined;
  const trial = useMutation({ mutationFn: (limit: number) => previewLimit(slug, limit) });
  const { data } = trial;
  return (
    <Sheet className="grid gap-4 p-4 sm:p-6">
      <div className="grid gap-1">
        <h2 className="text-l font-semibold">{words.billing.preview}</h2>
        <p className="text-s text-ink-2">{words.billing.previewHint}</p>
      </div>
      <form
        className="grid grid-cols-[1fr_auto] items-end gap-2"
        onSubmit={(event) => {
          event.preventDefault();
          if (micros !== undefined) trial.mutate(micros);
        }}
      >
        <TextField
          label={words.billing.previewAmount(props.currency)}
          inputMode="decimal"
          value={text}
          aria-invalid={isWrong}
          aria-describedby={isWrong ? reasonId : undefined}
          onChange={(event) => {
            setText(event.target.value);
            // What is shown is of another amount.
            if (!trial.isIdle) trial.reset();
          }}
        />
        <Button type="submit" disabled={micros === undefined || trial.isPending}>
          {words.billing.previewAct}
        </Button>
      </form>
      {isWrong ? (
        <p id={reasonId} className="text-xs text-danger">
          {words.budgets.amountHint}
        </p>
      ) : null}
      {trial.isError ? <Problem compact error={trial.error} /> : null}
      <div aria-live="polite" className="text-m empty:hidden">
        {!data ? null : data.wouldHaveBlocked.length === 0 ? (
          words.billing.previewNone
        ) : (
          <div className="grid gap-2">
            <p>{words.billing.previewSome(data.total.calls, money.show(data.total.costMicros))}</p>
            <ul className="divide-y divide-line">
              {data.wouldHaveBlocked.map((day) => (
                <li key={day.day} className="flex justify-between gap-4 py-1.5 text-s">
                  <span>{formats.day(new Date(`${day.day}T12:00:00`))}</span>
                  <span>{money.show(day.costMicros)}</span>
                </li>
              ))}
            </ul>
          </div>
        )}
      </div>
    </Sheet>
  );
}
