/** Messages the server has not taken yet. Owns: their looks and ways out. Refuses to know: how they are sent. */
import { FileNames } from "../composer/attachment-tray.tsx";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { Problem } from "../parts/states.tsx";
import type { Outgoing } from "./outgoing.ts";
import { Bubble } from "./turn-view.tsx";

interface OutgoingProps {
  item: Outgoing;
  behindRun: boolean;
  onRetry: () => void;
  onDiscard: () => void;
}

/** A greyed bubble until the server has it; the reason and two buttons when it refused. */
export function OutgoingView(props: OutgoingProps) {
  const { item } = props;
  const words = useWords();
  const note =
    item.state === "waiting"
      ? words.chat.waiting
      : item.state === "accepted" && props.behindRun
        ? words.chat.queued
        : item.state === "sending"
          ? words.chat.sending
          : undefined;
  return (
    <article className="grid grid-cols-1 gap-1">
      <h2 className="sr-only">{words.chat.you}</h2>
      <Bubble text={item.text} muted={item.state !== "accepted"}>
        <FileNames
          names={item.attachments.map((file) => ({ name: file.fileName, sizeBytes: file.sizeBytes }))}
        />
      </Bubble>
      {note ? <p className="px-1 text-right text-xs text-ink-3">{note}</p> : null}
      {item.state === "failed" ? (
        <div className="grid justify-items-end gap-2">
          <Problem compact title={words.chat.notSent} error={item.failure ?? new Error(words.chat.notSent)} />
          <div className="flex gap-2">
            <Button small tone="quiet" onClick={props.onDiscard}>
              {words.chat.discard}
            </Button>
            <Button small tone="primary" onClick={props.onRetry}>
              {words.act.retry}
            </Button>
          </div>
        </div>
      ) : null}
    </article>
  );
}
