/** One difference between our count and a provider's. Owns: how it is told. Refuses to know: whose key, which night. */
import type { Finding } from "../http/operator-reconciliation.ts";
import { useSpeech } from "../i18n/words-context.tsx";

const COLUMNS = [
  ["calls", "calls"],
  ["input", "inputTokens"],
  ["cached", "cachedTokens"],
  ["output", "outputTokens"],
] as const;

/** A difference by name, with what it is about. */
export function FindingLine({ finding }: { finding: Finding }) {
  const { words, language } = useSpeech();
  const m = words.operatorMoney;
  const signed = new Intl.NumberFormat(language, { signDisplay: "exceptZero" });
  const counts = COLUMNS.filter(([, field]) => finding[field] !== 0);
  return (
    <li className="grid gap-1 rounded-medium bg-sunk px-3 py-2.5">
      <p className="flex flex-wrap items-baseline gap-x-3 gap-y-1">
        <span className="text-m font-semibold">{m.findings[finding.kind] ?? finding.kind}</span>
        <code className="font-mono text-xs break-all text-ink-2">{finding.model}</code>
      </p>
      <p className="text-s text-ink-2">{m.findingHints[finding.kind]}</p>
      <dl className="flex flex-wrap gap-x-6 gap-y-1 text-s">
        {counts.map(([name, field]) => (
          <div key={name} className="flex gap-1.5">
            <dt className="text-ink-3">{m[name]}</dt>
            <dd className="tabular-nums">{signed.format(finding[field])}</dd>
          </div>
        ))}
      </dl>
    </li>
  );
}
