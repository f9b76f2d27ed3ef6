/** The list of conversations. Owns: search, groups, the window over thousands. Refuses to know: the chat. */
import { Search, X } from "lucide-react";
import { useEffect, useMemo, useSyncExternalStore } from "react";
import { useRoute } from "wouter";
import { useTenant } from "../gateway/tenant-context.tsx";
import { useWords } from "../i18n/words-context.tsx";
import { Problem, Skeleton } from "../parts/states.tsx";
import { groupSessions, type SessionLine } from "./group-sessions.ts";
import { decodePart, joinKey } from "./session-key.ts";
import { SessionLink } from "./session-link.tsx";
import type { ShelfState } from "./session-shelf.ts";
import { useWindow } from "./use-window.ts";

const LINE_PX = 36;
const HEADING_PX = 32;

/** Key of the session in the address, if any. */
export function useOpenKey(): string | undefined {
  const [match, params] = useRoute<{ agent: string; session: string }>("/chat/:agent/:session");
  return match ? joinKey(decodePart(params.agent), decodePart(params.session)) : undefined;
}

function SearchBox(props: { search: string; onSearch: (text: string) => void }) {
  const words = useWords();
  return (
    <div className="relative">
      <Search size={16} aria-hidden className="absolute top-2.5 left-3 text-ink-3" />
      <input
        type="search"
        aria-label={words.list.search}
        placeholder={words.list.search}
        value={props.search}
        onChange={(event) => props.onSearch(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape" && props.search) {
            event.preventDefault();
            props.onSearch("");
          }
        }}
        className="quick h-9 w-full rounded-medium bg-transparent pr-8 pl-9 text-m hover:bg-hover focus:bg-card"
      />
      {props.search ? (
        <button
          type="button"
          aria-label={words.list.clear}
          className="absolute top-1.5 right-1.5 inline-flex size-6 items-center justify-center rounded-small text-ink-3 hover:bg-hover"
          onClick={() => props.onSearch("")}
        >
          <X size={14} aria-hidden />
        </button>
      ) : null}
    </div>
  );
}

function Lines(props: { lines: readonly SessionLine[]; hasMore: boolean; openKey: string | undefined }) {
  const words = useWords();
  const { shelf } = useTenant();
  const { lines, hasMore } = props;
  const heights = useMemo(
    () => lines.map((line) => (line.kind === "heading" ? HEADING_PX : LINE_PX)),
    [lines],
  );
  const view = useWindow(heights);
  useEffect(() => {
    if (hasMore && view.last >= lines.length - 10) void shelf.loadMore();
  }, [hasMore, view.last, lines.length, shelf]);
  return (
    <div ref={view.viewRef} className="min-h-0 flex-1 overflow-y-auto overflow-x-hidden">
      <ul className="relative" style={{ height: view.totalPx }}>
        {lines.slice(view.first, view.last + 1).map((line, index) => (
          <li
            key={line.key}
            className="absolute inset-x-0"
            style={{
              top: view.offsets[view.first + index] ?? 0,
              height: line.kind === "heading" ? HEADING_PX : LINE_PX,
            }}
          >
            {line.kind === "heading" ? (
              <p className="px-3 pt-3 text-xs font-medium text-ink-3">{words.list[line.group]}</p>
            ) : (
              <SessionLink row={line.row} open={line.row.key === props.openKey} />
            )}
          </li>
        ))}
      </ul>
    </div>
  );
}

function Nothing(props: { state: ShelfState }) {
  const words = useWords();
  const { search } = props.state;
  return (
    <div className="min-h-0 flex-1 px-3 py-4 text-s">
      <p className="font-medium text-ink-2">
        {search.trim() ? words.list.noMatch(search.trim()) : words.list.empty}
      </p>
      {search.trim() ? null : <p className="mt-1 text-ink-3">{words.list.emptyHint}</p>}
    </div>
  );
}

/** Search box and conversations. */
export function SessionList() {
  const words = useWords();
  const { shelf } = useTenant();
  const state = useSyncExternalStore(shelf.subscribe, shelf.getState);
  const openKey = useOpenKey();
  const lines = useMemo(() => groupSessions(state.rows, new Date()), [state.rows]);
  return (
    <section aria-label={words.nav.conversations} className="mt-1 flex min-h-0 flex-1 flex-col gap-1">
      <SearchBox search={state.search} onSearch={(text) => shelf.setSearch(text)} />
      {state.phase === "loading" ? (
        <Skeleton lines={7} label={words.nav.conversations} className="flex-1 content-start px-3 py-4" />
      ) : state.phase === "error" && state.failure ? (
        <div className="flex-1 py-2">
          <Problem
            compact
            title={words.list.failed}
            error={state.failure}
            onRetry={() => void shelf.reload()}
          />
        </div>
      ) : lines.length === 0 ? (
        <Nothing state={state} />
      ) : (
        <Lines lines={lines} hasMore={state.hasMore} openKey={openKey} />
      )}
    </section>
  );
}
