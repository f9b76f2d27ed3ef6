/** Making redemption codes, which are shown once. Owns: the form, the list of what was made. Refuses to know: redeeming. */
import { Copy, Download } from "lucide-react";
import { useState } from "react";
import { newId } from "../../gateway/new-id.ts";
import { makeCodes, voidCodes } from "../../http/operator-codes.ts";
import { HttpFailure } from "../../http/request.ts";
import { decimalOf, parseMicros } from "../../i18n/money.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Button } from "../../parts/button.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { TextField } from "../../parts/field.tsx";
import { useToast } from "../../parts/toasts.tsx";
import { downloadCsv } from "../../usage/download-csv.ts";
import { endOfDay, utcToday } from "../day-end.ts";
import { ActForm } from "../operator-dialog.tsx";

interface Made {
  codes: string[];
  amountMicros: number;
  lastDay: string;
}

/** A CSV of codes; none of its cells can begin a formula. */
function csvOf({ codes, amountMicros, lastDay }: Made, currency: string): string {
  const lines = codes.map((code) => [code, decimalOf(amountMicros), currency, lastDay].join(","));
  return `${["code,amount,currency,last_day_utc", ...lines].join("\r\n")}\r\n`;
}

function MadeCodes(props: { made: Made; currency: string; onKept: () => void; onClose: () => void }) {
  const words = useWords();
  const m = words.operatorMoney;
  const [copied, setCopied] = useState(false);
  const text = props.made.codes.join("\n");
  return (
    <div className="grid gap-4">
      <textarea
        readOnly
        aria-label={m.codesList}
        value={text}
        rows={Math.min(10, props.made.codes.length + 1)}
        className="w-full resize-y rounded-medium border border-control-line bg-sunk p-3 font-mono text-s"
        onFocus={(event) => event.target.select()}
        onCopy={props.onKept}
      />
      <div className="flex flex-wrap justify-end gap-2">
        <Button
          onClick={() => {
            // Plain-http origins have no clipboard; there the list can be selected, or downloaded.
            navigator.clipboard?.writeText(text).then(
              () => {
                setCopied(true);
                props.onKept();
              },
              () => undefined,
            );
          }}
        >
          <Copy size={16} aria-hidden />
          {copied ? words.act.copied : m.copyAll}
        </Button>
        <Button
          onClick={() => {
            downloadCsv(`codes-${utcToday()}.csv`, csvOf(props.made, props.currency));
            props.onKept();
          }}
        >
          <Download size={16} aria-hidden />
          {m.downloadCodes}
        </Button>
        <Button tone="primary" onClick={props.onClose}>
          {m.done}
        </Button>
      </div>
    </div>
  );
}

/** What was made by this form when its answer was lost: how many codes there are, that nobody can read. */
function lostOf(failure: unknown): number | undefined {
  if (!(failure instanceof HttpFailure) || failure.code !== "conflict") return undefined;
  const { made } = failure.details;
  return typeof made === "number" ? made : undefined;
}

function LostCodes(props: { count: number; batch: string; onVoided: () => void; onClose: () => void }) {
  const m = useWords().operatorMoney;
  const toast = useToast();
  return (
    <Dialog open onClose={props.onClose} title={m.codesLost(props.count)} description={m.codesLostHint}>
      <ActForm
        danger
        ready
        action={m.voidCodes}
        act={async () => toast(m.codesVoided(await voidCodes(props.batch)))}
        // Back to the form, with what was written.
        onClose={() => undefined}
        onCancel={props.onClose}
        onDone={props.onVoided}
      >
        {null}
      </ActForm>
    </Dialog>
  );
}

/** The form, and then what it made. */
export function MakeCodesDialog(props: { currency: string; onClose: () => void; onDone: () => void }) {
  const words = useWords();
  const m = words.operatorMoney;
  const { currency } = props;
  const [wish, setWish] = useState({ count: "10", amount: "", lastDay: "" });
  const [made, setMade] = useState<Made>();
  // A form that is sent twice makes codes once.
  const [idempotencyKey, setKey] = useState(newId);
  const [lost, setLost] = useState<number>();
  const [isKept, setKept] = useState(false);
  const [isWarned, setWarned] = useState(false);
  const set = (part: Partial<typeof wish>) => setWish({ ...wish, ...part });
  const amountMicros = parseMicros(wish.amount);
  const count = /^\s*\d{1,4}\s*$/.test(wish.count) ? Number(wish.count) : 0;
  const isCount = count >= 1 && count <= 1_000;
  const { lastDay } = wish;
  const isAhead = wish.lastDay === "" || wish.lastDay >= utcToday();
  const leave = () => {
    if (made === undefined || isKept || isWarned) props.onClose();
    else setWarned(true);
  };
  if (made !== undefined)
    return (
      <Dialog open onClose={leave} title={m.codesMade(made.codes.length)} description={m.codesOnce}>
        {isWarned && !isKept ? (
          <p role="alert" className="mb-3 text-m text-danger">
            {m.codesUnsaved}
          </p>
        ) : null}
        <MadeCodes made={made} currency={currency} onKept={() => setKept(true)} onClose={leave} />
      </Dialog>
    );
  if (lost !== undefined)
    return (
      <LostCodes
        count={lost}
        batch={idempotencyKey}
        onVoided={() => {
          setLost(undefined);
          setKey(newId());
          props.onDone();
        }}
        onClose={props.onClose}
      />
    );
  const make = async (micros: number) => {
    const wish = { count, amountMicros: micros, currency, ...endOfDay(lastDay), idempotencyKey };
    try {
      setMade({ codes: await makeCodes(wish), amountMicros: micros, lastDay });
    } catch (failure) {
      // They may have been made, so the list behind shows them.
      props.onDone();
      const known = lostOf(failure);
      if (known === undefined) throw failure;
      setLost(known);
    }
  };
  return (
    <Dialog open onClose={props.onClose} title={m.makeCodes} description={m.makeCodesHint}>
      <ActForm
        action={m.makeCodes}
        ready={!!amountMicros && isCount && isAhead}
        act={async () => {
          if (amountMicros) await make(amountMicros);
        }}
        // Stays open with what was made.
        onClose={() => undefined}
        onCancel={props.onClose}
        onDone={props.onDone}
      >
        <div className="grid gap-4 sm:grid-cols-2">
          <TextField
            label={m.howMany}
            hint={m.howManyHint}
            inputMode="numeric"
            value={wish.count}
            aria-invalid={!isCount}
            onChange={(event) => set({ count: event.target.value })}
          />
          <TextField
            label={m.worth(currency)}
            hint={wish.amount !== "" && !amountMicros ? m.amountHint : undefined}
            inputMode="decimal"
            value={wish.amount}
            aria-invalid={wish.amount !== "" && !amountMicros}
            onChange={(event) => set({ amount: event.target.value })}
          />
        </div>
        <TextField
          type="date"
          label={m.lastDay}
          hint={m.codesLastDayHint}
          min={utcToday()}
          value={wish.lastDay}
          aria-invalid={!isAhead}
          onChange={(event) => set({ lastDay: event.target.value })}
        />
      </ActForm>
    </Dialog>
  );
}
