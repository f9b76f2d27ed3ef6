/** One tool call, folded to a line. Owns: its verb, object and details. Refuses to know: how tools run. */
import {
  Bookmark,
  Brain,
  ChevronRight,
  FileText,
  FolderOpen,
  Globe,
  type LucideIcon,
  MessagesSquare,
  PencilLine,
  Search,
  SquareTerminal,
  Wrench,
} from "lucide-react";
import { memo } from "react";
import type { Words } from "../i18n/en.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { CopyButton } from "../parts/copy-button.tsx";
import type { ToolCall } from "./live-run.ts";

type Verb = Exclude<
  keyof Words["tool"],
  "other" | "running" | "failed" | "arguments" | "result" | "noResult" | "noArguments"
>;

/** First match wins; names differ between servers, so they are matched by the word inside them. */
const KINDS: readonly [RegExp, Verb, LucideIcon][] = [
  [/memory.*(append|write|add|save|store)|remember/, "remember", Bookmark],
  [/memory|recall/, "recall", Brain],
  [/session/, "sessions", MessagesSquare],
  [/fetch|browse|http|web/, "fetch", Globe],
  [/exec|shell|bash|command|terminal|process/, "shell", SquareTerminal],
  [/edit|patch|replace/, "edit", PencilLine],
  [/write|create|save/, "write", PencilLine],
  [/search|grep|find|glob/, "search", Search],
  [/list|^ls$|dir/, "list", FolderOpen],
  [/read|cat|view|open|get/, "read", FileText],
];

const OBJECT_FIELDS = [
  "path",
  "file",
  "file_path",
  "filePath",
  "url",
  "command",
  "cmd",
  "script",
  "query",
  "pattern",
  "text",
  "key",
  "name",
];

function objectOf(args: unknown): string {
  if (typeof args === "string") return args;
  if (!args || typeof args !== "object") return "";
  const fields = args as Record<string, unknown>;
  const name = OBJECT_FIELDS.find((field) => typeof fields[field] === "string" && fields[field]);
  return name ? String(fields[name]).replace(/\s+/g, " ").slice(0, 160) : "";
}

function argumentsText(args: unknown): string {
  if (args === undefined || args === null) return "";
  return typeof args === "string" ? args : JSON.stringify(args, null, 2);
}

function Detail(props: { title: string; text: string; empty: string }) {
  const words = useWords();
  return (
    <div className="grid grid-cols-1 gap-1">
      <div className="flex h-8 items-center justify-between">
        <p className="text-xs font-medium text-ink-3">{props.title}</p>
        {props.text ? <CopyButton text={props.text} label={words.act.copy} /> : null}
      </div>
      {props.text ? (
        <pre
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
          tabIndex={0}
          className="max-h-80 overflow-auto rounded-small bg-sunk p-3 font-mono text-xs leading-5 break-words whitespace-pre-wrap text-ink"
        >
          {props.text}
        </pre>
      ) : (
        <p className="text-s text-ink-3">{props.empty}</p>
      )}
    </div>
  );
}

/** The folded line; opening it shows arguments and result as plain text. */
export const ToolLine = memo(function ToolLine(props: { tool: ToolCall }) {
  const { tool } = props;
  const words = useWords();
  const formats = useFormats();
  const kind = KINDS.find(([pattern]) => pattern.test(tool.name.toLowerCase()));
  const Icon = kind?.[2] ?? Wrench;
  const verb = kind ? words.tool[kind[1]] : words.tool.other(tool.name);
  const failed = tool.status === "failed";
  return (
    <details className="group my-1 rounded-medium border border-transparent open:border-line open:bg-card">
      <summary className="quick flex min-h-9 list-none items-center gap-2 rounded-medium px-2 text-s text-ink-2 hover:bg-hover [&::-webkit-details-marker]:hidden">
        <ChevronRight size={14} aria-hidden className="quick shrink-0 text-ink-3 group-open:rotate-90" />
        <Icon size={16} aria-hidden className={`shrink-0 ${failed ? "text-danger" : "text-accent"}`} />
        <span className="shrink-0 font-medium">{verb}</span>
        <span className="min-w-0 truncate font-mono text-xs text-ink-3">{objectOf(tool.args)}</span>
        <span className="ml-auto flex shrink-0 items-center gap-2 pl-2 text-xs text-ink-3">
          {tool.status === "running" ? <Dots label={words.tool.running} /> : null}
          {failed ? <span className="font-medium text-danger">{words.tool.failed}</span> : null}
          {tool.durationMs !== undefined ? formats.span(tool.durationMs) : null}
        </span>
      </summary>
      <div className="grid grid-cols-1 gap-2 px-3 pb-3">
        <Detail
          title={`${tool.name} · ${words.tool.arguments}`}
          text={argumentsText(tool.args)}
          empty={words.tool.noArguments}
        />
        <Detail title={words.tool.result} text={tool.output ?? ""} empty={words.tool.noResult} />
      </div>
    </details>
  );
});

/** Three dots that breathe in turn while something is under way. */
export function Dots(props: { label: string }) {
  return (
    <span className="inline-flex items-center gap-1 text-accent" role="img" aria-label={props.label}>
      {[0, 1, 2].map((dot) => (
        <span
          key={dot}
          aria-hidden
          className="weave-dot size-1.5 rounded-full bg-current"
          style={{ animationDelay: `${dot * 160}ms` }}
        />
      ))}
    </span>
  );
}
