/** The list of keys, and the keys that work everywhere. Owns: both, so that they agree. Refuses to know: pages. */
import { useEffect, useState } from "react";
import { useLocation } from "wouter";
import { useWords } from "../i18n/words-context.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { openPalette, SHORTCUTS_EVENT } from "./page-events.ts";

const APPLE = /Mac|iPhone|iPad/.test(navigator.platform);
const MOD = APPLE ? "⌘" : "Ctrl";

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable)
  );
}

/** Binds the keys of every page and shows their list on `?`. */
export function Shortcuts() {
  const words = useWords();
  const [open, setOpen] = useState(false);
  const [, navigate] = useLocation();
  useEffect(() => {
    const show = () => setOpen(true);
    const onKey = (event: KeyboardEvent) => {
      if (event.isComposing || event.defaultPrevented) return;
      const mod = APPLE ? event.metaKey : event.ctrlKey;
      if (mod && !event.shiftKey && event.key.toLowerCase() === "k") {
        event.preventDefault();
        openPalette();
      } else if (mod && event.shiftKey && event.key.toLowerCase() === "o") {
        event.preventDefault();
        navigate("/");
      } else if (event.key === "?" && !isTyping(event.target)) {
        event.preventDefault();
        show();
      }
    };
    window.addEventListener("keydown", onKey);
    window.addEventListener(SHORTCUTS_EVENT, show);
    return () => {
      window.removeEventListener("keydown", onKey);
      window.removeEventListener(SHORTCUTS_EVENT, show);
    };
  }, [navigate]);
  const rows: [string, string[]][] = [
    [words.keys.palette, [MOD, "K"]],
    [words.keys.newChat, [MOD, "Shift", "O"]],
    [words.keys.focus, ["/"]],
    [words.keys.send, ["Enter"]],
    [words.keys.newLine, ["Shift", "Enter"]],
    [words.keys.stop, ["Esc"]],
    [words.keys.help, ["?"]],
  ];
  return (
    <Dialog open={open} onClose={() => setOpen(false)} title={words.keys.title}>
      <dl className="grid gap-1">
        {rows.map(([name, keys]) => (
          <div key={name} className="flex min-h-9 items-center justify-between gap-4">
            <dt className="text-m">{name}</dt>
            <dd className="flex gap-1">
              {keys.map((key) => (
                <kbd
                  key={key}
                  className="min-w-7 rounded-small border border-line-strong bg-sunk px-2 py-0.5 text-center font-sans text-xs font-medium text-ink-2"
                >
                  {key}
                </kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
