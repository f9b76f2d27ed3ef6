/** A new version of a plan. Owns: that form. Refuses to know: who will be on it. */
import { useState } from "react";
import { addPlan, PLAN_AMOUNTS, PLAN_COUNTS, type Plan, type PlanTerms } from "../../http/operator-money.ts";
import { HttpFailure } from "../../http/request.ts";
import { decimalOf, parseMicros } from "../../i18n/money.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { SelectField, TextField } from "../../parts/field.tsx";
import { ActForm } from "../operator-dialog.tsx";

const LIMITS = [...PLAN_AMOUNTS, ...PLAN_COUNTS] as const;
type Limit = (typeof LIMITS)[number];

interface Wish {
  id: string;
  name: string;
  currency: PlanTerms["currency"];
  models: string;
  limits: Record<Limit, string>;
}

const isAmount = (name: Limit): boolean => PLAN_AMOUNTS.some((other) => other === name);

function wishOf(plan: Plan | undefined, currency: PlanTerms["currency"]): Wish {
  const shown = (name: Limit): string => {
    const limit = plan?.terms[name] ?? null;
    if (limit === null) return "";
    return isAmount(name) ? decimalOf(limit).replace(/\.?0+$/, "") : String(limit);
  };
  return {
    id: plan?.id ?? "",
    name: plan?.terms.name ?? "",
    currency: plan?.terms.currency ?? currency,
    models: plan?.terms.models?.join("\n") ?? "",
    limits: Object.fromEntries(LIMITS.map((name) => [name, shown(name)])) as Wish["limits"],
  };
}

/** What a field says: null for nothing, undefined for what is no number. */
function limitOf(name: Limit, text: string): number | null | undefined {
  if (text.trim() === "") return null;
  if (isAmount(name)) return parseMicros(text);
  return /^\s*\d{1,15}\s*$/.test(text) ? Number(text) : undefined;
}

/** The terms of a wish over those of the plan it began with; undefined when a number is none. */
function termsOf(wish: Wish, plan: Plan | undefined): PlanTerms | undefined {
  const limits = LIMITS.map((name) => [name, limitOf(name, wish.limits[name])] as const);
  if (limits.some(([, limit]) => limit === undefined)) return undefined;
  const { version: _old, ...before } = plan?.terms ?? {};
  const models = wish.models.split(/[\s,]+/).filter((model) => model !== "");
  return {
    ...before,
    ...(Object.fromEntries(limits) as Record<Limit, number | null>),
    name: wish.name.trim(),
    currency: wish.currency,
    models: models.length === 0 ? null : models,
  };
}

function LimitFields(props: { wish: Wish; onChange: (limits: Wish["limits"]) => void }) {
  const words = useWords();
  const { limits, currency } = props.wish;
  const reasonOf = (name: Limit) => (isAmount(name) ? words.operatorMoney.amountHint : words.money.countHint);
  return (
    <fieldset className="grid gap-4">
      <legend className="mb-2 text-xs text-ink-3">{words.money.emptyIsNone}</legend>
      <div className="grid gap-4 sm:grid-cols-2">
        {LIMITS.map((name) => (
          <TextField
            key={name}
            label={isAmount(name) ? `${words.money.terms[name]} (${currency})` : words.money.terms[name]}
            hint={limitOf(name, limits[name]) === undefined ? reasonOf(name) : undefined}
            inputMode="decimal"
            aria-invalid={limitOf(name, limits[name]) === undefined}
            value={limits[name]}
            onChange={(event) => props.onChange({ ...limits, [name]: event.target.value })}
          />
        ))}
      </div>
    </fieldset>
  );
}

/** The newest version of a plan, 0 for none. */
function newestOf(plans: readonly Plan[], id: string): number {
  return plans.reduce((newest, plan) => (plan.id === id ? Math.max(newest, plan.version) : newest), 0);
}

/** The form. */
export function PlanDialog(props: {
  plan: Plan | undefined;
  /** All versions as they are shown. */
  plans: readonly Plan[];
  /** Of prices, and so of plans that can be used. */
  currency: PlanTerms["currency"];
  onClose: () => void;
  onDone: () => void;
}) {
  const words = useWords();
  const { plan } = props;
  const [wish, setWish] = useState(() => wishOf(plan, props.currency));
  // As they were when the form was opened: what comes meanwhile is not in it.
  const [plans] = useState(props.plans);
  const [told, setTold] = useState<{ id: string; version: number }>();
  const set = (part: Partial<Wish>) => setWish({ ...wish, ...part });
  const seen = plan === undefined ? 0 : newestOf(plans, plan.id);
  const knownVersion = told?.id === wish.id ? told.version : seen;
  const save = async (wanted: PlanTerms) => {
    try {
      await addPlan(wish.id, wanted, knownVersion);
    } catch (failure) {
      const version = failure instanceof HttpFailure ? failure.details["version"] : undefined;
      if (typeof version !== "number") throw failure;
      setTold({ id: wish.id, version });
      props.onDone();
      throw new Error(
        plan === undefined ? words.money.planExists(version) : words.money.planChanged(version),
        { cause: failure },
      );
    }
  };
  const terms = termsOf(wish, plan);
  const isNamed = /^[a-z0-9][a-z0-9-]{0,39}$/.test(wish.id) && wish.name.trim() !== "";
  return (
    <Dialog
      open
      wide
      onClose={props.onClose}
      title={plan ? words.money.newVersionOf(plan.terms.name) : words.money.newPlan}
      description={words.money.versionHint}
    >
      <ActForm
        action={words.act.save}
        ready={isNamed && terms !== undefined}
        act={async () => {
          if (terms) await save(terms);
        }}
        onClose={props.onClose}
        onDone={props.onDone}
      >
        <div className="grid gap-4 sm:grid-cols-3">
          <TextField
            label={words.money.planId}
            value={wish.id}
            disabled={plan !== undefined}
            maxLength={40}
            className="font-mono"
            onChange={(event) => set({ id: event.target.value.toLowerCase() })}
          />
          <TextField
            label={words.operator.name}
            value={wish.name}
            maxLength={60}
            onChange={(event) => set({ name: event.target.value })}
          />
          <SelectField
            label={words.money.currency}
            hint={
              wish.currency === props.currency ? undefined : words.operatorMoney.planCurrency(props.currency)
            }
            value={wish.currency}
            onChange={(event) => set({ currency: event.target.value as Wish["currency"] })}
          >
            <option value="USD">USD</option>
            <option value="CNY">CNY</option>
          </SelectField>
        </div>
        <LimitFields wish={wish} onChange={(limits) => set({ limits })} />
        <TextField
          label={words.money.planModels}
          hint={words.money.planModelsHint}
          value={wish.models}
          className="font-mono"
          onChange={(event) => set({ models: event.target.value })}
        />
      </ActForm>
    </Dialog>
  );
}
