/** Copies a text. Owns: the clipboard and its feedback. Refuses to know: the text. */
import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { useWords } from "../i18n/words-context.tsx";
import { IconButton } from "./button.tsx";

async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Plain-http origins have no clipboard object; a hidden field still works there.
  const field = document.createElement("textarea");
  field.value = text;
  field.setAttribute("readonly", "");
  field.style.position = "fixed";
  field.style.opacity = "0";
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

/** A small button that copies and says so for two seconds. */
export function CopyButton(props: { text: string | (() => string); label: string; className?: string }) {
  const words = useWords();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 2_000);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = () => {
    const text = typeof props.text === "string" ? props.text : props.text();
    copyText(text).then(
      () => setCopied(true),
      () => undefined,
    );
  };
  return (
    <IconButton
      small
      label={copied ? words.act.copied : props.label}
      className={props.className ?? ""}
      onClick={copy}
    >
      {copied ? <Check size={16} aria-hidden /> : <Copy size={16} aria-hidden />}
    </IconButton>
  );
}
