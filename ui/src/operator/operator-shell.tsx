/**
 * The operators' surface: another frame, another colour, impossible to mistake for an organization.
 * Owns: its frame and routes. Refuses to know: what is inside any organization.
 */
import { useQuery } from "@tanstack/react-query";
import {
  ArrowLeft,
  Building2,
  Coins,
  FileCheck2,
  Layers,
  Scale,
  ScrollText,
  Tags,
  Ticket,
} from "lucide-react";
import type { ReactNode } from "react";
import { Link, Route, Switch, useLocation } from "wouter";
import { AuditView } from "../audit/audit-view.tsx";
import type { Account } from "../http/account.ts";
import { findOperatorSession } from "../http/operator.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { Mark } from "../parts/mark.tsx";
import { Empty, Problem, Skeleton } from "../parts/states.tsx";
import { decodePart } from "../sessions/session-key.ts";
import { FrontDoor } from "../sign-in/front-door.tsx";
import { CodesPage } from "./codes/codes-page.tsx";
import { PlansPage } from "./money/plans-page.tsx";
import { ReconciliationPage } from "./money/reconciliation-page.tsx";
import { SpendingPage } from "./money/spending-page.tsx";
import { OperatorPage } from "./operator-page.tsx";
import { PricesPage } from "./prices/prices-page.tsx";
import { ReceiptsPage } from "./receipts-page.tsx";
import { TenantDetailPage } from "./tenant-detail-page.tsx";
import { TenantsPage } from "./tenants-page.tsx";

function Tab(props: { href: string; icon: ReactNode; children: ReactNode }) {
  const [path] = useLocation();
  const here = props.href === "/" ? path === "/" || path.startsWith("/tenants") : path.startsWith(props.href);
  return (
    <Link
      ref={(element: HTMLAnchorElement | null) => {
        // On a narrow page the open tab may lie beyond the edge.
        if (here) element?.scrollIntoView({ block: "nearest", inline: "nearest" });
      }}
      href={props.href}
      aria-current={here ? "page" : undefined}
      className={`quick flex h-10 items-center gap-2 rounded-medium px-3 text-m whitespace-nowrap ${here ? "bg-operator-ink/15 font-semibold text-operator-ink" : "text-operator-ink/80 hover:bg-operator-ink/10 hover:text-operator-ink"}`}
    >
      {props.icon}
      {props.children}
    </Link>
  );
}

function Bar(props: { account: Account }) {
  const words = useWords();
  return (
    <header className="bg-operator text-operator-ink">
      <div className="mx-auto flex max-w-6xl flex-wrap items-center gap-x-6 gap-y-1 px-4 py-2 sm:px-8">
        <p className="flex h-10 items-center gap-2.5 text-l font-semibold">
          <Mark size={26} />
          {words.operator.title}
        </p>
        <nav
          aria-label={words.operator.title}
          className="order-last -mx-1 flex basis-full gap-1 overflow-x-auto xl:order-none xl:flex-1 xl:basis-0 xl:[&_svg]:hidden"
        >
          <Tab href="/" icon={<Building2 size={18} aria-hidden />}>
            {words.operator.tenants}
          </Tab>
          <Tab href="/billing" icon={<Coins size={18} aria-hidden />}>
            {words.money.spending}
          </Tab>
          <Tab href="/plans" icon={<Layers size={18} aria-hidden />}>
            {words.money.plans}
          </Tab>
          <Tab href="/prices" icon={<Tags size={18} aria-hidden />}>
            {words.money.prices}
          </Tab>
          <Tab href="/codes" icon={<Ticket size={18} aria-hidden />}>
            {words.operatorMoney.codes}
          </Tab>
          <Tab href="/reconciliation" icon={<Scale size={18} aria-hidden />}>
            {words.operatorMoney.compare}
          </Tab>
          <Tab href="/audit" icon={<ScrollText size={18} aria-hidden />}>
            {words.audit.title}
          </Tab>
          <Tab href="/receipts" icon={<FileCheck2 size={18} aria-hidden />}>
            {words.operator.receipts}
          </Tab>
        </nav>
        <a
          href="/"
          className="quick ml-auto flex h-10 items-center gap-2 rounded-medium px-2 text-s text-operator-ink/80 hover:text-operator-ink"
        >
          <ArrowLeft size={16} aria-hidden />
          {props.account.user.displayName}
        </a>
      </div>
    </header>
  );
}

function Pages() {
  const words = useWords();
  const [, navigate] = useLocation();
  return (
    <Switch>
      <Route path="/">
        <TenantsPage />
      </Route>
      <Route path="/tenants/:id">{(params) => <TenantDetailPage id={decodePart(params.id)} />}</Route>
      <Route path="/billing">
        <SpendingPage />
      </Route>
      <Route path="/plans">
        <PlansPage />
      </Route>
      <Route path="/prices">
        <PricesPage />
      </Route>
      <Route path="/codes">
        <CodesPage />
      </Route>
      <Route path="/reconciliation">
        <ReconciliationPage />
      </Route>
      <Route path="/audit">
        <OperatorPage title={words.audit.title} subtitle={words.operator.auditHint}>
          <AuditView slug={null} />
        </OperatorPage>
      </Route>
      <Route path="/receipts">
        <ReceiptsPage />
      </Route>
      <Route>
        <Empty level={1} title={words.notFound.title} hint={words.notFound.hint}>
          <Button tone="primary" onClick={() => navigate("/")}>
            {words.notFound.home}
          </Button>
        </Empty>
      </Route>
    </Switch>
  );
}

/** The operators' surface. */
export default function OperatorShell(props: { account: Account }) {
  const words = useWords();
  const session = useQuery({
    queryKey: ["operator", "session"],
    queryFn: findOperatorSession,
    enabled: props.account.operator,
  });
  if (!props.account.operator) {
    return (
      <FrontDoor>
        <Empty level={1} title={words.operator.notOneTitle} hint={words.operator.notOne}>
          <Button tone="primary" onClick={() => location.assign("/")}>
            {words.link.goHome}
          </Button>
        </Empty>
      </FrontDoor>
    );
  }
  return (
    <div className="flex h-dvh flex-col bg-paper">
      <Bar account={props.account} />
      <main className="min-h-0 flex-1 overflow-y-auto">
        {session.isError ? (
          <div className="mx-auto max-w-6xl p-8">
            <Problem error={session.error} onRetry={() => void session.refetch()} />
          </div>
        ) : session.isPending ? (
          <Skeleton lines={6} label={words.operator.title} className="mx-auto max-w-6xl p-8" />
        ) : (
          <Pages />
        )}
      </main>
    </div>
  );
}
