/** Slash commands offered while typing. Owns: matching and keyboard choice. Refuses to know: what a command does. */
import { type KeyboardEvent, useState } from "react";
import { useCall } from "../gateway/use-call.ts";
import { useWords } from "../i18n/words-context.tsx";

interface CommandRow {
  name: string;
  textAliases?: string[];
  description?: string;
}

interface Match {
  text: string;
  description: string;
}

/** The commands that fit what is typed, and the keys that choose one. */
export interface CommandMatches {
  matches: readonly Match[];
  active: number;
  onKeyDown: (event: KeyboardEvent, write: (text: string) => void) => boolean;
}

const SHOWN = 7;

/** Commands that fit a text beginning with a slash. */
export function useCommandMatches(agentId: string, text: string): CommandMatches {
  const words = useWords();
  const typing = /^\/\S*$/.test(text);
  const [active, setActive] = useState(0);
  const [closedFor, setClosedFor] = useState<string>();
  const { data } = useCall<{ commands: CommandRow[] }>(
    "commands.list",
    { agentId, scope: "text", includeArgs: false },
    typing,
  );
  const all = (data?.commands ?? []).map((command) => ({
    text: command.textAliases?.[0] ?? `/${command.name}`,
    description: words.chat.commandHints[command.name] ?? command.description ?? "",
  }));
  const wanted = text.toLowerCase();
  const matches =
    typing && closedFor !== text
      ? all.filter((match) => match.text.toLowerCase().startsWith(wanted)).slice(0, SHOWN)
      : [];
  const index = Math.min(active, Math.max(0, matches.length - 1));
  const onKeyDown = (event: KeyboardEvent, write: (text: string) => void): boolean => {
    const chosen = matches[index];
    if (!chosen || event.nativeEvent.isComposing) return false;
    if (event.key === "ArrowDown") setActive((index + 1) % matches.length);
    else if (event.key === "ArrowUp") setActive((index + matches.length - 1) % matches.length);
    else if (event.key === "Tab" || (event.key === "Enter" && chosen.text !== text)) write(`${chosen.text} `);
    else if (event.key === "Escape") setClosedFor(text);
    else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  };
  return { matches, active: index, onKeyDown };
}

/** The list above the composer. */
export function CommandList(props: { matches: CommandMatches; onPick: (command: string) => void }) {
  const words = useWords();
  const { matches, active } = props.matches;
  if (matches.length === 0) return null;
  return (
    <ul
      aria-label={words.chat.commands}
      className="rise absolute inset-x-3 hidden group-has-[textarea:focus]/composer:block bottom-full z-20 mb-2 rounded-medium border border-line bg-card p-1 shadow-3 sm:inset-x-6"
    >
      {matches.map((match, index) => (
        <li key={match.text}>
          <button
            type="button"
            tabIndex={-1}
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => props.onPick(match.text)}
            className={`flex min-h-9 w-full items-center gap-3 rounded-small px-3 text-left text-s ${index === active ? "bg-hover" : "hover:bg-hover"}`}
          >
            <span className="min-w-16 shrink-0 font-mono font-medium text-accent">{match.text}</span>
            <span className="truncate text-ink-2">{match.description}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}
