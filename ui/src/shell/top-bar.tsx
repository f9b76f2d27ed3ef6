/** The bar above a page: the way to the menu, the title, the demo mark. Owns: its looks. Refuses to know: the page. */
import { Menu as MenuIcon, SquarePen } from "lucide-react";
import { useLocation } from "wouter";
import { useMayWrite } from "../gateway/tenant-context.tsx";
import { useWords } from "../i18n/words-context.tsx";
import { Badge } from "../parts/badge.tsx";
import { IconButton } from "../parts/button.tsx";
import { useSidebar } from "./sidebar-state.tsx";

/** The top bar. */
export function TopBar(props: { title?: string; badge?: boolean; narrowOnly?: boolean }) {
  const words = useWords();
  const { setOpen } = useSidebar();
  const [, navigate] = useLocation();
  const mayWrite = useMayWrite();
  return (
    <div
      className={`no-print flex h-(--topbar) shrink-0 items-center gap-2 px-2 sm:px-4 ${props.narrowOnly ? "lg:hidden" : ""}`}
    >
      <IconButton label={words.nav.openMenu} className="lg:hidden" onClick={() => setOpen(true)}>
        <MenuIcon size={20} aria-hidden />
      </IconButton>
      {props.title ? <h1 className="min-w-0 truncate text-l font-semibold">{props.title}</h1> : null}
      {props.badge ? (
        <Badge tone="willow" title={words.chat.demoHint}>
          {words.chat.demoBadge}
        </Badge>
      ) : null}
      <span className="flex-1" />
      {mayWrite ? (
        <IconButton label={words.nav.newChat} className="lg:hidden" onClick={() => navigate("/")}>
          <SquarePen size={20} aria-hidden />
        </IconButton>
      ) : null}
    </div>
  );
}
