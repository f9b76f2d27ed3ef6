/** Correcting an organization's credit, such as after a refund. Owns: that form. Refuses to know: refunding itself. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { newId } from "../../gateway/new-id.ts";
import { adjustCredit, type CreditLine, listCreditLines } from "../../http/operator-credit.ts";
import { useFormats } from "../../i18n/formats.ts";
import { decimalOf, makeMoney, parseMicros } from "../../i18n/money.ts";
import { useSpeech } from "../../i18n/words-context.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { CheckField, SelectField, TextField } from "../../parts/field.tsx";
import { Problem, Skeleton } from "../../parts/states.tsx";
import { useToast } from "../../parts/toasts.tsx";
import { ActForm } from "../operator-dialog.tsx";
import { bookedBefore } from "./booked-before.ts";

interface Props {
  tenant: { id: string; name: string };
  currency: string;
  /** What is there now; null while nobody can tell. */
  creditMicros: number | null;
  onClose: () => void;
  onDone: () => void;
}

/** An amount as somebody would type it. */
const typed = (micros: number) => decimalOf(micros).replace(/\.?0+$/, "");

/** The form. */
export function AdjustDialog(props: Props) {
  const m = useSpeech().words.operatorMoney;
  const { tenant } = props;
  const lines = useQuery({
    queryKey: ["operator", "tenant", tenant.id, "credits"],
    queryFn: () => listCreditLines(tenant.id),
  });
  return (
    <Dialog open onClose={props.onClose} title={m.adjustTitle(tenant.name)} description={m.adjustHint}>
      {lines.isError ? (
        <Problem compact error={lines.error} onRetry={() => void lines.refetch()} />
      ) : lines.isPending ? (
        <Skeleton lines={4} label={m.adjust} />
      ) : (
        <AdjustForm {...props} lines={lines.data.lines.filter((line) => line.openMicros > 0)} />
      )}
    </Dialog>
  );
}

function AdjustForm({ lines, ...props }: Props & { lines: CreditLine[] }) {
  const { words, language } = useSpeech();
  const m = words.operatorMoney;
  const formats = useFormats();
  const toast = useToast();
  const money = makeMoney(language, props.currency);
  const [linkedTo, setLinkedTo] = useState("");
  const [amount, setAmount] = useState("");
  const [reason, setReason] = useState("");
  const [mayOwe, setMayOwe] = useState(false);
  // A form that is sent twice counts once.
  const [idempotencyKey] = useState(newId);
  const line = lines.find(({ id }) => id === linkedTo);
  const micros = parseMicros(amount);
  // A correction that took credit is answered by giving it back.
  const isGiving = line !== undefined && line.amountMicros < 0;
  const isTooMuch = micros !== undefined && line !== undefined && micros > line.openMicros;
  const left = (props.creditMicros ?? 0) - (micros ?? 0);
  const isOwing = !isGiving && props.creditMicros !== null && left < 0 && !!micros;
  const act = async () => {
    if (!micros) return;
    await adjustCredit({
      ...{ tenantId: props.tenant.id, amountMicros: isGiving ? micros : -micros, reason: reason.trim() },
      ...(line === undefined ? {} : { linkedTo: line.id }),
      ...{ mayOwe: isOwing && mayOwe, idempotencyKey },
    }).catch((failure: unknown) => {
      const told = bookedBefore(failure, (booked = 0) =>
        (booked > 0 ? m.putBackBefore : m.takenBefore)(money.show(Math.abs(booked))),
      );
      // The page behind is of before what was booked.
      if (told !== failure) props.onDone();
      throw told;
    });
    toast((isGiving ? m.creditPutBack : m.creditTaken)(money.show(micros), props.tenant.name));
  };
  return (
    <ActForm
      action={isGiving ? m.putBack : m.takeBack}
      ready={!!micros && !isTooMuch && reason.trim() !== "" && (!isOwing || mayOwe)}
      act={act}
      onClose={props.onClose}
      onDone={props.onDone}
    >
      <SelectField
        label={m.adjustLine}
        hint={m.adjustLineHint}
        value={linkedTo}
        onChange={({ target: { value } }) => {
          setLinkedTo(value);
          const chosen = lines.find(({ id }) => id === value);
          if (chosen) setAmount(typed(chosen.openMicros));
        }}
      >
        <option value="">{m.adjustNoLine}</option>
        {lines.map((one) => (
          <option key={one.id} value={one.id}>
            {[
              words.ledger.kinds[one.kind] ?? one.kind,
              money.show(one.amountMicros),
              formats.dayTime(new Date(one.atMs)),
              one.reason ?? one.id,
            ].join(" · ")}
          </option>
        ))}
      </SelectField>
      <TextField
        label={m.creditAmount(props.currency)}
        hint={line === undefined ? m.amountHint : m.adjustOpen(money.exact(line.openMicros))}
        inputMode="decimal"
        value={amount}
        aria-invalid={(amount !== "" && !micros) || isTooMuch}
        onChange={(event) => setAmount(event.target.value)}
      />
      <TextField
        label={words.operator.reason}
        hint={m.creditReason}
        value={reason}
        maxLength={500}
        onChange={(event) => setReason(event.target.value)}
      />
      {isOwing ? (
        <CheckField
          label={m.mayOwe(money.exact(left))}
          hint={m.mayOweHint}
          checked={mayOwe}
          onChange={setMayOwe}
        />
      ) : null}
    </ActForm>
  );
}
