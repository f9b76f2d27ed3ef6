/** Settings of the person and of the organization. Owns: the tabs. Refuses to know: their insides. */
import { Link, useLocation } from "wouter";
import { useLink, useScope, useTenant } from "../gateway/tenant-context.tsx";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { PageFrame } from "../parts/page-frame.tsx";
import { Empty, Forbidden } from "../parts/states.tsx";
import { AccessTab } from "./access/access-tab.tsx";
import { AppearanceTab } from "./appearance-tab.tsx";
import { OrganizationTab } from "./organization/organization-tab.tsx";
import { ProfileTab } from "./profile-tab.tsx";
import { ProvidersTab } from "./providers-tab.tsx";
import { TokensTab } from "./tokens-tab.tsx";

const TABS = ["profile", "appearance", "organizationTab", "access", "tokens", "providers"] as const;
type Tab = (typeof TABS)[number];
const ADMIN_TABS: readonly Tab[] = ["organizationTab", "access", "tokens", "providers"];

/** The tab in the address; its name in the dictionary may differ. */
function addressOf(tab: Tab): string {
  return tab === "organizationTab" ? "organization" : tab;
}

function TabBody(props: { tab: Tab; mayAdmin: boolean; ready: boolean }) {
  const { tenant } = useTenant();
  if (props.tab === "profile") return <ProfileTab />;
  if (props.tab === "appearance") return <AppearanceTab />;
  if (props.ready && !props.mayAdmin) return <Forbidden tenant={tenant} />;
  if (props.tab === "organizationTab") return <OrganizationTab />;
  if (props.tab === "access") return <AccessTab />;
  return props.tab === "tokens" ? <TokensTab /> : <ProvidersTab />;
}

/** The settings page. */
export default function SettingsPage(props: { tab: string | undefined }) {
  const words = useWords();
  const [, navigate] = useLocation();
  const mayAdmin = useScope("operator.admin");
  const ready = useLink().scopes.length > 0;
  const tab = TABS.find((other) => addressOf(other) === (props.tab ?? "profile"));
  const shown = TABS.filter((other) => mayAdmin || !ADMIN_TABS.includes(other) || other === tab);
  return (
    <PageFrame title={words.settings.title}>
      <nav aria-label={words.settings.title} className="-mx-4 overflow-x-auto px-4">
        <ul className="flex gap-1 border-b border-line">
          {shown.map((other) => (
            <li key={other}>
              <Link
                ref={(element: HTMLAnchorElement | null) => {
                  // On a narrow page the open tab may lie beyond the edge.
                  if (other === tab) element?.scrollIntoView({ block: "nearest", inline: "nearest" });
                }}
                href={other === "profile" ? "/settings" : `/settings/${addressOf(other)}`}
                aria-current={other === tab ? "page" : undefined}
                className={`quick -mb-px flex h-11 items-center border-b-2 px-3 text-m whitespace-nowrap focus-visible:outline-offset-[-4px] ${other === tab ? "border-accent font-semibold text-ink" : "border-transparent text-ink-2 hover:text-ink"}`}
              >
                {words.settings[other]}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      {tab ? (
        <TabBody tab={tab} mayAdmin={mayAdmin} ready={ready} />
      ) : (
        <Empty title={words.notFound.title} hint={words.notFound.hint}>
          <Button tone="primary" onClick={() => navigate("/settings")}>
            {words.notFound.home}
          </Button>
        </Empty>
      )}
    </PageFrame>
  );
}
