/** Statements by month. Owns: their list. Refuses to know: their lines and forms. */
import { useQuery } from "@tanstack/react-query";
import { Download, FileText } from "lucide-react";
import { useTenant } from "../gateway/tenant-context.tsx";
import { billingPath, listStatements, type StatementHead } from "../http/billing.ts";
import { makeMoney } from "../i18n/money.ts";
import { useSpeech, useWords } from "../i18n/words-context.tsx";
import { Badge } from "../parts/badge.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Empty, Problem, Skeleton } from "../parts/states.tsx";
import { OwnComparison } from "./own-comparison.tsx";
import { billingKey } from "./use-billing.ts";

const LINK =
  "quick inline-flex h-8 items-center gap-2 rounded-medium px-3 text-s font-medium whitespace-nowrap text-ink-2 hover:bg-hover hover:text-ink";

function StatementLine({ head }: { head: StatementHead }) {
  const { words, language } = useSpeech();
  const { slug } = useTenant();
  const money = makeMoney(language, head.currency);
  const month = new Intl.DateTimeFormat(language, { year: "numeric", month: "long" }).format(
    new Date(`${head.month}-15T12:00:00`),
  );
  const path = (query: string) => billingPath(slug, `statements/${head.month}?${query}`);
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-2 px-4 py-3 sm:px-6">
      <div className="grid min-w-0 flex-1 basis-40 gap-0.5">
        <p className="flex items-center gap-2 font-medium">
          {month}
          <Badge tone={head.state === "open" ? "willow" : "plain"}>
            {words.statements.states[head.state]}
          </Badge>
        </p>
        <p className="text-s text-ink-2">
          {`${money.exact(head.totalMicros)} · ${words.statements.lines(head.lines)}`}
        </p>
      </div>
      <div className="-mx-3 flex flex-wrap sm:mx-0">
        <a
          className={LINK}
          href={path(`format=html&lang=${language}`)}
          target="_blank"
          rel="noopener"
          aria-label={words.statements.openMonth(month)}
        >
          <FileText size={16} aria-hidden />
          {words.statements.open}
        </a>
        <a className={LINK} href={path("format=csv")} download aria-label={words.statements.csvMonth(month)}>
          <Download size={16} aria-hidden />
          CSV
        </a>
        <a
          className={LINK}
          href={path("format=json")}
          download={`statement-${slug}-${head.month}.json`}
          aria-label={words.statements.jsonMonth(month)}
        >
          <Download size={16} aria-hidden />
          JSON
        </a>
      </div>
    </li>
  );
}

/** The statements. */
export function StatementsTab() {
  const words = useWords();
  const { slug } = useTenant();
  const answer = useQuery({
    queryKey: billingKey(slug, "statements"),
    queryFn: () => listStatements(slug),
  });
  return (
    <>
      <p className="text-m text-ink-2">{words.statements.hint}</p>
      {answer.isError ? (
        <Problem error={answer.error} onRetry={() => void answer.refetch()} />
      ) : answer.isPending ? (
        <Skeleton lines={4} label={words.billing.statements} />
      ) : (
        <Sheet>
          {answer.data.length === 0 ? (
            <Empty
              icon={<FileText size={28} aria-hidden />}
              title={words.statements.empty}
              hint={words.statements.emptyHint}
            />
          ) : (
            <ul className="divide-y divide-line">
              {answer.data.map((head) => (
                <StatementLine key={head.month} head={head} />
              ))}
            </ul>
          )}
        </Sheet>
      )}
      <OwnComparison />
    </>
  );
}
