/** One block of the conversation: a person's message or an answer. Owns: its looks and its actions. Refuses to know: the server. */
import { ChevronRight, CircleAlert, PencilLine, RotateCcw } from "lucide-react";
import { memo, type ReactNode } from "react";
import { FileNames } from "../composer/attachment-tray.tsx";
import { DEMO_PROVIDER } from "../gateway/wire.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Markdown } from "../markdown/markdown.tsx";
import { Badge } from "../parts/badge.tsx";
import { Button, IconButton } from "../parts/button.tsx";
import { CopyButton } from "../parts/copy-button.tsx";
import type { Turn, TurnPart } from "./fold-transcript.ts";
import { failureText } from "./run-failure.ts";
import { ToolLine } from "./tool-line.tsx";

type UserTurn = Extract<Turn, { kind: "user" }>;
type AssistantTurn = Extract<Turn, { kind: "assistant" }>;

/** What a reader may do with a turn. */
export interface TurnActions {
  onEdit: ((text: string) => void) | undefined;
  onAgain: (() => void) | undefined;
}

/** The bubble of a person's message. */
export function Bubble(props: { text: string; muted?: boolean; children?: ReactNode }) {
  return (
    <div className="flex justify-end">
      <div
        className={`quick max-w-[85%] rounded-large rounded-br-small bg-bubble px-4 py-2.5 text-l break-words whitespace-pre-wrap ${props.muted ? "opacity-60" : ""}`}
      >
        {props.text}
        {props.children}
      </div>
    </div>
  );
}

function Clock(props: { atMs: number }) {
  const formats = useFormats();
  if (!props.atMs) return null;
  const date = new Date(props.atMs);
  return (
    <time dateTime={date.toISOString()} title={formats.dayTime(date)} className="px-1 text-xs text-ink-3">
      {formats.moment(date)}
    </time>
  );
}

function UserView(props: { turn: UserTurn; actions: TurnActions }) {
  const { turn, actions } = props;
  const words = useWords();
  return (
    <article className="group grid grid-cols-1 gap-1">
      <h2 className="sr-only">{words.chat.you}</h2>
      <Bubble text={turn.text}>
        <FileNames names={turn.files.map((name) => ({ name }))} />
      </Bubble>
      <TurnBar end>
        <Clock atMs={turn.atMs} />
        <CopyButton text={turn.text} label={words.chat.copyMessage} />
        {actions.onEdit ? (
          <IconButton small label={words.chat.editAgain} onClick={() => actions.onEdit?.(turn.text)}>
            <PencilLine size={16} aria-hidden />
          </IconButton>
        ) : null}
      </TurnBar>
    </article>
  );
}

function TurnBar(props: { end?: boolean; shown?: boolean; children: ReactNode }) {
  return (
    <div
      className={`no-print quick flex h-8 items-center gap-0.5 group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100 ${props.shown ? "" : "opacity-0"} ${props.end ? "justify-end" : "-ml-2"}`}
    >
      {props.children}
    </div>
  );
}

/** The parts of an answer in reading order. */
export function Parts(props: { parts: readonly TurnPart[]; growing?: boolean }) {
  const words = useWords();
  return props.parts.map((part, index) => {
    const last = index === props.parts.length - 1;
    const key = part.kind === "tool" ? part.tool.id : `${part.kind}:${index}`;
    if (part.kind === "tool") return <ToolLine key={key} tool={part.tool} />;
    if (part.kind === "text")
      return <Markdown key={key} text={part.text} growing={props.growing === true && last} />;
    return (
      <details key={key} className="group/thought my-1 rounded-medium text-s text-ink-2">
        <summary className="quick flex min-h-9 list-none items-center gap-2 rounded-medium px-2 hover:bg-hover hover:text-ink [&::-webkit-details-marker]:hidden">
          <ChevronRight
            size={14}
            aria-hidden
            className="quick shrink-0 text-ink-3 group-open/thought:rotate-90"
          />
          {words.chat.thought}
        </summary>
        <p className="border-l-2 border-line-strong px-4 whitespace-pre-wrap">{part.text}</p>
      </details>
    );
  });
}

/** An answer that ended badly, and the way to ask again. */
export function RunFailure(props: { text: string; onAgain: (() => void) | undefined }) {
  const words = useWords();
  return (
    <div
      role="alert"
      className="flex flex-wrap items-start gap-3 rounded-medium border border-danger/30 bg-danger-soft p-3 text-s"
    >
      <CircleAlert size={18} aria-hidden className="mt-px shrink-0 text-danger" />
      <div className="grid min-w-48 flex-1 gap-1">
        <p className="font-semibold">{words.chat.runFailed}</p>
        <p className="break-words text-ink-2">{failureText(props.text, words)}</p>
      </div>
      {props.onAgain ? (
        <Button small onClick={props.onAgain}>
          {words.act.retry}
        </Button>
      ) : null}
    </div>
  );
}

/** The plain text of an answer, for the clipboard. */
function answerText(turn: AssistantTurn): string {
  return turn.parts
    .filter((part) => part.kind === "text")
    .map((part) => part.text)
    .join("\n\n");
}

function AssistantView(props: { turn: AssistantTurn; actions: TurnActions }) {
  const { turn, actions } = props;
  const words = useWords();
  return (
    <article className="group grid grid-cols-1 gap-2">
      <h2 className="sr-only">{words.chat.assistant}</h2>
      <Parts parts={turn.error ? turn.parts.filter((part) => part.kind === "tool") : turn.parts} />
      {turn.error ? <RunFailure text={turn.error} onAgain={actions.onAgain} /> : null}
      {turn.aborted ? <p className="text-s text-ink-3">{words.chat.stopped}</p> : null}
      <div className="flex flex-wrap items-center gap-2">
        {turn.provider === DEMO_PROVIDER ? (
          <Badge tone="willow" title={words.chat.demoHint}>
            {words.chat.demoBadge}
          </Badge>
        ) : null}
        <TurnBar shown={actions.onAgain !== undefined}>
          <CopyButton text={() => answerText(turn)} label={words.chat.copyMessage} />
          {actions.onAgain ? (
            <IconButton small label={words.chat.regenerate} onClick={actions.onAgain}>
              <RotateCcw size={16} aria-hidden />
            </IconButton>
          ) : null}
          <Clock atMs={turn.atMs} />
          {turn.model && turn.provider !== DEMO_PROVIDER ? (
            <span className="truncate px-1 text-xs text-ink-3">{`${turn.provider}/${turn.model}`}</span>
          ) : null}
        </TurnBar>
      </div>
    </article>
  );
}

function NoticeView(props: { turn: Extract<Turn, { kind: "notice" }> }) {
  const words = useWords();
  const { turn } = props;
  if (!turn.summary) return <p className="mx-auto max-w-lg text-center text-s text-ink-3">{turn.text}</p>;
  return (
    <details className="rounded-medium border border-line text-s text-ink-2">
      <summary className="px-4 py-2 text-center text-ink-3 hover:text-ink">{words.chat.summarized}</summary>
      <p className="px-4 pb-4 whitespace-pre-wrap">{turn.text}</p>
    </details>
  );
}

/** A turn; drawn again only when its signature or its actions change. */
export const TurnView = memo(
  function TurnView(props: { turn: Turn; actions: TurnActions }) {
    const { turn } = props;
    if (turn.kind === "user") return <UserView turn={turn} actions={props.actions} />;
    if (turn.kind === "assistant") return <AssistantView turn={turn} actions={props.actions} />;
    return <NoticeView turn={turn} />;
  },
  (before, after) =>
    before.turn.id === after.turn.id &&
    before.turn.signature === after.turn.signature &&
    before.actions.onAgain === after.actions.onAgain &&
    before.actions.onEdit === after.actions.onEdit,
);
