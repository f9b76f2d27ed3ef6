/** The side of the page: where you are, your conversations, the other pages, you. Owns: its layout. Refuses to know: page contents. */
import {
  Bot,
  ChartColumn,
  ChevronsUpDown,
  Keyboard,
  LogOut,
  ReceiptText,
  ScrollText,
  Search,
  Settings,
  SquarePen,
  UserRound,
  Users,
  X,
} from "lucide-react";
import type { ReactNode } from "react";
import { Link, useLocation } from "wouter";
import { useMayWrite, useScope, useTenant } from "../gateway/tenant-context.tsx";
import { useWords } from "../i18n/words-context.tsx";
import { Plate } from "../parts/badge.tsx";
import { IconButton } from "../parts/button.tsx";
import { Mark } from "../parts/mark.tsx";
import { Menu, MenuItem, MenuLabel, MenuLine } from "../parts/menu.tsx";
import { SessionList } from "../sessions/session-list.tsx";
import { leaveAccount } from "../sign-in/leave.ts";
import { standingWords } from "../sign-in/tenant-standing.tsx";
import { openPalette, openShortcuts } from "./page-events.ts";
import { useSidebar } from "./sidebar-state.tsx";

function TenantSwitch() {
  const words = useWords();
  const { tenant, account } = useTenant();
  return (
    <Menu
      trigger={
        <button
          type="button"
          className="quick flex h-10 min-w-0 flex-1 items-center gap-2.5 rounded-medium px-2 text-left hover:bg-hover"
        >
          <Mark size={26} className="shrink-0 text-accent" />
          <span className="sr-only">{words.nav.switchTenant}: </span>
          <span className="min-w-0 flex-1 truncate text-l font-semibold">{tenant.name}</span>
          <ChevronsUpDown size={16} aria-hidden className="shrink-0 text-ink-3" />
        </button>
      }
    >
      <MenuLabel>{words.nav.switchTenant}</MenuLabel>
      {account.tenants.map((other) => (
        <MenuItem
          key={other.id}
          checked={other.id === tenant.id}
          icon={<Plate name={other.name} size={24} />}
          detail={standingWords(other, words)}
          onSelect={() => other.id !== tenant.id && location.assign(`/t/${other.slug}/`)}
        >
          {other.name}
        </MenuItem>
      ))}
      <MenuLine />
      <MenuItem onSelect={() => location.assign("/")}>{words.nav.allTenants}</MenuItem>
      {account.canCreateTenant ? (
        <MenuItem onSelect={() => location.assign("/new")}>{words.door.make}</MenuItem>
      ) : null}
      <MenuItem onSelect={() => location.assign("/ask")}>{words.door.askLink}</MenuItem>
    </Menu>
  );
}

function PageLink(props: { href: string; icon: ReactNode; children: ReactNode }) {
  const [path] = useLocation();
  const { setOpen } = useSidebar();
  const here = path === props.href || path.startsWith(`${props.href}/`);
  return (
    <Link
      href={props.href}
      onClick={() => setOpen(false)}
      aria-current={here ? "page" : undefined}
      className={`quick flex h-9 items-center gap-3 rounded-medium px-3 text-m ${here ? "bg-accent-soft font-medium text-accent" : "text-ink-2 hover:bg-hover hover:text-ink"}`}
    >
      {props.icon}
      {props.children}
    </Link>
  );
}

function AccountMenu() {
  const words = useWords();
  const { account, tenant } = useTenant();
  const [, navigate] = useLocation();
  const name = account.user.displayName;
  const leave = () => void leaveAccount();
  return (
    <Menu
      side="top"
      trigger={
        <button
          type="button"
          className="quick flex h-12 w-full items-center gap-3 rounded-medium px-2 text-left hover:bg-hover"
        >
          <Plate name={name} size={32} />
          <span className="sr-only">{words.nav.account}: </span>
          <span className="grid min-w-0 flex-1">
            <span className="truncate text-m font-medium">{name}</span>
            <span className="truncate text-xs text-ink-3">{words.role[tenant.role]}</span>
          </span>
        </button>
      }
    >
      <MenuItem icon={<Settings size={16} aria-hidden />} onSelect={() => navigate("/settings")}>
        {words.nav.settings}
      </MenuItem>
      <MenuItem icon={<UserRound size={16} aria-hidden />} onSelect={() => location.assign("/account")}>
        {words.account.title}
      </MenuItem>
      <MenuItem icon={<Keyboard size={16} aria-hidden />} onSelect={openShortcuts}>
        {words.nav.keys}
      </MenuItem>
      <MenuLine />
      <MenuItem icon={<LogOut size={16} aria-hidden />} onSelect={leave}>
        {words.nav.signOut}
      </MenuItem>
    </Menu>
  );
}

function NewChatButton() {
  const words = useWords();
  const { setOpen } = useSidebar();
  const [, navigate] = useLocation();
  return (
    <button
      type="button"
      className="quick mt-2 flex h-10 items-center gap-3 rounded-medium border border-line-strong bg-card px-3 text-m font-medium shadow-1 hover:border-accent"
      onClick={() => {
        setOpen(false);
        navigate("/");
      }}
    >
      <SquarePen size={18} aria-hidden className="text-accent" />
      {words.nav.newChat}
    </button>
  );
}

/** Everything beside the page. */
export function Sidebar(props: { drawer?: boolean }) {
  const words = useWords();
  const { setOpen } = useSidebar();
  const mayWrite = useMayWrite();
  const mayAdmin = useScope("operator.admin");
  const mayRead = useScope("operator.read");
  return (
    <div className="flex h-full flex-col gap-1 p-3">
      <div className="flex items-center gap-1">
        <TenantSwitch />
        <IconButton
          small
          label={words.nav.palette}
          hint={`${words.nav.palette} (Ctrl K)`}
          onClick={openPalette}
        >
          <Search size={18} aria-hidden />
        </IconButton>
        {props.drawer ? (
          <IconButton small label={words.nav.closeMenu} onClick={() => setOpen(false)}>
            <X size={18} aria-hidden />
          </IconButton>
        ) : null}
      </div>
      {mayWrite ? <NewChatButton /> : null}
      <SessionList />
      <nav aria-label={words.nav.main} className="grid gap-0.5 border-t border-line pt-2">
        <PageLink href="/usage" icon={<ChartColumn size={18} aria-hidden />}>
          {words.nav.usage}
        </PageLink>
        {mayRead ? (
          <PageLink href="/billing" icon={<ReceiptText size={18} aria-hidden />}>
            {words.billing.title}
          </PageLink>
        ) : null}
        {mayAdmin ? (
          <PageLink href="/agents" icon={<Bot size={18} aria-hidden />}>
            {words.nav.agents}
          </PageLink>
        ) : null}
        {mayAdmin ? (
          <PageLink href="/members" icon={<Users size={18} aria-hidden />}>
            {words.members.title}
          </PageLink>
        ) : null}
        {mayAdmin ? (
          <PageLink href="/audit" icon={<ScrollText size={18} aria-hidden />}>
            {words.audit.title}
          </PageLink>
        ) : null}
        <PageLink href="/settings" icon={<Settings size={18} aria-hidden />}>
          {words.nav.settings}
        </PageLink>
      </nav>
      <AccountMenu />
    </div>
  );
}
