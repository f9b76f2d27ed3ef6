/** Giving an organization credit. Owns: that form. Refuses to know: what credit is spent on. */
import { useState } from "react";
import { newId } from "../../gateway/new-id.ts";
import { giveCredit } from "../../http/operator-money.ts";
import { makeMoney, parseMicros } from "../../i18n/money.ts";
import { useSpeech } from "../../i18n/words-context.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { TextField } from "../../parts/field.tsx";
import { useToast } from "../../parts/toasts.tsx";
import { endOfDay, utcToday } from "../day-end.ts";
import { ActForm } from "../operator-dialog.tsx";
import { bookedBefore } from "./booked-before.ts";

/** The form. */
export function CreditDialog(props: {
  tenant: { id: string; name: string };
  currency: string;
  onClose: () => void;
  onDone: () => void;
}) {
  const { words, language } = useSpeech();
  const m = words.operatorMoney;
  const toast = useToast();
  const money = makeMoney(language, props.currency);
  const { tenant, currency } = props;
  const [amount, setAmount] = useState("");
  const [lastDay, setLastDay] = useState("");
  const [reason, setReason] = useState("");
  // A form that is sent twice gives once.
  const [idempotencyKey] = useState(newId);
  const amountMicros = parseMicros(amount);
  const isAhead = lastDay === "" || lastDay >= utcToday();
  return (
    <Dialog open onClose={props.onClose} title={m.creditTitle(tenant.name)} description={m.creditHint}>
      <ActForm
        action={m.giveCredit}
        ready={!!amountMicros && reason.trim() !== "" && isAhead}
        act={async () => {
          if (!amountMicros) return;
          const wish = { tenantId: tenant.id, amountMicros, reason: reason.trim(), idempotencyKey };
          await giveCredit({ ...wish, ...endOfDay(lastDay) }).catch((failure: unknown) => {
            const told = bookedBefore(failure, (micros) => m.givenBefore(money.show(micros ?? amountMicros)));
            // The page behind is of before the credit that was given.
            if (told !== failure) props.onDone();
            throw told;
          });
          toast(m.creditGiven(money.show(amountMicros), tenant.name));
        }}
        onClose={props.onClose}
        onDone={props.onDone}
      >
        <TextField
          label={m.creditAmount(currency)}
          hint={m.amountHint}
          inputMode="decimal"
          value={amount}
          aria-invalid={amount !== "" && !amountMicros}
          onChange={(event) => setAmount(event.target.value)}
        />
        <TextField
          type="date"
          label={m.lastDay}
          hint={m.lastDayHint}
          min={utcToday()}
          value={lastDay}
          aria-invalid={!isAhead}
          onChange={(event) => setLastDay(event.target.value)}
        />
        <TextField
          label={words.operator.reason}
          hint={m.creditReason}
          value={reason}
          maxLength={500}
          onChange={(event) => setReason(event.target.value)}
        />
      </ActForm>
    </Dialog>
  );
}
