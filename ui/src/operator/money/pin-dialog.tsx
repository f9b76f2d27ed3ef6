/** Putting an organization on a plan's version. Owns: that form. Refuses to know: what plans hold. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { findPin, type listPlans, pinPlan, type SpendingRow } from "../../http/operator-money.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { SelectField, TextField } from "../../parts/field.tsx";
import { utcToday } from "../day-end.ts";
import { ActForm } from "../operator-dialog.tsx";

/** The form. */
export function PinDialog(props: {
  row: Pick<SpendingRow, "id" | "name">;
  book: Awaited<ReturnType<typeof listPlans>>;
  onClose: () => void;
  onDone: () => void;
}) {
  const words = useWords();
  const { row } = props;
  const { currency } = props.book;
  // Nobody can be put on a plan of another currency than that of prices.
  const plans = props.book.plans.filter(({ terms }) => terms.currency === currency);
  const now = useQuery({ queryKey: ["operator", "tenant", row.id, "plan"], queryFn: () => findPin(row.id) });
  const current = plans.findIndex(
    ({ id, version }) => id === now.data?.plan.id && version === now.data.plan.version,
  );
  const [wanted, setWanted] = useState<number>();
  const chosen = wanted ?? current;
  const [day, setDay] = useState("");
  const isAhead = day === "" || day >= utcToday();
  const plan = plans[chosen];
  return (
    <Dialog
      open
      onClose={props.onClose}
      title={words.money.pinTitle(row.name)}
      description={words.money.pinHint}
    >
      <ActForm
        action={words.act.save}
        ready={plan !== undefined && isAhead}
        act={async () => {
          if (!plan) return;
          const from = day === "" ? {} : { fromMs: Date.parse(`${day}T00:00:00Z`) };
          await pinPlan(row.id, { plan: plan.id, version: plan.version, ...from });
        }}
        onClose={props.onClose}
        onDone={props.onDone}
      >
        <SelectField
          label={words.billing.plan}
          disabled={now.isPending}
          value={chosen}
          onChange={(event) => setWanted(Number(event.target.value))}
        >
          {chosen === -1 ? (
            <option value={-1} disabled>
              {words.budgets.choose}
            </option>
          ) : null}
          {plans.map(({ id, version, terms }, index) => (
            <option key={`${id}/${version}`} value={index}>
              {[
                ...[terms.name, words.billing.version(version)],
                ...(index === current ? [words.money.pinnedNow] : []),
              ].join(" · ")}
            </option>
          ))}
        </SelectField>
        <TextField
          type="date"
          label={words.money.fromDay}
          hint={words.money.fromDayHint}
          min={utcToday()}
          value={day}
          aria-invalid={!isAhead}
          onChange={(event) => setDay(event.target.value)}
        />
      </ActForm>
    </Dialog>
  );
}
