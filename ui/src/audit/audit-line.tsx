/** One line of the log, folded open on demand. Owns: its looks. Refuses to know: filters, paging. */
import { ChevronRight, ShieldAlert, ShieldCheck, ShieldX } from "lucide-react";
import { useState } from "react";
import type { AuditEvent } from "../http/audit.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Badge } from "../parts/badge.tsx";
import { actionWords, detailPairs, targetWords } from "./audit-words.ts";

function OutcomeMark(props: { outcome: AuditEvent["outcome"] }) {
  const looks = { size: 18, "aria-hidden": true } as const;
  if (props.outcome === "ok") return <ShieldCheck {...looks} className="shrink-0 text-good" />;
  if (props.outcome === "denied") return <ShieldX {...looks} className="shrink-0 text-danger" />;
  return <ShieldAlert {...looks} className="shrink-0 text-willow" />;
}

function Facts(props: { event: AuditEvent }) {
  const words = useWords();
  const formats = useFormats();
  const { event } = props;
  const pairs: [string, string][] = [
    [words.audit.number, String(event.seq)],
    [words.audit.action, event.action],
    [words.audit.who, `${event.actor.name} (${event.actor.kind} ${event.actor.id})`],
    ...(event.actor.address ? [[words.audit.from, event.actor.address] as [string, string]] : []),
    ...(event.target
      ? [[words.audit.on, `${event.target.kind} ${event.target.id}`] as [string, string]]
      : []),
    ...detailPairs(event.details, formats.dayTime),
    [words.audit.hash, event.hash],
  ];
  return (
    <dl className="grid gap-x-6 gap-y-1 rounded-medium bg-sunk p-3 text-xs sm:grid-cols-[max-content_1fr]">
      {pairs.map(([name, value]) => (
        <div key={name} className="contents">
          <dt className="text-ink-3">{name}</dt>
          <dd className="min-w-0 font-mono break-all text-ink-2">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A line of the log. */
export function AuditLine(props: { event: AuditEvent }) {
  const words = useWords();
  const formats = useFormats();
  const [open, setOpen] = useState(false);
  const { event } = props;
  const target = targetWords(event);
  return (
    <li className="grid gap-2 px-4 py-2 sm:px-6">
      <button
        type="button"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        className="quick -mx-2 flex min-h-11 items-center gap-3 rounded-medium px-2 text-left hover:bg-hover"
      >
        <OutcomeMark outcome={event.outcome} />
        <span className="grid min-w-0 flex-1 sm:grid-cols-[1fr_auto] sm:items-center sm:gap-4">
          <span className="min-w-0">
            <span className="block break-words text-m sm:truncate">
              <span className="font-semibold">{event.actor.name}</span>
              <span className="text-ink-2">{` · ${actionWords(event.action, words)}`}</span>
              {target ? <span className="font-medium">{` · ${target}`}</span> : null}
            </span>
          </span>
          <span className="flex items-center gap-2 text-xs text-ink-3">
            {event.outcome === "ok" ? null : (
              <Badge tone="danger">{words.audit.outcomes[event.outcome]}</Badge>
            )}
            <time dateTime={new Date(event.atMs).toISOString()} className="whitespace-nowrap">
              {formats.dayTime(new Date(event.atMs))}
            </time>
          </span>
        </span>
        <ChevronRight
          size={16}
          aria-hidden
          className={`shrink-0 text-ink-3 transition-transform ${open ? "rotate-90" : ""}`}
        />
      </button>
      {open ? <Facts event={event} /> : null}
    </li>
  );
}
