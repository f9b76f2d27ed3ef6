/**
 * What the tenant's own providers counted differently. Owns: that part of the statements. Refuses to know: how counts are
 * compared. It is not there until a provider was given a usage address.
 */
import { useQuery } from "@tanstack/react-query";
import { useTenant } from "../gateway/tenant-context.tsx";
import { findOwnReconciliation, type OwnReconciliation } from "../http/billing.ts";
import type { Night } from "../http/operator-reconciliation.ts";
import { useFormats } from "../i18n/formats.ts";
import { useSpeech } from "../i18n/words-context.tsx";
import { Badge } from "../parts/badge.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Problem } from "../parts/states.tsx";
import { FindingLine } from "./finding-line.tsx";
import { billingKey } from "./use-billing.ts";

function nightState(night: Night) {
  if (night.comparedAtMs === null) return ["willow", "nightMissing"] as const;
  if (night.findings.length === 0) return ["plain", "nightEqual"] as const;
  return night.isWithin ? (["accent", "nightWithin"] as const) : (["danger", "nightOff"] as const);
}

function NightLine({ night }: { night: Night }) {
  const { words } = useSpeech();
  const [tone, state] = nightState(night);
  return (
    <li className="grid gap-2 px-4 py-3 sm:px-6">
      <p className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <span className="text-m font-semibold tabular-nums">{night.day}</span>
        <span className="text-m break-all">{night.provider}</span>
        <Badge tone={tone}>{words.operatorMoney[state]}</Badge>
      </p>
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

function Comparison({ found }: { found: OwnReconciliation }) {
  const { words, language } = useSpeech();
  const formats = useFormats();
  const percent = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 2 });
  const { tokens, ratio } = found.tolerance;
  return (
    <Sheet>
      <div className="grid gap-1 px-4 pt-4 pb-2 sm:px-6">
        <h2 className="text-l font-semibold">{words.statements.comparison}</h2>
        <p className="text-s text-ink-2">{words.statements.comparisonHint}</p>
        <p className="text-s text-ink-2">{words.operatorMoney.tolerance(tokens, percent.format(ratio))}</p>
        {found.troubles.map(({ provider, lastError, nextAtMs }) => (
          <p key={provider} className="text-s text-danger">
            {words.operatorMoney.trouble(provider, lastError, formats.dayTime(new Date(nextAtMs)))}
          </p>
        ))}
      </div>
      {found.nights.length === 0 ? (
        <p className="px-4 pb-4 text-s text-ink-3 sm:px-6">{words.statements.noNights}</p>
      ) : (
        <ul className="divide-y divide-line">
          {found.nights.map((night) => (
            <NightLine key={`${night.day}/${night.provider}`} night={night} />
          ))}
        </ul>
      )}
    </Sheet>
  );
}

/** The comparison with the tenant's own providers, where there is one. */
export function OwnComparison() {
  const { slug } = useTenant();
  const answer = useQuery({
    queryKey: billingKey(slug, "reconciliation"),
    queryFn: () => findOwnReconciliation(slug),
  });
  if (answer.isError) return <Problem compact error={answer.error} onRetry={() => void answer.refetch()} />;
  if (!answer.data || (answer.data.providers.length === 0 && answer.data.nights.length === 0)) return null;
  return <Comparison found={answer.data} />;
}
