/** One calm line while the connection is away. Owns: its words and its button. Refuses to know: why it broke. */
import { CloudOff } from "lucide-react";
import { useEffect, useState } from "react";
import { useLink, useTenant } from "../gateway/tenant-context.tsx";
import { useWords } from "../i18n/words-context.tsx";

const PATIENCE_MS = 1_200;

/** Shown only when the link has been away for more than a moment. */
export function LinkBanner() {
  const words = useWords();
  const { connection } = useTenant();
  const { phase } = useLink();
  const [late, setLate] = useState(false);
  const away = phase === "reconnecting";
  useEffect(() => {
    if (!away) {
      setLate(false);
      return;
    }
    const timer = setTimeout(() => setLate(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [away]);
  return (
    <div role="status">
      {away && late ? (
        <div className="no-print flex min-h-9 items-center justify-center gap-3 bg-willow-soft px-4 py-1 text-s text-willow">
          <CloudOff size={16} aria-hidden className="shrink-0" />
          <span>{words.link.reconnecting}</span>
          <button
            type="button"
            className="shrink-0 font-semibold underline underline-offset-4"
            onClick={connection.retryNow}
          >
            {words.link.retryNow}
          </button>
        </div>
      ) : null}
    </div>
  );
}
