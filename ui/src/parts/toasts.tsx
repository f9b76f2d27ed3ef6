/** Short messages at the edge of the page, with an optional way back. Owns: their queue. Refuses to know: what they say. */
import { X } from "lucide-react";
import { createContext, type ReactNode, useCallback, useContext, useMemo, useRef, useState } from "react";
import { useWords } from "../i18n/words-context.tsx";
import { IconButton } from "./button.tsx";

interface Toast {
  id: number;
  text: string;
  action: { label: string; run: () => void } | undefined;
}

type ShowToast = (text: string, action?: { label: string; run: () => void }) => void;

const SHOWN_MS = 6_000;
const ToastContext = createContext<ShowToast>(() => undefined);

/** Shows a toast for six seconds. */
export function useToast(): ShowToast {
  return useContext(ToastContext);
}

/** Holds the toasts of the page. */
export function ToastProvider(props: { children: ReactNode }) {
  const words = useWords();
  const [toasts, setToasts] = useState<Toast[]>([]);
  const nextId = useRef(1);
  const drop = useCallback((id: number) => setToasts((all) => all.filter((toast) => toast.id !== id)), []);
  const show = useCallback<ShowToast>(
    (text, action) => {
      const id = nextId.current;
      nextId.current += 1;
      setToasts((all) => [...all.slice(-2), { id, text, action }]);
      setTimeout(() => drop(id), SHOWN_MS);
    },
    [drop],
  );
  const value = useMemo(() => show, [show]);
  return (
    <ToastContext value={value}>
      {props.children}
      <div
        role="status"
        className="no-print pointer-events-none fixed inset-x-4 bottom-32 z-60 grid justify-items-center gap-2"
      >
        {toasts.map((toast) => (
          <div
            key={toast.id}
            className="rise pointer-events-auto flex max-w-md items-center gap-3 rounded-medium bg-ink py-1.5 pr-1.5 pl-4 text-m text-paper shadow-3"
          >
            <span className="min-w-0 truncate">{toast.text}</span>
            {toast.action ? (
              <button
                type="button"
                className="quick h-8 rounded-small px-2 font-semibold whitespace-nowrap underline underline-offset-4 focus-visible:outline-paper"
                onClick={() => {
                  toast.action?.run();
                  drop(toast.id);
                }}
              >
                {toast.action.label}
              </button>
            ) : null}
            <IconButton
              bare
              small
              label={words.act.dismiss}
              className="text-paper! hover:bg-transparent"
              onClick={() => drop(toast.id)}
            >
              <X size={16} aria-hidden />
            </IconButton>
          </div>
        ))}
      </div>
    </ToastContext>
  );
}
