/** Budgets of people, agents, tokens and the organization. Owns: their list and its acts. Refuses to know: how they refuse calls. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { PiggyBank, Plus, Trash2 } from "lucide-react";
import { useState } from "react";
import { useScope, useTenant } from "../gateway/tenant-context.tsx";
import { type Budget, listBudgets, saveBudget } from "../http/billing.ts";
import { useFormats } from "../i18n/formats.ts";
import { useMoney } from "../i18n/use-money.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Badge } from "../parts/badge.tsx";
import { Button, IconButton } from "../parts/button.tsx";
import { ConfirmDialog } from "../parts/dialog.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Empty, Problem, Skeleton } from "../parts/states.tsx";
import { BudgetBar } from "./budget-bar.tsx";
import { BudgetDialog } from "./budget-dialog.tsx";
import { billingKey } from "./use-billing.ts";

function BudgetLine(props: { budget: Budget; currency: string; onEdit: () => void; onRemove: () => void }) {
  const words = useWords();
  const formats = useFormats();
  const money = useMoney(props.currency);
  const mayAdmin = useScope("operator.admin");
  const { budget } = props;
  const share = budget.limitMicros ? (budget.spentMicros + budget.reservedMicros) / budget.limitMicros : 1;
  return (
    <li className="grid gap-2 px-4 py-3.5 sm:px-6">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <span className="min-w-0 truncate font-medium">{budget.name}</span>
        <Badge>{words.budgets.scope[budget.scope]}</Badge>
        <Badge>{words.budgets.periods[budget.period]}</Badge>
        <span className="ml-auto text-s">
          {words.budgets.of(money.show(budget.spentMicros), money.show(budget.limitMicros))}
        </span>
        {mayAdmin ? (
          <span className="flex items-center">
            <Button small tone="quiet" aria-label={words.budgets.actions(budget.name)} onClick={props.onEdit}>
              {words.act.edit}
            </Button>
            <IconButton small label={words.budgets.removing(budget.name)} onClick={props.onRemove}>
              <Trash2 size={16} aria-hidden />
            </IconButton>
          </span>
        ) : null}
      </div>
      <BudgetBar
        label={`${budget.name}: ${formats.percent(share)}`}
        spentMicros={budget.spentMicros}
        reservedMicros={budget.reservedMicros}
        limitMicros={budget.limitMicros}
      />
      <p className="flex flex-wrap gap-x-4 text-xs text-ink-3">
        {budget.reservedMicros > 0 ? (
          <span>{words.budgets.reserved(money.show(budget.reservedMicros))}</span>
        ) : null}
        {budget.resetAtMs === null ? null : (
          <span>{words.billing.reset(formats.dayTime(new Date(budget.resetAtMs)))}</span>
        )}
      </p>
    </li>
  );
}

const keyOf = (budget: Budget): string => `${budget.scope}:${budget.scopeId}:${budget.period}`;

function BudgetList(props: {
  budgets: readonly Budget[];
  currency: string;
  onEdit: (budget: Budget) => void;
  onRemove: (budget: Budget) => void;
}) {
  const words = useWords();
  if (props.budgets.length === 0) {
    return (
      <Sheet>
        <Empty
          icon={<PiggyBank size={28} aria-hidden />}
          title={words.budgets.empty}
          hint={words.budgets.emptyHint}
        />
      </Sheet>
    );
  }
  return (
    <Sheet>
      <ul className="divide-y divide-line">
        {props.budgets.map((budget) => (
          <BudgetLine
            key={keyOf(budget)}
            budget={budget}
            currency={props.currency}
            onEdit={() => props.onEdit(budget)}
            onRemove={() => props.onRemove(budget)}
          />
        ))}
      </ul>
    </Sheet>
  );
}

/** The budgets. */
export function BudgetsTab(props: { currency: string }) {
  const words = useWords();
  const queries = useQueryClient();
  const { slug } = useTenant();
  const mayAdmin = useScope("operator.admin");
  const [editing, setEditing] = useState<Budget | "new">();
  const [removing, setRemoving] = useState<Budget>();
  const answer = useQuery({ queryKey: billingKey(slug, "budgets"), queryFn: () => listBudgets(slug) });
  const refresh = () => queries.invalidateQueries({ queryKey: billingKey(slug) });
  return (
    <>
      <div className="flex flex-wrap items-start gap-4">
        <p className="min-w-0 flex-1 basis-80 text-m text-ink-2">{words.budgets.hint}</p>
        {mayAdmin ? (
          <Button tone="primary" onClick={() => setEditing("new")}>
            <Plus size={18} aria-hidden />
            {words.budgets.add}
          </Button>
        ) : null}
      </div>
      {answer.isError ? (
        <Problem error={answer.error} onRetry={() => void answer.refetch()} />
      ) : answer.isPending ? (
        <Skeleton lines={5} label={words.billing.budgets} />
      ) : (
        <BudgetList
          budgets={answer.data}
          currency={props.currency}
          onEdit={setEditing}
          onRemove={setRemoving}
        />
      )}
      {editing ? (
        <BudgetDialog
          budget={editing === "new" ? undefined : editing}
          currency={props.currency}
          onClose={() => setEditing(undefined)}
          onDone={() => void refresh()}
        />
      ) : null}
      <ConfirmDialog
        open={removing !== undefined}
        onClose={() => setRemoving(undefined)}
        title={words.budgets.remove}
        what={words.budgets.removeWhat(removing?.name ?? "")}
        action={words.act.remove}
        onConfirm={async () => {
          if (!removing) return;
          const { scope, scopeId, period, limitMicros: knownLimitMicros } = removing;
          const wish = { scope, scopeId, period, limitMicros: null, knownLimitMicros };
          await saveBudget(slug, wish).finally(refresh);
        }}
      />
    </>
  );
}
