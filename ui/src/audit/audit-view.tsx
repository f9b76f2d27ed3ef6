/** A log with filters, paging, checking and export. Owns: those. Refuses to know: whose log it is beyond its address. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { Download, ScrollText, ShieldCheck } from "lucide-react";
import { useState } from "react";
import {
  type AuditCheck,
  type AuditFilter,
  auditPath,
  exportAddress,
  listAudit,
  verifyAudit,
} from "../http/audit.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { SelectField, TextField } from "../parts/field.tsx";
import { Menu, MenuItem } from "../parts/menu.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Empty, Problem, Skeleton } from "../parts/states.tsx";
import { AuditLine } from "./audit-line.tsx";

const OUTCOMES = ["", "ok", "denied", "failed"] as const;

function dayStart(text: string): number | undefined {
  const ms = text === "" ? Number.NaN : new Date(`${text}T00:00:00`).getTime();
  return Number.isNaN(ms) ? undefined : ms;
}

interface Fields {
  action: string;
  actor: string;
  outcome: string;
  from: string;
  to: string;
}

const NO_FIELDS: Fields = { action: "", actor: "", outcome: "", from: "", to: "" };

function filterOf(fields: Fields): AuditFilter {
  const from = dayStart(fields.from);
  const to = dayStart(fields.to);
  return {
    ...(fields.action ? { action: fields.action } : {}),
    ...(fields.actor.trim() ? { actor: fields.actor.trim() } : {}),
    ...(fields.outcome ? { outcome: fields.outcome } : {}),
    ...(from === undefined ? {} : { from }),
    // The whole of the last day counts.
    ...(to === undefined ? {} : { to: to + 24 * 3600 * 1000 }),
  };
}

function Filters(props: { fields: Fields; onChange: (change: Partial<Fields>) => void }) {
  const words = useWords();
  const { fields, onChange } = props;
  return (
    <div className="grid grid-cols-2 gap-3 lg:grid-cols-5">
      <SelectField
        label={words.audit.action}
        value={fields.action}
        onChange={(event) => onChange({ action: event.target.value })}
      >
        <option value="">{words.audit.any}</option>
        {Object.entries(words.audit.actions).map(([action, name]) => (
          <option key={action} value={action}>
            {name}
          </option>
        ))}
      </SelectField>
      <SelectField
        label={words.audit.outcome}
        value={fields.outcome}
        onChange={(event) => onChange({ outcome: event.target.value })}
      >
        {OUTCOMES.map((outcome) => (
          <option key={outcome} value={outcome}>
            {outcome === "" ? words.audit.any : words.audit.outcomes[outcome]}
          </option>
        ))}
      </SelectField>
      <div className="col-span-2 lg:col-span-1">
        <TextField
          label={words.audit.actorId}
          value={fields.actor}
          maxLength={100}
          onChange={(event) => onChange({ actor: event.target.value })}
        />
      </div>
      <TextField
        type="date"
        label={words.audit.since}
        value={fields.from}
        onChange={(event) => onChange({ from: event.target.value })}
      />
      <TextField
        type="date"
        label={words.audit.until}
        value={fields.to}
        onChange={(event) => onChange({ to: event.target.value })}
      />
    </div>
  );
}

function Tools(props: { slug: string | null; filter: AuditFilter }) {
  const words = useWords();
  const [check, setCheck] = useState<AuditCheck | "busy" | Error>();
  const verify = () => {
    setCheck("busy");
    verifyAudit(props.slug).then(setCheck, (error: unknown) =>
      setCheck(error instanceof Error ? error : new Error(String(error))),
    );
  };
  const download = (address: string) => location.assign(address);
  return (
    <div className="grid gap-3">
      <div className="flex flex-wrap gap-2">
        <Button onClick={verify} disabled={check === "busy"}>
          <ShieldCheck size={18} aria-hidden />
          {check === "busy" ? words.audit.checking : words.audit.check}
        </Button>
        <Menu
          trigger={
            <Button>
              <Download size={18} aria-hidden />
              {words.audit.exportIt}
            </Button>
          }
        >
          <MenuItem onSelect={() => download(exportAddress(props.slug, "csv", props.filter))}>
            {words.audit.csv}
          </MenuItem>
          <MenuItem onSelect={() => download(exportAddress(props.slug, "jsonl", props.filter))}>
            {words.audit.jsonl}
          </MenuItem>
          {props.slug === null ? null : (
            <MenuItem onSelect={() => download(auditPath(props.slug, "/verifier"))}>
              {words.audit.verifier}
            </MenuItem>
          )}
        </Menu>
      </div>
      {check instanceof Error ? <Problem compact error={check} /> : null}
      {check !== undefined && check !== "busy" && !(check instanceof Error) ? (
        <p
          role="status"
          className={`rounded-medium p-3 text-s ${check.ok ? "bg-accent-soft text-accent" : "bg-danger-soft text-danger"}`}
        >
          {check.ok
            ? words.audit.whole(check.checked)
            : words.audit.broken(check.problem?.seq ?? 0, check.problem?.message ?? "")}
        </p>
      ) : null}
    </div>
  );
}

/** The log of a tenant, or of the platform when `slug` is null. */
export function AuditView(props: { slug: string | null }) {
  const words = useWords();
  const [fields, setFields] = useState<Fields>(NO_FIELDS);
  const filter = filterOf(fields);
  const log = useInfiniteQuery({
    queryKey: ["audit", props.slug, filter],
    queryFn: ({ pageParam }) => listAudit(props.slug, filter, pageParam),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });
  const events = log.data?.pages.flatMap((page) => page.events) ?? [];
  return (
    <div className="grid gap-4">
      <Filters fields={fields} onChange={(change) => setFields({ ...fields, ...change })} />
      <Tools slug={props.slug} filter={filter} />
      {log.isError ? (
        <Problem title={words.audit.failed} error={log.error} onRetry={() => void log.refetch()} />
      ) : log.isPending ? (
        <Skeleton lines={8} label={words.audit.title} />
      ) : events.length === 0 ? (
        <Sheet>
          <Empty
            icon={<ScrollText size={28} aria-hidden />}
            title={words.audit.empty}
            hint={words.audit.emptyHint}
          />
        </Sheet>
      ) : (
        <Sheet>
          <ul className="divide-y divide-line">
            {events.map((event) => (
              <AuditLine key={event.id} event={event} />
            ))}
          </ul>
        </Sheet>
      )}
      {log.hasNextPage ? (
        <div className="flex justify-center">
          <Button disabled={log.isFetchingNextPage} onClick={() => void log.fetchNextPage()}>
            {words.audit.older}
          </Button>
        </div>
      ) : null}
    </div>
  );
}
