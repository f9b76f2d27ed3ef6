/** A tenant's pages around their side. Owns: layout, page routes, what each link state shows. Refuses to know: page contents. */
import { Dialog as Radix } from "radix-ui";
import type { ReactNode } from "react";
import { Route, Switch, useLocation } from "wouter";
import { KnownChatPage, NewChatPage } from "../chat/chat-page.tsx";
import { useLink, useScope, useTenant } from "../gateway/tenant-context.tsx";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { onDemand } from "../parts/on-demand.tsx";
import { Bulkhead, Empty, Forbidden, Skeleton } from "../parts/states.tsx";
import { decodePart } from "../sessions/session-key.ts";
import { LinkBanner } from "./link-banner.tsx";
import { Palette } from "./palette.tsx";
import { Shortcuts } from "./shortcuts.tsx";
import { Sidebar } from "./sidebar.tsx";
import { SidebarProvider, useSidebar } from "./sidebar-state.tsx";
import { TenantNotices } from "./tenant-notices.tsx";
import { TopBar } from "./top-bar.tsx";

const UsagePage = onDemand(() => import("../usage/usage-page.tsx"));
const DrillPage = onDemand(() => import("../usage/drill-page.tsx"));
const BillingPage = onDemand(() => import("../billing/billing-page.tsx"));
const MoneyBanner = onDemand(() => import("./money-banner.tsx"));
const AgentsPage = onDemand(() => import("../agents/agents-page.tsx"));
const MembersPage = onDemand(() => import("../members/members-page.tsx"));
const AuditPage = onDemand(() => import("../audit/audit-page.tsx"));
const SettingsPage = onDemand(() => import("../settings/settings-page.tsx"));

function Drawer() {
  const words = useWords();
  const { open, setOpen } = useSidebar();
  return (
    <Radix.Root open={open} onOpenChange={setOpen}>
      <Radix.Portal>
        <Radix.Overlay className="fixed inset-0 z-30 bg-scrim lg:hidden" />
        <Radix.Content
          aria-describedby={undefined}
          className="slide-in fixed inset-y-0 left-0 z-30 w-[min(320px,88vw)] bg-panel shadow-3 lg:hidden"
        >
          <Radix.Title className="sr-only">{words.nav.main}</Radix.Title>
          <Sidebar drawer />
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

function Waiting() {
  const words = useWords();
  return (
    <>
      <TopBar />
      <Skeleton
        lines={8}
        label={words.link.connecting}
        className="mx-auto w-full max-w-5xl px-4 py-6 sm:px-8"
      />
    </>
  );
}

/** Shows a page only to those whose granted scopes reach it. */
function Guarded(props: { scope: "operator.admin" | "operator.read"; children: ReactNode }) {
  const { tenant } = useTenant();
  const allowed = useScope(props.scope);
  const ready = useLink().scopes.length > 0;
  if (allowed) return props.children;
  if (!ready) return <Waiting />;
  return (
    <>
      <TopBar />
      <Forbidden tenant={tenant} />
    </>
  );
}

function NotFound() {
  const words = useWords();
  const [, navigate] = useLocation();
  return (
    <>
      <TopBar />
      <Empty level={1} title={words.notFound.title} hint={words.notFound.hint}>
        <Button tone="primary" onClick={() => navigate("/")}>
          {words.notFound.home}
        </Button>
      </Empty>
    </>
  );
}

function Pages() {
  return (
    <Switch>
      <Route path="/">
        <NewChatPage />
      </Route>
      <Route path="/chat/:agent/:session">
        {(params) => (
          <KnownChatPage agentId={decodePart(params.agent)} session={decodePart(params.session)} />
        )}
      </Route>
      <Route path="/usage">
        <Guarded scope="operator.read">
          <UsagePage waiting={<Waiting />} />
        </Guarded>
      </Route>
      <Route path="/usage/details">
        <Guarded scope="operator.read">
          <DrillPage waiting={<Waiting />} />
        </Guarded>
      </Route>
      <Route path="/billing/:tab?">
        {(params) => (
          <Guarded scope="operator.read">
            <BillingPage waiting={<Waiting />} tab={params.tab} />
          </Guarded>
        )}
      </Route>
      <Route path="/agents/:agent?">
        {(params) => (
          <Guarded scope="operator.admin">
            <AgentsPage
              waiting={<Waiting />}
              agentId={params.agent === undefined ? undefined : decodePart(params.agent)}
            />
          </Guarded>
        )}
      </Route>
      <Route path="/members">
        <Guarded scope="operator.admin">
          <MembersPage waiting={<Waiting />} />
        </Guarded>
      </Route>
      <Route path="/audit">
        <Guarded scope="operator.admin">
          <AuditPage waiting={<Waiting />} />
        </Guarded>
      </Route>
      <Route path="/settings/:tab?">
        {(params) => <SettingsPage waiting={<Waiting />} tab={params.tab} />}
      </Route>
      <Route>
        <NotFound />
      </Route>
    </Switch>
  );
}

/** What ends the tenant's pages: signed out, no such tenant, or refused. */
function DeadEnd(props: { phase: "signed_out" | "no_tenant" | "refused" }) {
  const words = useWords();
  const { slug } = useTenant();
  const text = {
    signed_out: [words.link.signedOutTitle, words.link.signedOutHint],
    no_tenant: [words.link.noTenantTitle, words.link.noTenantHint(slug)],
    refused: [words.link.refusedTitle, words.link.refusedHint],
  }[props.phase];
  const out = props.phase === "signed_out";
  return (
    <main className="grid h-full content-center">
      <Empty level={1} title={text[0] ?? ""} hint={text[1] ?? ""}>
        <Button tone="primary" onClick={() => location.assign(out ? "/login" : "/")}>
          {out ? words.link.goSignIn : words.link.goHome}
        </Button>
        <Button onClick={() => location.reload()}>{words.act.reload}</Button>
      </Empty>
    </main>
  );
}

/** The frame of every tenant page. */
export function TenantShell() {
  const words = useWords();
  const { phase } = useLink();
  const [path] = useLocation();
  const mayAdmin = useScope("operator.admin");
  if (phase === "signed_out" || phase === "no_tenant" || phase === "refused")
    return <DeadEnd phase={phase} />;
  return (
    <SidebarProvider>
      <a
        href="#main"
        className="sr-only z-60 rounded-medium bg-card px-4 py-2 shadow-3 focus:not-sr-only focus:absolute focus:top-2 focus:left-2"
      >
        {words.nav.skip}
      </a>
      <div className="flex h-dvh">
        <aside
          aria-label={words.nav.conversations}
          className="no-print hidden w-(--sidebar) shrink-0 border-r border-line bg-panel lg:block"
        >
          <Sidebar />
        </aside>
        <main id="main" tabIndex={-1} className="flex min-w-0 flex-1 flex-col outline-none">
          <LinkBanner />
          <TenantNotices />
          {mayAdmin ? <MoneyBanner /> : null}
          <div className="min-h-0 flex-1">
            <Bulkhead message={words.problem.crashed} retry={words.act.reload} resetKey={path}>
              <Pages />
            </Bulkhead>
          </div>
        </main>
      </div>
      <Drawer />
      <Palette />
      <Shortcuts />
    </SidebarProvider>
  );
}
