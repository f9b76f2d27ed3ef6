/** Search and jump: conversations and pages by name. Owns: matching and keyboard choice. Refuses to know: what lies there. */
import {
  Bot,
  ChartColumn,
  MessageSquare,
  ReceiptText,
  ScrollText,
  Search,
  Settings,
  SquarePen,
  Users,
} from "lucide-react";
import { Dialog as Radix } from "radix-ui";
import {
  type KeyboardEvent,
  type ReactNode,
  useEffect,
  useId,
  useMemo,
  useState,
  useSyncExternalStore,
} from "react";
import { useLocation } from "wouter";
import { useMayWrite, useScope, useTenant } from "../gateway/tenant-context.tsx";
import { useCall } from "../gateway/use-call.ts";
import type { SessionsPage } from "../gateway/wire.ts";
import { useWords } from "../i18n/words-context.tsx";
import { sessionPath, titleOf } from "../sessions/session-key.ts";
import { PALETTE_EVENT } from "./page-events.ts";

interface Goal {
  id: string;
  group: string;
  title: string;
  icon: ReactNode;
  href: string;
}

const SHOWN = 8;
const ADMIN_SETTINGS = [
  ["organization", "organizationTab"],
  ["access", "access"],
  ["tokens", "tokens"],
  ["providers", "providers"],
] as const;

function usePages(): Goal[] {
  const words = useWords();
  const mayAdmin = useScope("operator.admin");
  const mayWrite = useMayWrite();
  return useMemo(() => {
    const page = (href: string, title: string, icon: ReactNode): Goal => ({
      id: href,
      group: words.palette.pages,
      title,
      icon,
      href,
    });
    return [
      ...(mayWrite ? [page("/", words.nav.newChat, <SquarePen size={16} aria-hidden />)] : []),
      page("/usage", words.nav.usage, <ChartColumn size={16} aria-hidden />),
      page("/billing", words.billing.title, <ReceiptText size={16} aria-hidden />),
      ...(mayAdmin
        ? [
            page("/agents", words.nav.agents, <Bot size={16} aria-hidden />),
            page("/members", words.members.title, <Users size={16} aria-hidden />),
            page("/audit", words.audit.title, <ScrollText size={16} aria-hidden />),
          ]
        : []),
      page("/settings", words.nav.settings, <Settings size={16} aria-hidden />),
      page("/settings/appearance", words.settings.appearance, <Settings size={16} aria-hidden />),
      ...(mayAdmin ? ADMIN_SETTINGS : []).map(([tab, name]) =>
        page(`/settings/${tab}`, words.settings[name], <Settings size={16} aria-hidden />),
      ),
    ];
  }, [words, mayAdmin, mayWrite]);
}

function useGoals(search: string, open: boolean): Goal[] {
  const words = useWords();
  const { shelf } = useTenant();
  const pages = usePages();
  const { rows } = useSyncExternalStore(shelf.subscribe, shelf.getState);
  const wanted = search.trim().toLowerCase();
  const found = useCall<SessionsPage>(
    "sessions.list",
    { limit: SHOWN, search: wanted, includeDerivedTitles: true, includeLastMessage: true },
    open && wanted.length > 1,
  );
  return useMemo(() => {
    const here = rows.filter((row) => !wanted || titleOf(row)?.toLowerCase().includes(wanted));
    const keys = new Set(here.map((row) => row.key));
    const there = wanted ? (found.data?.sessions ?? []).filter((row) => !keys.has(row.key)) : [];
    const sessions = [...here, ...there].slice(0, SHOWN).map(
      (row): Goal => ({
        id: row.key,
        group: words.palette.conversations,
        title: titleOf(row) ?? words.list.untitled,
        icon: <MessageSquare size={16} aria-hidden />,
        href: sessionPath(row.key),
      }),
    );
    return [...sessions, ...pages.filter((page) => !wanted || page.title.toLowerCase().includes(wanted))];
  }, [rows, wanted, found.data, pages, words]);
}

function GoalList(props: { id: string; goals: readonly Goal[]; active: number; onGo: (goal: Goal) => void }) {
  const words = useWords();
  if (props.goals.length === 0)
    return <p className="px-4 py-6 text-center text-m text-ink-2">{words.palette.none}</p>;
  return (
    <div
      id={props.id}
      role="listbox"
      aria-label={words.palette.title}
      className="max-h-[50vh] overflow-y-auto p-2"
    >
      {props.goals.map((goal, index) => (
        <div key={goal.id}>
          {goal.group !== props.goals[index - 1]?.group ? (
            <p role="presentation" className="px-3 pt-2 pb-1 text-xs text-ink-3">
              {goal.group}
            </p>
          ) : null}
          <div
            id={`${props.id}-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === props.active}
            onClick={() => props.onGo(goal)}
            onKeyDown={(event) => event.key === "Enter" && props.onGo(goal)}
            className={`flex min-h-10 cursor-pointer items-center gap-3 rounded-small px-3 text-m ${index === props.active ? "bg-accent-soft" : "hover:bg-hover"}`}
          >
            <span className="text-ink-3">{goal.icon}</span>
            <span className="truncate">{goal.title}</span>
          </div>
        </div>
      ))}
    </div>
  );
}

function PaletteBody(props: { onClose: () => void }) {
  const words = useWords();
  const id = useId();
  const [, navigate] = useLocation();
  const [search, setSearch] = useState("");
  const [wanted, setActive] = useState(0);
  const goals = useGoals(search, true);
  const active = Math.min(wanted, Math.max(0, goals.length - 1));
  const go = (goal: Goal | undefined) => {
    if (!goal) return;
    props.onClose();
    navigate(goal.href);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "ArrowDown") setActive((active + 1) % Math.max(1, goals.length));
    else if (event.key === "ArrowUp") setActive((active + goals.length - 1) % Math.max(1, goals.length));
    else if (event.key === "Enter") go(goals[active]);
    else return;
    event.preventDefault();
  };
  return (
    <>
      <div className="flex items-center gap-3 border-b border-line px-5">
        <Search size={18} aria-hidden className="shrink-0 text-ink-3" />
        <input
          role="combobox"
          aria-expanded="true"
          aria-controls={id}
          aria-activedescendant={goals.length > 0 ? `${id}-${active}` : undefined}
          aria-label={words.palette.placeholder}
          placeholder={words.palette.placeholder}
          className="h-14 w-full bg-transparent text-l outline-none"
          value={search}
          onChange={(event) => {
            setSearch(event.target.value);
            setActive(0);
          }}
          onKeyDown={onKeyDown}
        />
      </div>
      <GoalList id={id} goals={goals} active={active} onGo={go} />
    </>
  );
}

/** The palette; opens on its event. */
export function Palette() {
  const words = useWords();
  const [open, setOpen] = useState(false);
  useEffect(() => {
    const show = () => setOpen(true);
    window.addEventListener(PALETTE_EVENT, show);
    return () => window.removeEventListener(PALETTE_EVENT, show);
  }, []);
  return (
    <Radix.Root open={open} onOpenChange={setOpen}>
      <Radix.Portal>
        <Radix.Overlay className="fixed inset-0 z-40 bg-scrim" />
        <Radix.Content
          aria-describedby={undefined}
          className="rise fixed inset-x-4 top-[12vh] z-50 mx-auto max-w-xl overflow-hidden rounded-large border border-line bg-card shadow-3"
        >
          <Radix.Title className="sr-only">{words.palette.title}</Radix.Title>
          <PaletteBody onClose={() => setOpen(false)} />
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
