/** A tenant's money. Owns: the tabs and who sees which. Refuses to know: their insides. */
import { Link, useLocation } from "wouter";
import { useScope, useTenant } from "../gateway/tenant-context.tsx";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { PageFrame } from "../parts/page-frame.tsx";
import { Empty, Forbidden, Problem, Skeleton } from "../parts/states.tsx";
import { BudgetsTab } from "./budgets-tab.tsx";
import { ExportTab } from "./export-tab.tsx";
import { LedgerTab } from "./ledger-tab.tsx";
import { OverviewTab } from "./overview-tab.tsx";
import { StatementsTab } from "./statements-tab.tsx";
import { useBilling } from "./use-billing.ts";

const TABS = ["overview", "budgets", "ledger", "statements", "export"] as const;
type Tab = (typeof TABS)[number];
const ADMIN_TABS: readonly Tab[] = ["ledger", "statements", "export"];

function TabBody(props: { tab: Tab; mayAdmin: boolean }) {
  const words = useWords();
  const { tenant } = useTenant();
  const answer = useBilling();
  if (ADMIN_TABS.includes(props.tab) && !props.mayAdmin) return <Forbidden tenant={tenant} />;
  if (answer.isError) {
    return (
      <Problem title={words.billing.failed} error={answer.error} onRetry={() => void answer.refetch()} />
    );
  }
  if (answer.isPending) return <Skeleton lines={8} label={words.billing.title} />;
  if (props.tab === "overview") return <OverviewTab overview={answer.data} />;
  if (props.tab === "budgets") return <BudgetsTab currency={answer.data.currency} />;
  if (props.tab === "ledger") return <LedgerTab timeZone={answer.data.period.timeZone} />;
  return props.tab === "statements" ? <StatementsTab /> : <ExportTab />;
}

/** The billing page. */
export default function BillingPage(props: { tab: string | undefined }) {
  const words = useWords();
  const [, navigate] = useLocation();
  const mayAdmin = useScope("operator.admin");
  const tab = TABS.find((other) => other === (props.tab ?? "overview"));
  const shown = TABS.filter((other) => mayAdmin || !ADMIN_TABS.includes(other) || other === tab);
  return (
    <PageFrame title={words.billing.title} subtitle={words.billing.subtitle}>
      <nav aria-label={words.billing.title} className="no-print -mx-4 overflow-x-auto px-4">
        <ul className="flex gap-1 border-b border-line">
          {shown.map((other) => (
            <li key={other}>
              <Link
                ref={(element: HTMLAnchorElement | null) => {
                  // On a narrow page the open tab may lie beyond the edge.
                  if (other === tab) element?.scrollIntoView({ block: "nearest", inline: "nearest" });
                }}
                href={other === "overview" ? "/billing" : `/billing/${other}`}
                aria-current={other === tab ? "page" : undefined}
                className={`quick -mb-px flex h-11 items-center border-b-2 px-3 text-m whitespace-nowrap focus-visible:outline-offset-[-4px] ${other === tab ? "border-accent font-semibold text-ink" : "border-transparent text-ink-2 hover:text-ink"}`}
              >
                {words.billing[other]}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      {tab ? (
        <TabBody tab={tab} mayAdmin={mayAdmin} />
      ) : (
        <Empty title={words.notFound.title} hint={words.notFound.hint}>
          <Button tone="primary" onClick={() => navigate("/billing")}>
            {words.notFound.home}
          </Button>
        </Empty>
      )}
    </PageFrame>
  );
}
