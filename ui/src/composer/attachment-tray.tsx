/** The files beside the words being written. Owns: the tray, paste, drop and pick. Refuses to know: how they are sent. */
import { FileText, Paperclip, X } from "lucide-react";
import { type ClipboardEvent, type DragEvent, useRef, useState } from "react";
import { useLink } from "../gateway/tenant-context.tsx";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { IconButton } from "../parts/button.tsx";
import { type Attachment, attachmentLimits, type Refusal, takeFiles } from "./attachments.ts";

/** The tray and the ways into it. */
export interface Tray {
  items: readonly Attachment[];
  refused: readonly Refusal[];
  add: (files: readonly File[]) => void;
  remove: (id: string) => void;
  clear: () => void;
  onPaste: (event: ClipboardEvent) => void;
  onDrop: (event: DragEvent) => void;
}

/** A tray that keeps within the server's bounds. */
export function useTray(): Tray {
  const { maxPayloadBytes } = useLink();
  const [items, setItems] = useState<readonly Attachment[]>([]);
  const [refused, setRefused] = useState<readonly Refusal[]>([]);
  const add = (files: readonly File[]) => {
    void takeFiles(files, items, attachmentLimits(maxPayloadBytes)).then((outcome) => {
      setItems((before) => [...before, ...outcome.taken]);
      setRefused(outcome.refused);
    });
  };
  const addFrom = (event: ClipboardEvent | DragEvent, list: FileList | undefined) => {
    if (!list || list.length === 0) return;
    event.preventDefault();
    add([...list]);
  };
  return {
    items,
    refused,
    add,
    remove: (id) => setItems((before) => before.filter((item) => item.id !== id)),
    clear: () => {
      setItems([]);
      setRefused([]);
    },
    onPaste: (event) => addFrom(event, event.clipboardData?.files),
    onDrop: (event) => addFrom(event, event.dataTransfer?.files),
  };
}

function Chip(props: { item: Attachment; onRemove: () => void }) {
  const words = useWords();
  const { item } = props;
  return (
    <li className="flex h-12 max-w-56 items-center gap-2 rounded-medium border border-line bg-paper pr-1 pl-1.5">
      {item.type === "image" ? (
        <img
          src={`data:${item.mimeType};base64,${item.content}`}
          alt=""
          className="size-9 rounded-small object-cover"
        />
      ) : (
        <FileText size={18} aria-hidden className="mx-1.5 shrink-0 text-ink-3" />
      )}
      <span className="min-w-0 truncate text-s">{item.fileName}</span>
      <IconButton bare small label={words.chat.removeFile(item.fileName)} onClick={props.onRemove}>
        <X size={14} aria-hidden />
      </IconButton>
    </li>
  );
}

/** The files in the tray, and why some were not taken. */
export function TrayView(props: { tray: Tray }) {
  const words = useWords();
  const { tray } = props;
  return (
    <>
      {tray.items.length > 0 ? (
        <ul aria-label={words.chat.files} className="flex flex-wrap gap-2 px-4 pt-3">
          {tray.items.map((item) => (
            <Chip key={item.id} item={item} onRemove={() => tray.remove(item.id)} />
          ))}
        </ul>
      ) : null}
      {tray.refused.length > 0 ? (
        <ul role="alert" className="grid gap-1 px-5 pt-3 text-s text-danger">
          {tray.refused.map((refusal, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: two files may bear one name
            <li key={index}>{words.chat.refused[refusal.reason](refusal.fileName)}</li>
          ))}
        </ul>
      ) : null}
    </>
  );
}

/** The button that picks files. */
export function AttachButton(props: { tray: Tray }) {
  const words = useWords();
  const picker = useRef<HTMLInputElement | null>(null);
  return (
    <>
      <IconButton label={words.chat.attach} className="size-9!" onClick={() => picker.current?.click()}>
        <Paperclip size={18} aria-hidden />
      </IconButton>
      <input
        ref={picker}
        type="file"
        multiple
        hidden
        aria-hidden
        tabIndex={-1}
        onChange={(event) => {
          props.tray.add([...(event.target.files ?? [])]);
          event.target.value = "";
        }}
      />
    </>
  );
}

/** Names of the files of a message that is on its way or sent. */
export function FileNames(props: { names: readonly { name: string; sizeBytes?: number }[] }) {
  const formats = useFormats();
  if (props.names.length === 0) return null;
  return (
    <ul className="mt-2 flex flex-wrap gap-2">
      {props.names.map((file, index) => (
        <li
          // biome-ignore lint/suspicious/noArrayIndexKey: two files may bear one name
          key={index}
          className="inline-flex min-h-7 max-w-full items-center gap-1.5 rounded-small bg-card/60 px-2 text-s text-ink-2"
        >
          <FileText size={14} aria-hidden className="shrink-0" />
          <span className="truncate">{file.name}</span>
          {file.sizeBytes ? (
            <span className="text-xs text-ink-3">{formats.bytes(file.sizeBytes)}</span>
          ) : null}
        </li>
      ))}
    </ul>
  );
}
