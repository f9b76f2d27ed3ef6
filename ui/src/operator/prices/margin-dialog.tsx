/** A new margin from a day on, tried on the last 30 days first. Owns: that form. Refuses to know: prices. */
import { useState } from "react";
import { setPrices } from "../../http/operator-prices.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { TextField } from "../../parts/field.tsx";
import { utcToday } from "../day-end.ts";
import { ActForm } from "../operator-dialog.tsx";
import { parseBasisPoints } from "./basis-points.ts";
import { PriceTrial } from "./price-trial.tsx";

/** The form; with `tenant` for that organization alone. */
export function MarginDialog(props: {
  currency: string;
  tenant?: { id: string; name: string };
  onClose: () => void;
  onDone: () => void;
}) {
  const words = useWords();
  const m = words.operatorMoney;
  const { tenant } = props;
  const [percent, setPercent] = useState("");
  const [fromDay, setFromDay] = useState(utcToday);
  const basisPoints = parseBasisPoints(percent);
  const draft =
    basisPoints === undefined || fromDay === ""
      ? undefined
      : { tenantId: tenant?.id ?? "", fromDay, basisPoints };
  return (
    <Dialog
      open
      onClose={props.onClose}
      title={tenant ? m.marginTitleOf(tenant.name) : m.marginTitle}
      description={tenant ? m.marginHintOf : m.marginHint}
    >
      <ActForm
        action={words.act.save}
        ready={draft !== undefined}
        act={async () => draft && setPrices({ margins: [draft] })}
        onClose={props.onClose}
        onDone={props.onDone}
      >
        <TextField
          label={m.marginPercent}
          hint={m.marginPercentHint}
          value={percent}
          maxLength={12}
          aria-invalid={percent !== "" && basisPoints === undefined}
          onChange={(event) => setPercent(event.target.value)}
        />
        <TextField
          type="date"
          label={words.money.fromDay}
          hint={words.money.priceDayHint}
          value={fromDay}
          onChange={(event) => setFromDay(event.target.value)}
        />
        <PriceTrial wish={draft === undefined ? null : { margins: [draft] }} currency={props.currency} />
      </ActForm>
    </Dialog>
  );
}
