/** Putting an organization on a plan's version. Owns: that form. Refuses to know: what plans hold. */
import { useState } from "react";
import { type listPlans, pinPlan, type SpendingRow } from "../../http/operator-money.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { SelectField, TextField } from "../../parts/field.tsx";
import { ActForm } from "../operator-dialog.tsx";

/** The form. */
export function PinDialog(props: {
  row: Pick<SpendingRow, "id" | "name" | "plan">;
  book: Awaited<ReturnType<typeof listPlans>>;
  onClose: () => void;
  onDone: () => void;
}) {
  const words = useWords();
  const { row } = props;
  const { currency } = props.book;
  // Nobody can be put on a plan of another currency than that of prices.
  const plans = props.book.plans.filter(({ terms }) => terms.currency === currency);
  const [chosen, setChosen] = useState(() =>
    Math.max(
      0,
      plans.findIndex(({ id }) => id === row.plan),
    ),
  );
  const [day, setDay] = useState("");
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
        ready={plan !== undefined}
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
          value={chosen}
          onChange={(event) => setChosen(Number(event.target.value))}
        >
          {plans.map(({ id, version, terms }, index) => (
            <option key={`${id}/${version}`} value={index}>
              {`${terms.name} · ${words.billing.version(version)}`}
            </option>
          ))}
        </SelectField>
        <TextField
          type="date"
          label={words.money.fromDay}
          hint={words.money.fromDayHint}
          value={day}
          onChange={(event) => setDay(event.target.value)}
        />
      </ActForm>
    </Dialog>
  );
}
