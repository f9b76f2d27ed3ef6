/** Where a message is written. Owns: the draft, the keys, input methods. Refuses to know: how it is sent. */
import { ArrowUp, Square } from "lucide-react";
import {
  type KeyboardEvent,
  type ReactNode,
  type RefObject,
  useEffect,
  useLayoutEffect,
  useState,
} from "react";
import { loadDraft, saveDraft } from "../chat/outgoing.ts";
import { useWords } from "../i18n/words-context.tsx";
import { IconButton } from "../parts/button.tsx";
import { AttachButton, TrayView, useTray } from "./attachment-tray.tsx";
import type { Attachment } from "./attachments.ts";
import { CommandList, useCommandMatches } from "./command-list.tsx";

const MAX_CHARS = 100_000;
const MAX_HEIGHT_PX = 240;

interface ComposerProps {
  slug: string;
  sessionKey: string;
  agentName: string;
  agentId: string;
  mayWrite: boolean;
  busy: boolean;
  /** Words put into the composer from outside; a new object each time. */
  seed: { text: string } | undefined;
  fieldRef: RefObject<HTMLTextAreaElement | null>;
  onSend: (text: string, attachments: readonly Attachment[]) => void;
  onStop: () => void;
  children?: ReactNode;
}

/** Enter that ends an input-method composition is not a wish to send; old Safari reports it as key code 229. */
function isSendKey(event: KeyboardEvent<HTMLTextAreaElement>): boolean {
  if (event.key !== "Enter" || event.shiftKey || event.altKey) return false;
  return !event.nativeEvent.isComposing && event.nativeEvent.keyCode !== 229;
}

function useDraft(props: ComposerProps): [string, (text: string) => void] {
  const { slug, sessionKey, seed } = props;
  const [draft, setDraft] = useState(() => ({ sessionKey, text: loadDraft(slug, sessionKey) }));
  const current = draft.sessionKey === sessionKey ? draft : { sessionKey, text: loadDraft(slug, sessionKey) };
  if (current !== draft) setDraft(current);
  const write = (text: string) => {
    setDraft({ sessionKey, text });
    saveDraft(slug, sessionKey, text);
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: only a new seed may overwrite what was typed
  useEffect(() => {
    if (!seed) return;
    write(seed.text);
    props.fieldRef.current?.focus();
  }, [seed]);
  return [current.text, write];
}

function useGrowing(field: RefObject<HTMLTextAreaElement | null>, text: string): void {
  // biome-ignore lint/correctness/useExhaustiveDependencies: the height follows the text
  useLayoutEffect(() => {
    const element = field.current;
    if (!element) return;
    element.style.height = "auto";
    element.style.height = `${Math.min(element.scrollHeight, MAX_HEIGHT_PX)}px`;
  }, [field, text]);
}

function SendButton(props: { busy: boolean; empty: boolean; onSend: () => void; onStop: () => void }) {
  const words = useWords();
  if (props.busy && props.empty) {
    return (
      <IconButton
        label={words.chat.stop}
        hint={words.chat.stopHint}
        tone="danger"
        round
        onClick={props.onStop}
      >
        <Square size={14} fill="currentColor" aria-hidden />
      </IconButton>
    );
  }
  return (
    <>
      {props.busy ? (
        <IconButton label={words.chat.stop} hint={words.chat.stopHint} round onClick={props.onStop}>
          <Square size={14} fill="currentColor" aria-hidden />
        </IconButton>
      ) : null}
      <IconButton label={words.chat.send} tone="primary" round disabled={props.empty} onClick={props.onSend}>
        <ArrowUp size={20} aria-hidden />
      </IconButton>
    </>
  );
}

/** The composer of one session. */
export function Composer(props: ComposerProps) {
  const words = useWords();
  const [text, write] = useDraft(props);
  useGrowing(props.fieldRef, text);
  const commands = useCommandMatches(props.agentId, text);
  const tray = useTray();
  const tooLong = text.length > MAX_CHARS;
  const empty = !text.trim() && tray.items.length === 0;
  const send = () => {
    if (empty || tooLong || !props.mayWrite) return;
    write("");
    tray.clear();
    props.onSend(text.trim(), tray.items);
  };
  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (commands.onKeyDown(event, write)) return;
    if (isSendKey(event)) {
      event.preventDefault();
      send();
    }
  };
  return (
    <div className="no-print group/composer relative mx-auto w-full max-w-(--column) px-3 pb-[max(12px,env(safe-area-inset-bottom))] sm:px-6">
      <CommandList matches={commands} onPick={(command) => write(`${command} `)} />
      {/* biome-ignore lint/a11y/noStaticElementInteractions: dropping files has the button below as its equal */}
      <div
        className="quick rounded-huge border border-line-strong bg-card shadow-2 focus-within:border-accent"
        onDrop={tray.onDrop}
        onDragOver={(event) => event.preventDefault()}
      >
        <TrayView tray={tray} />
        <textarea
          ref={props.fieldRef}
          rows={1}
          value={text}
          disabled={!props.mayWrite}
          aria-label={words.chat.composer}
          aria-describedby="composer-hint"
          enterKeyHint="send"
          placeholder={
            props.mayWrite ? words.chat.placeholder(props.agentName) : words.chat.placeholderReadonly
          }
          className="block max-h-60 min-h-12 w-full resize-none rounded-t-huge bg-transparent px-5 pt-4 pb-1 text-[16px] leading-6 outline-none sm:text-l"
          onChange={(event) => write(event.target.value)}
          onKeyDown={onKeyDown}
          onPaste={tray.onPaste}
        />
        <div className="flex items-center gap-1 px-2 pb-2">
          {props.mayWrite ? <AttachButton tray={tray} /> : null}
          {props.children}
          <span className="flex-1" />
          <SendButton busy={props.busy} empty={empty} onSend={send} onStop={props.onStop} />
        </div>
      </div>
      <p id="composer-hint" className={tooLong ? "px-2 pt-1 text-xs text-danger" : "sr-only"}>
        {tooLong ? words.chat.tooLong(MAX_CHARS) : words.chat.enterHint}
      </p>
    </div>
  );
}
