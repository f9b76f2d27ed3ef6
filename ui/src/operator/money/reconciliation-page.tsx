/** What providers counted differently, night by night. Owns: that page. Refuses to know: how counts are compared. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Scale } from "lucide-react";
import { FindingLine } from "../../billing/finding-line.tsx";
import {
  compareDay,
  findReconciliation,
  type Night,
  type Reconciliation,
} from "../../http/operator-reconciliation.ts";
import { useFormats } from "../../i18n/formats.ts";
import { useSpeech, useWords } from "../../i18n/words-context.tsx";
import { Badge } from "../../parts/badge.tsx";
import { Button } from "../../parts/button.tsx";
import { Sheet } from "../../parts/page-frame.tsx";
import { Empty, Problem, Skeleton } from "../../parts/states.tsx";
import { OperatorPage } from "../operator-page.tsx";

const EXAMPLE = `models: {
  providers: {
    openai: {
      usage: {
        url: "https://api.openai.com/v1/organization/usage/completions",
        apiKey: { source: "env", id: "OPENAI_ADMIN_KEY" },
      },
    },
  },
}`;

function NightLine(props: { night: Night; canCompare: boolean }) {
  const m = useWords().operatorMoney;
  const formats = useFormats();
  const queries = useQueryClient();
  const { night } = props;
  const compare = useMutation({
    mutationFn: () => compareDay(night.provider, night.day),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["operator", "reconciliation"] }),
  });
  const isMissing = night.comparedAtMs === null;
  const [tone, state] = isMissing
    ? (["willow", m.nightMissing] as const)
    : night.findings.length === 0
      ? (["plain", m.nightEqual] as const)
      : night.isWithin
        ? (["accent", m.nightWithin] as const)
        : (["danger", m.nightOff] as const);
  const label = (isMissing ? m.compareNowOf : m.compareAgainOf)(night.provider, night.day);
  return (
    <li className="grid gap-2 px-4 py-3 sm:px-6">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <p className="flex flex-1 basis-56 flex-wrap items-center gap-x-3 gap-y-1">
          <span className="text-m font-semibold tabular-nums">{night.day}</span>
          <span className="text-m">{night.provider}</span>
          <Badge tone={tone}>{state}</Badge>
          <span className="text-xs text-ink-3">
            {night.comparedAtMs === null
              ? m.missingHint
              : m.comparedAt(formats.dayTime(new Date(night.comparedAtMs)))}
          </span>
        </p>
        {props.canCompare && (isMissing || night.findings.length > 0) ? (
          <Button small aria-label={label} disabled={compare.isPending} onClick={() => compare.mutate()}>
            {isMissing ? m.compareNow : m.compareAgain}
          </Button>
        ) : null}
      </div>
      {compare.isError ? <Problem compact error={compare.error} /> : null}
      {night.findings.length === 0 ? null : (
        <ul className="grid gap-2">
          {night.findings.map((finding) => (
            <FindingLine key={`${finding.model}/${finding.kind}`} finding={finding} />
          ))}
        </ul>
      )}
    </li>
  );
}

function NoProviders() {
  const m = useWords().operatorMoney;
  return (
    <Sheet>
      <Empty icon={<Scale size={28} aria-hidden />} title={m.noProviders} hint={m.noProvidersHint} />
      <section
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide example scrolls by keyboard too
        tabIndex={0}
        aria-label={m.usageExample}
        className="mx-4 mb-8 overflow-x-auto rounded-medium bg-sunk p-4 sm:mx-auto sm:w-fit"
      >
        <pre className="font-mono text-xs">{EXAMPLE}</pre>
      </section>
    </Sheet>
  );
}

/** Keys that cannot be compared now, and how tenants' own keys fare. */
function Standing({ found }: { found: Reconciliation }) {
  const m = useWords().operatorMoney;
  const formats = useFormats();
  const { keys, differing, failing } = found.ownKeys;
  return (
    <>
      {found.troubles.map(({ provider, lastError, nextAtMs }) => (
        <p key={provider} className="text-s text-danger">
          {m.trouble(provider, lastError, formats.dayTime(new Date(nextAtMs)))}
        </p>
      ))}
      {keys === 0 ? null : <p className="text-s text-ink-2">{m.ownKeys(keys, differing, failing)}</p>}
    </>
  );
}

/** The page. */
export function ReconciliationPage() {
  const { words, language } = useSpeech();
  const m = words.operatorMoney;
  const answer = useQuery({ queryKey: ["operator", "reconciliation"], queryFn: findReconciliation });
  const percent = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 2 });
  const isEmpty = answer.data?.providers.length === 0 && answer.data.nights.length === 0;
  return (
    <OperatorPage title={m.compare} subtitle={m.compareHint}>
      {answer.isError ? (
        <Problem error={answer.error} onRetry={() => void answer.refetch()} />
      ) : answer.isPending ? (
        <Skeleton lines={8} label={m.compare} />
      ) : isEmpty ? (
        <>
          <Standing found={answer.data} />
          <NoProviders />
        </>
      ) : (
        <>
          <p className="text-s text-ink-2">
            {m.tolerance(answer.data.tolerance.tokens, percent.format(answer.data.tolerance.ratio))}
          </p>
          <Standing found={answer.data} />
          <Sheet>
            <ul className="divide-y divide-line">
              {answer.data.nights.map((night) => (
                <NightLine
                  key={`${night.day}/${night.provider}`}
                  night={night}
                  canCompare={answer.data.providers.includes(night.provider)}
                />
              ))}
            </ul>
          </Sheet>
        </>
      )}
    </OperatorPage>
  );
}
