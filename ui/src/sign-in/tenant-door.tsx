/** The door of one organization. Owns: who is let in, old addresses, the first naming. Refuses to know: what is inside. */
import { useEffect, useState } from "react";
import { TenantProvider } from "../gateway/tenant-context.tsx";
import type { Account, Tenant } from "../http/account.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { Empty } from "../parts/states.tsx";
import { TenantShell } from "../shell/tenant-shell.tsx";
import { FrontDoor } from "./front-door.tsx";
import { WelcomePage } from "./new-tenant-page.tsx";
import { rememberTenant } from "./tenant-picker.tsx";

const LATER = "creel:name-later";

function saidLater(id: string): boolean {
  try {
    return localStorage.getItem(LATER) === id;
  } catch {
    return false;
  }
}

function sayLater(id: string): void {
  try {
    localStorage.setItem(LATER, id);
  } catch {
    // Without storage the question comes again with the next load.
  }
}

function Closed(props: { title: string; hint: string }) {
  const words = useWords();
  return (
    <FrontDoor>
      <div className="-mx-4 -my-8">
        <Empty level={1} title={props.title} hint={props.hint}>
          <Button tone="primary" onClick={() => location.assign("/")}>
            {words.link.goHome}
          </Button>
        </Empty>
      </div>
    </FrontDoor>
  );
}

/** The organization under its old name: the same page under the new one. */
function moveTo(tenant: Tenant, slug: string): void {
  const rest = location.pathname.slice(`/t/${slug}`.length);
  location.replace(`/t/${encodeURIComponent(tenant.slug)}${rest || "/"}${location.search}`);
}

/** One organization, or why it does not open. */
export function TenantDoor(props: { slug: string; account: Account }) {
  const words = useWords();
  const { tenants } = props.account;
  const tenant = tenants.find((other) => other.slug === props.slug);
  const moved = tenant ? undefined : tenants.find((other) => other.oldSlugs?.includes(props.slug));
  const [later, setLater] = useState(() => tenant !== undefined && saidLater(tenant.id));
  useEffect(() => {
    if (tenant) rememberTenant(tenant.slug);
    if (moved) moveTo(moved, props.slug);
  }, [tenant, moved, props.slug]);
  if (moved) return null;
  if (!tenant) return <Closed title={words.link.noTenantTitle} hint={words.link.noTenantHint(props.slug)} />;
  if (tenant.status === "suspended" && !tenant.isReadOnly) {
    return <Closed title={words.link.suspendedTitle} hint={words.link.suspendedHint(tenant.name)} />;
  }
  if (tenant.needsName && tenant.role === "owner" && !later) {
    const putOff = () => {
      sayLater(tenant.id);
      setLater(true);
    };
    return <WelcomePage slug={tenant.slug} name={tenant.name} onLater={putOff} />;
  }
  return (
    <TenantProvider key={tenant.slug} tenant={tenant} account={props.account}>
      <TenantShell />
    </TenantProvider>
  );
}
