/** Plans and their versions. Owns: their list and the way to a new version. Refuses to know: who is on which. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { useState } from "react";
import { listPlans, PLAN_COUNTS, type Plan } from "../../http/operator-money.ts";
import { useFormats } from "../../i18n/formats.ts";
import { makeMoney } from "../../i18n/money.ts";
import { useSpeech, useWords } from "../../i18n/words-context.tsx";
import { Badge } from "../../parts/badge.tsx";
import { Button } from "../../parts/button.tsx";
import { Sheet } from "../../parts/page-frame.tsx";
import { Problem, Skeleton } from "../../parts/states.tsx";
import { OperatorPage } from "../operator-page.tsx";
import { PlanDialog } from "./plan-dialog.tsx";

function PlanLine(props: { plan: Plan; onEdit: () => void }) {
  const { words, language } = useSpeech();
  const formats = useFormats();
  const { id, version, terms, origin, tenants, planned } = props.plan;
  const money = makeMoney(language, terms.currency);
  const b = words.billing;
  const facts = PLAN_COUNTS.flatMap((name) => {
    const limit = terms[name];
    if (limit === null) return [];
    if (name === "storageBytes") return [`${b.storageBytes}: ${formats.bytes(limit)}`];
    return [`${words.money.terms[name]}: ${formats.count(limit)}`];
  });
  return (
    <li className="flex flex-wrap items-start gap-x-4 gap-y-2 px-4 py-4 sm:px-6">
      <div className="grid min-w-0 flex-1 basis-64 gap-1">
        <p className="flex flex-wrap items-center gap-2">
          <span className="text-l font-semibold">{terms.name}</span>
          <code className="font-mono text-xs text-ink-3">{id}</code>
          <Badge>{b.version(version)}</Badge>
          <Badge tone={origin === "operator" ? "accent" : "plain"}>{words.money.origins[origin]}</Badge>
        </p>
        <p className="text-m">
          {terms.monthlyBudgetMicros === null
            ? words.money.noBudget
            : words.money.budget(money.show(terms.monthlyBudgetMicros))}
          {` · ${words.money.tenants(tenants)}`}
          {planned > 0 ? ` · ${words.money.planned(planned)}` : ""}
        </p>
        <p className="text-s text-ink-2">{facts.join(" · ")}</p>
        {terms.models === null ? null : (
          <p className="text-s break-all text-ink-2">{`${b.models}: ${terms.models.join(", ")}`}</p>
        )}
      </div>
      <Button small aria-label={words.money.newVersionOf(terms.name)} onClick={props.onEdit}>
        {words.money.newVersion}
      </Button>
    </li>
  );
}

/** The page. */
export function PlansPage() {
  const words = useWords();
  const queries = useQueryClient();
  const [editing, setEditing] = useState<Plan | "new">();
  const answer = useQuery({ queryKey: ["operator", "plans"], queryFn: listPlans });
  return (
    <OperatorPage
      title={words.money.plans}
      subtitle={words.money.plansHint}
      actions={
        <Button tone="primary" onClick={() => setEditing("new")}>
          <Plus size={18} aria-hidden />
          {words.money.newPlan}
        </Button>
      }
    >
      {answer.isError ? (
        <Problem error={answer.error} onRetry={() => void answer.refetch()} />
      ) : answer.isPending ? (
        <Skeleton lines={8} label={words.money.plans} />
      ) : (
        <Sheet>
          <ul className="divide-y divide-line">
            {answer.data.plans.map((plan) => (
              <PlanLine key={`${plan.id}/${plan.version}`} plan={plan} onEdit={() => setEditing(plan)} />
            ))}
          </ul>
        </Sheet>
      )}
      {editing && answer.data ? (
        <PlanDialog
          plan={editing === "new" ? undefined : editing}
          plans={answer.data.plans}
          currency={answer.data.currency}
          onClose={() => setEditing(undefined)}
          onDone={() => void queries.invalidateQueries({ queryKey: ["operator"] })}
        />
      ) : null}
    </OperatorPage>
  );
}
