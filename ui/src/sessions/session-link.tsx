/** One conversation in the list, with rename, pin, archive and delete. Owns: those actions. Refuses to know: the list around it. */
import { Archive, Ellipsis, Pencil, Pin, PinOff, Trash2 } from "lucide-react";
import { memo, useState } from "react";
import { Link, useLocation } from "wouter";
import { useScope, useTenant } from "../gateway/tenant-context.tsx";
import type { SessionRow } from "../gateway/wire.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Menu, MenuItem, MenuLine } from "../parts/menu.tsx";
import { useToast } from "../parts/toasts.tsx";
import { useSidebar } from "../shell/sidebar-state.tsx";
import { sessionPath, splitKey, titleOf } from "./session-key.ts";

function Renamer(props: { title: string; onDone: (title: string | undefined) => void }) {
  const words = useWords();
  const [text, setText] = useState(props.title);
  return (
    <input
      // biome-ignore lint/a11y/noAutofocus: the reader has just asked to type here
      autoFocus
      aria-label={words.list.renameLabel}
      value={text}
      maxLength={200}
      onFocus={(event) => event.target.select()}
      onChange={(event) => setText(event.target.value)}
      onBlur={() => props.onDone(text)}
      onKeyDown={(event) => {
        if (event.nativeEvent.isComposing) return;
        if (event.key === "Enter") props.onDone(text);
        if (event.key === "Escape") {
          event.preventDefault();
          props.onDone(undefined);
        }
      }}
      className="h-9 w-full rounded-medium border border-accent bg-card px-3 text-m outline-none"
    />
  );
}

interface SessionActions {
  rename: (title: string) => void;
  pin: () => void;
  archive: () => void;
  remove: () => void;
}

function useSessionActions(row: SessionRow, title: string, open: boolean): SessionActions {
  const words = useWords();
  const toast = useToast();
  const { shelf, rooms } = useTenant();
  const [, navigate] = useLocation();
  const change = (fields: Partial<SessionRow>, wish: Record<string, unknown>) =>
    shelf.patch(row.key, fields, wish).catch(() => toast(words.list.changeFailed));
  return {
    rename: (label) => void change({ label }, { label }),
    pin: () => void change({ pinned: !row.pinned }, { pinned: !row.pinned }),
    archive: () => {
      void change({ archived: true }, { archived: true });
      if (open) navigate("/");
      toast(words.list.archived(title), {
        label: words.act.undo,
        run: () => void change({ archived: false }, { archived: false }),
      });
    },
    remove: () => {
      const undo = shelf.remove(row.key, () => toast(words.list.deleteFailed));
      rooms.leave(row.key);
      if (open) navigate("/");
      toast(words.list.deleted(title), { label: words.act.undo, run: undo });
    },
  };
}

function ActionMenu(props: {
  row: SessionRow;
  title: string;
  actions: SessionActions;
  onRename: () => void;
}) {
  const words = useWords();
  const { row, actions } = props;
  return (
    <Menu
      trigger={
        <button
          type="button"
          aria-label={words.list.actions(props.title)}
          className="quick absolute top-1 right-1 inline-flex size-7 items-center justify-center rounded-small text-ink-2 opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 hover:bg-line data-[state=open]:opacity-100 pointer-coarse:opacity-100"
        >
          <Ellipsis size={16} aria-hidden />
        </button>
      }
    >
      <MenuItem icon={<Pencil size={16} aria-hidden />} onSelect={() => setTimeout(props.onRename, 0)}>
        {words.list.rename}
      </MenuItem>
      <MenuItem
        icon={row.pinned ? <PinOff size={16} aria-hidden /> : <Pin size={16} aria-hidden />}
        onSelect={actions.pin}
      >
        {row.pinned ? words.list.unpin : words.list.pin}
      </MenuItem>
      <MenuItem icon={<Archive size={16} aria-hidden />} onSelect={actions.archive}>
        {words.list.archive}
      </MenuItem>
      <MenuLine />
      <MenuItem danger icon={<Trash2 size={16} aria-hidden />} onSelect={actions.remove}>
        {words.act.delete}
      </MenuItem>
    </Menu>
  );
}

function StateDot(props: { row: SessionRow; open: boolean }) {
  const words = useWords();
  if (props.row.hasActiveRun) {
    return (
      <span
        role="img"
        aria-label={words.list.running}
        className="weave-dot size-2 shrink-0 rounded-full bg-accent"
      />
    );
  }
  if (props.row.unread && !props.open) {
    return (
      <span role="img" aria-label={words.list.unread} className="size-2 shrink-0 rounded-full bg-willow" />
    );
  }
  return null;
}

/** One line of the list. */
export const SessionLink = memo(function SessionLink(props: { row: SessionRow; open: boolean }) {
  const { row, open } = props;
  const words = useWords();
  const { setOpen } = useSidebar();
  const mayWrite = useScope("operator.write");
  const [renaming, setRenaming] = useState(false);
  const main = splitKey(row.key).session === "main";
  const title = titleOf(row) ?? (main ? words.list.mainSession : words.list.untitled);
  const actions = useSessionActions(row, title, open);
  if (renaming) {
    const done = (text: string | undefined) => {
      setRenaming(false);
      const label = text?.trim();
      if (label && label !== title) actions.rename(label);
    };
    return <Renamer title={title} onDone={done} />;
  }
  return (
    <div className="group relative h-9">
      <Link
        href={sessionPath(row.key)}
        onClick={() => setOpen(false)}
        onDoubleClick={() => mayWrite && setRenaming(true)}
        aria-current={open ? "page" : undefined}
        title={title}
        className={`quick flex h-9 items-center gap-2 rounded-medium pr-3 pl-3 group-focus-within:pr-9 group-hover:pr-9 pointer-coarse:pr-9 text-m focus-visible:outline-offset-[-2px] ${open ? "bg-accent-soft font-medium text-ink" : "text-ink-2 group-hover:bg-hover group-hover:text-ink"} ${row.unread && !open ? "font-semibold text-ink" : ""}`}
      >
        <StateDot row={row} open={open} />
        <span className="min-w-0 truncate">{title}</span>
      </Link>
      {mayWrite ? (
        <ActionMenu row={row} title={title} actions={actions} onRename={() => setRenaming(true)} />
      ) : null}
    </div>
  );
});
