/** The choice of an organization, the last one first. Owns: that order. Refuses to know: what is inside one. */
import { Building2, ChevronRight, DoorOpen, Plus, UserRound } from "lucide-react";
import type { ReactNode } from "react";
import type { Account } from "../http/account.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Badge, Plate } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { FrontDoor } from "./front-door.tsx";
import { leaveAccount } from "./leave.ts";
import { TenantStanding } from "./tenant-standing.tsx";

const LAST = "creel:last-tenant";

/** Remembers which organization was opened last; only the order of the list depends on it. */
export function rememberTenant(slug: string): void {
  try {
    localStorage.setItem(LAST, slug);
  } catch {
    // Without storage the list keeps the server's order.
  }
}

function lastTenant(): string | null {
  try {
    return localStorage.getItem(LAST);
  } catch {
    return null;
  }
}

function Onward(props: { href: string; icon: ReactNode; text: string }) {
  return (
    <a
      href={props.href}
      className="quick -mx-2 flex h-10 items-center gap-3 rounded-medium px-2 text-m text-ink-2 hover:bg-hover hover:text-ink"
    >
      {props.icon}
      {props.text}
    </a>
  );
}

/** The list of organizations. */
export function TenantPicker(props: { account: Account }) {
  const words = useWords();
  const { account } = props;
  const last = lastTenant();
  const tenants = [...account.tenants].sort((a, b) => Number(b.slug === last) - Number(a.slug === last));
  const leave = () => void leaveAccount();
  return (
    <FrontDoor>
      <div className="grid gap-4">
        <div className="grid gap-1">
          <h1 className="text-xl font-semibold">
            {tenants.length > 0 ? words.signIn.choose : words.signIn.none}
          </h1>
          <p className="text-s text-ink-2">
            {tenants.length > 0 ? words.signIn.signedInAs(account.user.displayName) : words.signIn.noneHint}
          </p>
        </div>
        <ul className="-mx-2 grid gap-1">
          {tenants.map((tenant) => (
            <li key={tenant.id}>
              <a
                href={`/t/${encodeURIComponent(tenant.slug)}/`}
                className="quick flex min-h-14 items-center gap-3 rounded-medium px-2 py-2 hover:bg-hover"
              >
                <Plate name={tenant.name} size={40} />
                <span className="grid min-w-0 flex-1 gap-0.5">
                  <span className="truncate text-l font-medium">{tenant.name}</span>
                  <span className="flex flex-wrap items-center gap-x-2 gap-y-1">
                    <span className="max-w-full truncate text-s text-ink-3">
                      {`${tenant.slug} · ${words.role[tenant.role]}`}
                    </span>
                    <TenantStanding tenant={tenant} />
                    {tenant.slug === last && tenant.status === "active" ? (
                      <Badge>{words.signIn.last}</Badge>
                    ) : null}
                  </span>
                </span>
                <ChevronRight size={18} aria-hidden className="shrink-0 text-ink-3" />
              </a>
            </li>
          ))}
        </ul>
        <nav aria-label={words.nav.main} className="grid gap-1 border-t border-line pt-3">
          {account.canCreateTenant ? (
            <Onward href="/new" icon={<Plus size={18} aria-hidden />} text={words.door.make} />
          ) : null}
          <Onward href="/ask" icon={<DoorOpen size={18} aria-hidden />} text={words.door.askLink} />
          <Onward href="/account" icon={<UserRound size={18} aria-hidden />} text={words.nav.account} />
          {account.operator ? (
            <Onward href="/operator" icon={<Building2 size={18} aria-hidden />} text={words.door.operate} />
          ) : null}
        </nav>
        <Button tone="quiet" onClick={leave}>
          {words.nav.signOut}
        </Button>
      </div>
    </FrontDoor>
  );
}
