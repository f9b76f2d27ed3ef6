/** The scrolling conversation: turns, the live run, messages on their way. Owns: their order. Refuses to know: the composer. */
import { ArrowDown } from "lucide-react";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef } from "react";
import type { TranscriptRow } from "../gateway/wire.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import type { ChatRoom, RoomState } from "./chat-room.ts";
import { foldTranscript } from "./fold-transcript.ts";
import { LiveRunView } from "./live-run-view.tsx";
import { OutgoingView } from "./outgoing-view.tsx";
import { lastUserIndex } from "./transcript-rows.ts";
import { type TurnActions, TurnView } from "./turn-view.tsx";
import { useStickToEnd } from "./use-stick-to-end.ts";

/** Rows to show: those of the run that is being shown live are left out, or they would appear twice. */
function visibleRows(rows: readonly TranscriptRow[], runId: string | undefined): readonly TranscriptRow[] {
  if (runId === undefined) return rows;
  const lastUser = lastUserIndex(rows);
  return rows.filter((row, index) => {
    if (row.role === "user") return true;
    const owner = row.__openclaw?.runId;
    return owner === undefined ? index < lastUser : owner !== runId;
  });
}

interface ConversationProps {
  room: ChatRoom;
  state: RoomState;
  mayWrite: boolean;
  onEdit: (text: string) => void;
}

function OlderButton(props: { room: ChatRoom; state: RoomState; onBefore: () => void }) {
  const words = useWords();
  if (!props.state.hasMore) return null;
  const load = () => {
    props.onBefore();
    void props.room.loadOlder();
  };
  return (
    <div className="no-print flex justify-center">
      <Button small tone="quiet" onClick={load} disabled={props.state.loadingOlder}>
        {props.state.loadingOlder ? words.chat.olderLoading : words.chat.older}
      </Button>
    </div>
  );
}

/** Holds the reader's place when older messages appear above. */
function useKeepPlace(view: { current: HTMLDivElement | null }, firstId: string | undefined) {
  const heightBefore = useRef<number | undefined>(undefined);
  // biome-ignore lint/correctness/useExhaustiveDependencies: runs when the first row changes, which is what it repairs
  useLayoutEffect(() => {
    const element = view.current;
    if (element && heightBefore.current !== undefined) {
      element.scrollTop += element.scrollHeight - heightBefore.current;
      heightBefore.current = undefined;
    }
  }, [firstId]);
  return useCallback(() => {
    heightBefore.current = view.current?.scrollHeight;
  }, [view]);
}

function useTurnActions(props: ConversationProps): { idle: TurnActions; last: TurnActions } {
  const { room, mayWrite, onEdit } = props;
  return useMemo(() => {
    const again = () => {
      const row = room.getState().rows.findLast((other) => other.role === "user");
      const text = row ? (typeof row.content === "string" ? row.content : textOfParts(row)) : "";
      if (text) room.send(text);
    };
    const edit = mayWrite ? onEdit : undefined;
    return {
      idle: { onEdit: edit, onAgain: undefined },
      last: { onEdit: edit, onAgain: mayWrite ? again : undefined },
    };
  }, [room, mayWrite, onEdit]);
}

function textOfParts(row: TranscriptRow): string {
  if (typeof row.content === "string") return row.content;
  return row.content.map((part) => part.text ?? "").join("\n");
}

/** The conversation of one room. */
export function Conversation(props: ConversationProps) {
  const { room, state } = props;
  const words = useWords();
  const { viewRef, bodyRef, away, toEnd } = useStickToEnd(room.key);
  const sentCount = state.outgoing.length;
  useEffect(() => {
    if (sentCount > 0) toEnd();
  }, [sentCount, toEnd]);
  const runId = state.run?.runId;
  const turns = useMemo(() => foldTranscript(visibleRows(state.rows, runId)), [state.rows, runId]);
  const keepPlace = useKeepPlace(viewRef, turns[0]?.id);
  const actions = useTurnActions(props);
  const busy = state.run !== undefined && !state.run.ended;
  const lastTurn = turns.length - 1;
  // The server does not give files back, so a message with files cannot be asked again from here.
  const quiet =
    !state.run && sentCount === 0 && !turns.findLast((turn) => turn.kind === "user")?.files.length;
  const own = state.outgoing.filter((item) => item.idempotencyKey === runId);
  const others = state.outgoing.filter((item) => item.idempotencyKey !== runId);
  const outgoing = (item: (typeof own)[number], behindRun: boolean) => (
    <OutgoingView
      key={item.idempotencyKey}
      item={item}
      behindRun={behindRun}
      onRetry={() => room.retry(item.idempotencyKey)}
      onDiscard={() => props.onEdit(room.discard(item.idempotencyKey))}
    />
  );
  return (
    <div className="relative min-h-0 flex-1">
      <section
        ref={viewRef}
        aria-label={words.chat.conversation}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
        tabIndex={0}
        className="print-flow h-full overflow-y-auto focus-visible:outline-offset-[-2px]"
      >
        <div
          ref={bodyRef}
          className="mx-auto grid max-w-(--column) grid-cols-1 gap-4 px-4 pt-4 pb-10 sm:px-6"
        >
          <OlderButton room={room} state={state} onBefore={keepPlace} />
          {turns.map((turn, index) => (
            <div
              key={turn.id}
              className={
                index < lastTurn - 8 ? "[contain-intrinsic-size:auto_160px] [content-visibility:auto]" : ""
              }
            >
              <TurnView turn={turn} actions={index === lastTurn && quiet ? actions.last : actions.idle} />
            </div>
          ))}
          {own.map((item) => outgoing(item, false))}
          {state.run ? <LiveRunView run={state.run} onAgain={actions.last.onAgain} /> : null}
          {others.map((item) => outgoing(item, busy))}
          <div aria-live="polite" className="sr-only">
            {busy ? words.list.running : ""}
          </div>
        </div>
      </section>
      {away ? (
        <div className="no-print absolute inset-x-0 bottom-3 flex justify-center">
          <Button small className="rise rounded-full! shadow-2" onClick={toEnd}>
            <ArrowDown size={16} aria-hidden />
            {busy ? words.chat.newText : words.chat.toEnd}
          </Button>
        </div>
      ) : null}
    </div>
  );
}
