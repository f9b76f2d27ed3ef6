/** Setting one budget. Owns: that form. Refuses to know: the list of budgets. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTenant } from "../gateway/tenant-context.tsx";
import { useAgents } from "../gateway/use-call.ts";
import { type Budget, type BudgetPeriod, type BudgetScope, saveBudget } from "../http/billing.ts";
import { listPeople } from "../http/people.ts";
import { HttpFailure } from "../http/request.ts";
import { listTokens } from "../http/tenant-settings.ts";
import { decimalOf, parseMicros } from "../i18n/money.ts";
import { useMoney } from "../i18n/use-money.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { SelectField, TextField } from "../parts/field.tsx";
import { Problem } from "../parts/states.tsx";
import { useToast } from "../parts/toasts.tsx";

const SCOPES: readonly BudgetScope[] = ["tenant", "user", "agent", "key"];
const PERIODS: readonly BudgetPeriod[] = ["month", "total"];

interface Wish {
  scope: BudgetScope;
  scopeId: string;
  period: BudgetPeriod;
  text: string;
}

/** Those of a scope, by id and name; undefined until they are known. */
function useOnes(scope: BudgetScope): { ones: [string, string][] | undefined; error: Error | null } {
  const { slug } = useTenant();
  const agents = useAgents();
  const members = useQuery({
    queryKey: ["tenant", slug, "members", "for-budgets"],
    queryFn: () => listPeople(slug),
    enabled: scope === "user",
  });
  const tokens = useQuery({
    queryKey: ["tenant", slug, "tokens", "for-budgets"],
    queryFn: () => listTokens(slug),
    enabled: scope === "key",
  });
  if (scope === "tenant") return { ones: [], error: null };
  if (scope === "agent")
    return { ones: agents.data?.agents.map(({ id, name }) => [id, name ?? id]), error: agents.error };
  if (scope === "user")
    return {
      ones: members.data?.members.map(({ userId, displayName }) => [userId, displayName]),
      error: members.error,
    };
  const usable = tokens.data?.filter((token) => token.revokedAtMs === null);
  return { ones: usable?.map(({ id, name }) => [id, name]), error: tokens.error };
}

function WhoseFields(props: { wish: Wish; onChange: (part: Partial<Wish>) => void }) {
  const words = useWords();
  const { wish, onChange } = props;
  const { ones, error } = useOnes(wish.scope);
  return (
    <>
      <SelectField
        label={words.budgets.whose}
        value={wish.scope}
        onChange={(event) => onChange({ scope: event.target.value as BudgetScope, scopeId: "" })}
      >
        {SCOPES.map((scope) => (
          <option key={scope} value={scope}>
            {words.budgets.scope[scope]}
          </option>
        ))}
      </SelectField>
      {wish.scope === "tenant" ? null : (
        <SelectField
          label={words.budgets.which}
          value={wish.scopeId}
          disabled={ones === undefined}
          onChange={(event) => onChange({ scopeId: event.target.value })}
        >
          <option value="">{words.budgets.choose}</option>
          {ones?.map(([id, name]) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
        </SelectField>
      )}
      {error ? <Problem compact error={error} /> : null}
      <SelectField
        label={words.budgets.period}
        value={wish.period}
        onChange={(event) => onChange({ period: event.target.value as BudgetPeriod })}
      >
        {PERIODS.map((period) => (
          <option key={period} value={period}>
            {words.budgets.periods[period]}
          </option>
        ))}
      </SelectField>
    </>
  );
}

function startOf(budget: Budget | undefined): Wish {
  if (!budget) return { scope: "agent", scopeId: "", period: "month", text: "" };
  const { scope, scopeId, period, limitMicros } = budget;
  return { scope, scopeId, period, text: decimalOf(limitMicros).replace(/\.?0+$/, "") };
}

/** The form; whose budget it is can be chosen only for a new one. */
export function BudgetDialog(props: {
  budget: Budget | undefined;
  currency: string;
  onClose: () => void;
  onDone: () => void;
}) {
  const words = useWords();
  const toast = useToast();
  const { slug } = useTenant();
  const [wish, setWish] = useState(() => startOf(props.budget));
  const money = useMoney(props.currency);
  // What another save left there, as the server told it.
  const [told, setTold] = useState<{ key: string; limitMicros: number | null }>();
  const key = [wish.scope, wish.scopeId, wish.period].join(":");
  const limitMicros = parseMicros(wish.text);
  const ready = limitMicros !== undefined && (wish.scope === "tenant" || wish.scopeId !== "");
  const save = useMutation({
    mutationFn: async (limit: number) => {
      const { scope, scopeId, period } = wish;
      const knownLimitMicros = told?.key === key ? told.limitMicros : (props.budget?.limitMicros ?? null);
      try {
        await saveBudget(slug, { scope, scopeId, period, limitMicros: limit, knownLimitMicros });
      } catch (failure) {
        const now = failure instanceof HttpFailure ? failure.details["limitMicros"] : undefined;
        if (typeof now !== "number" && now !== null) throw failure;
        setTold({ key, limitMicros: now });
        // The list behind is of before the other save.
        props.onDone();
        const { gone, changed, exists } = words.budgets;
        const text = now === null ? gone : (props.budget ? changed : exists)(money.show(now));
        throw new Error(text, { cause: failure });
      }
    },
    onSuccess: () => {
      toast(words.act.saved);
      props.onDone();
      props.onClose();
    },
  });
  return (
    <Dialog
      open
      onClose={props.onClose}
      title={props.budget ? words.budgets.edit : words.budgets.add}
      {...(props.budget ? { description: props.budget.name } : {})}
    >
      <form
        className="grid gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (ready && !save.isPending) save.mutate(limitMicros);
        }}
      >
        {props.budget ? null : <WhoseFields wish={wish} onChange={(part) => setWish({ ...wish, ...part })} />}
        <TextField
          label={words.budgets.amount(props.currency)}
          hint={words.budgets.amountHint}
          inputMode="decimal"
          value={wish.text}
          aria-invalid={wish.text !== "" && limitMicros === undefined}
          onChange={(event) => setWish({ ...wish, text: event.target.value })}
        />
        {save.isError ? <Problem compact error={save.error} /> : null}
        <div className="flex justify-end gap-2">
          <Button onClick={props.onClose}>{words.act.cancel}</Button>
          <Button tone="primary" type="submit" disabled={!ready || save.isPending}>
            {save.isPending ? words.act.saving : words.act.save}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
