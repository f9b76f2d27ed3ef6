/** A new price of a model, a tool or storage from a day on, tried on the last 30 days first. Owns: that form. Refuses to know: the book. */
import { useState } from "react";
import { type PriceDraft, type PriceKind, setPrices } from "../../http/operator-prices.ts";
import { parseMicros } from "../../i18n/money.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { TextField } from "../../parts/field.tsx";
import { Segmented } from "../../parts/segmented.tsx";
import { utcToday } from "../day-end.ts";
import { ActForm } from "../operator-dialog.tsx";
import { PriceTrial } from "./price-trial.tsx";

const KINDS = ["model", "tool", "storage"] as const;
const OPTIONAL = ["cacheRead", "cacheWrite", "reasoning"] as const;
type Amount = "input" | "output" | (typeof OPTIONAL)[number];
type Wish = Record<Amount | "provider" | "name" | "fromDay" | "source", string>;

/** Highest price that is taken, in micro-units. */
const HIGHEST = 100_000_000_000;

const amountOf = (text: string): number | undefined => {
  const micros = parseMicros(text);
  return micros !== undefined && micros <= HIGHEST ? micros : undefined;
};

/** The price of a wish; undefined while something is missing or is no amount. */
function draftOf(kind: PriceKind, tenantId: string, wish: Wish): PriceDraft | undefined {
  const { fromDay } = wish;
  const [provider, name, source] = [wish.provider.trim(), wish.name.trim(), wish.source.trim()];
  const input = amountOf(wish.input);
  if (input === undefined || source === "" || fromDay < utcToday()) return undefined;
  const draft = { kind, tenantId, fromDay, input, source };
  if (kind === "storage") return draft;
  if (name === "") return undefined;
  if (kind === "tool") return { ...draft, name };
  const output = amountOf(wish.output);
  const others = OPTIONAL.filter((part) => wish[part].trim() !== "").map(
    (part) => [part, amountOf(wish[part])] as const,
  );
  if (provider === "" || output === undefined || others.some(([, micros]) => micros === undefined))
    return undefined;
  return { ...draft, provider, name, output, ...Object.fromEntries(others) };
}

interface FieldsProps {
  wish: Wish;
  currency: string;
  onChange: (part: Partial<Wish>) => void;
}

interface FieldLooks {
  hint?: string;
  type?: string;
  min?: string;
}

const isAmount = (name: keyof Wish): name is Amount =>
  name === "input" || name === "output" || OPTIONAL.some((other) => other === name);

function useField({ wish, onChange }: FieldsProps) {
  const m = useWords().operatorMoney;
  const isWrong = (name: keyof Wish): boolean => {
    if (wish[name] === "") return false;
    if (name === "fromDay") return wish.fromDay < utcToday();
    return isAmount(name) && amountOf(wish[name]) === undefined;
  };
  return (name: keyof Wish, label: string, { hint, ...more }: FieldLooks = {}) => (
    <TextField
      key={name}
      label={label}
      hint={isAmount(name) && isWrong(name) ? m.amountHint : hint}
      value={wish[name]}
      inputMode={isAmount(name) ? "decimal" : "text"}
      aria-invalid={isWrong(name)}
      maxLength={name === "source" ? 300 : 200}
      onChange={(event) => onChange({ [name]: event.target.value })}
      {...more}
    />
  );
}

function ModelFields(props: FieldsProps) {
  const words = useWords();
  const field = useField(props);
  const m = words.operatorMoney;
  const amount = (name: Amount, what: string, hint?: string) =>
    field(name, m.perMillion(what, props.currency), hint === undefined ? {} : { hint });
  return (
    <>
      <div className="grid gap-4 sm:grid-cols-2">
        {field("provider", words.money.provider)}
        {field("name", words.usage.model)}
      </div>
      <fieldset className="grid gap-4 sm:grid-cols-2">
        <legend className="mb-2 text-xs text-ink-3">{m.perMillionHint}</legend>
        {amount("input", words.usage.input)}
        {amount("output", words.usage.output)}
        {amount("cacheRead", words.usage.cacheRead, m.asInput)}
        {amount("cacheWrite", words.usage.cacheWrite, m.asInput)}
        {amount("reasoning", m.reasoning, m.asOutput)}
      </fieldset>
    </>
  );
}

function OtherFields(props: FieldsProps & { kind: "tool" | "storage" }) {
  const m = useWords().operatorMoney;
  const field = useField(props);
  return (
    <div className="grid gap-4 sm:grid-cols-2">
      {props.kind === "tool" ? field("name", m.toolName) : null}
      {props.kind === "tool"
        ? field("input", m.perCall(props.currency))
        : field("input", m.perGib(props.currency), { hint: m.storageHint })}
    </div>
  );
}

/** The form; with `tenant` for that organization alone. */
export function PriceDialog(props: {
  currency: string;
  kind?: PriceKind;
  tenant?: { id: string; name: string };
  onClose: () => void;
  onDone: () => void;
}) {
  const words = useWords();
  const m = words.operatorMoney;
  const { currency, tenant } = props;
  const [kind, setKind] = useState<PriceKind>(props.kind ?? "model");
  const [wish, setWish] = useState<Wish>({
    ...{ provider: "", name: "", input: "", output: "", cacheRead: "", cacheWrite: "", reasoning: "" },
    ...{ source: "", fromDay: utcToday() },
  });
  const draft = draftOf(kind, tenant?.id ?? "", wish);
  const fields = { wish, currency, onChange: (part: Partial<Wish>) => setWish({ ...wish, ...part }) };
  const field = useField(fields);
  return (
    <Dialog
      open
      wide
      onClose={props.onClose}
      title={tenant ? m.priceTitleOf(tenant.name) : words.money.newPrice}
      description={tenant ? m.priceHintOf : words.money.newPriceHint}
    >
      <ActForm
        action={words.act.save}
        ready={draft !== undefined}
        act={async () => draft && setPrices({ rows: [draft] })}
        onClose={props.onClose}
        onDone={props.onDone}
      >
        <Segmented
          className="justify-self-start"
          label={m.priceFor}
          value={kind}
          onChange={setKind}
          options={KINDS.map((value) => ({ value, label: m.kind[value] }))}
        />
        {kind === "model" ? <ModelFields {...fields} /> : <OtherFields {...fields} kind={kind} />}
        <div className="grid gap-4 sm:grid-cols-2">
          {field("fromDay", words.money.fromDay, {
            ...{ type: "date", min: utcToday(), hint: words.money.priceDayHint },
          })}
          {field("source", words.ledger.source, { hint: words.money.sourceHint })}
        </div>
        <PriceTrial wish={draft === undefined ? null : { rows: [draft] }} currency={currency} />
      </ActForm>
    </Dialog>
  );
}
