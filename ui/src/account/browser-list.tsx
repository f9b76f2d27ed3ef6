/** Browsers one is signed in with. Owns: their list and ending them. Refuses to know: tenants. */
import { Globe } from "lucide-react";
import { useState } from "react";
import { endBrowser, endOtherBrowsers, type OpenBrowser } from "../http/identity.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Badge } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Problem } from "../parts/states.tsx";

/** Program and system out of a user agent, roughly; the full text is in the title. */
export function shortAgent(agent: string | null): string | null {
  if (agent === null) return null;
  const program = /(Edg|OPR|MicroMessenger|Firefox|Chrome|Safari)\/([\d]+)/.exec(agent);
  const system = /(Windows|Android|iPhone|iPad|Mac OS X|Linux)/.exec(agent);
  const names: Record<string, string> = { Edg: "Edge", OPR: "Opera", MicroMessenger: "WeChat" };
  const name = program?.[1] === undefined ? agent.slice(0, 40) : (names[program[1]] ?? program[1]);
  return system?.[1] === undefined ? name : `${name} · ${system[1].replace("Mac OS X", "macOS")}`;
}

/** Browsers that are signed in. */
export function BrowserList(props: { sessions: OpenBrowser[]; refresh: () => Promise<unknown> }) {
  const words = useWords();
  const formats = useFormats();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const act = async (work: () => Promise<unknown>) => {
    setBusy(true);
    setFailure(undefined);
    try {
      await work();
      await props.refresh();
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
    } finally {
      setBusy(false);
    }
  };
  const others = props.sessions.filter((session) => !session.isCurrent).length;
  return (
    <section className="grid gap-3">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <h2 className="text-l font-semibold">{words.account.browsers}</h2>
        {others > 0 ? (
          <Button small disabled={busy} onClick={() => void act(endOtherBrowsers)}>
            {words.account.endOthers}
          </Button>
        ) : null}
      </div>
      {failure ? <Problem compact error={failure} /> : null}
      <Sheet>
        <ul className="divide-y divide-line">
          {props.sessions.map((session) => (
            <li key={session.id} className="flex flex-wrap items-center gap-x-4 gap-y-2 px-4 py-3 sm:px-6">
              <Globe size={20} aria-hidden className="shrink-0 text-ink-3" />
              <div className="grid min-w-40 flex-1 grid-cols-1">
                <p className="flex flex-wrap items-center gap-2">
                  <span className="truncate text-m font-medium" title={session.agent ?? ""}>
                    {shortAgent(session.agent) ?? words.account.unknownBrowser}
                  </span>
                  {session.isCurrent ? <Badge tone="accent">{words.account.thisOne}</Badge> : null}
                </p>
                <p className="text-xs break-words text-ink-3">
                  {words.account.browserFacts(
                    session.address ?? "–",
                    formats.moment(new Date(session.lastSeenAtMs)),
                  )}
                </p>
              </div>
              {session.isCurrent ? null : (
                <Button small disabled={busy} onClick={() => void act(() => endBrowser(session.id))}>
                  {words.nav.signOut}
                </Button>
              )}
            </li>
          ))}
        </ul>
      </Sheet>
    </section>
  );
}
