/** Where usage is sent. Owns: the address, its secret, sending again. Refuses to know: what is sent. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTenant } from "../gateway/tenant-context.tsx";
import { findUsageExport, saveUsageExport, type UsageExport } from "../http/billing.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { SecretBox } from "../members/secret-box.tsx";
import { Button } from "../parts/button.tsx";
import { ConfirmDialog, Dialog } from "../parts/dialog.tsx";
import { TextField } from "../parts/field.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Problem, Skeleton } from "../parts/states.tsx";
import { useToast } from "../parts/toasts.tsx";
import { billingKey } from "./use-billing.ts";

type Change = Parameters<typeof saveUsageExport>[1];

/** Saves a change; a new secret is handed to `onSecret` and kept nowhere. */
function useChange(onSecret: (secret: string) => void) {
  const words = useWords();
  const toast = useToast();
  const queries = useQueryClient();
  const { slug } = useTenant();
  return useMutation({
    mutationFn: (change: Change) => saveUsageExport(slug, change),
    onSuccess: ({ secret, ...facts }) => {
      queries.setQueryData(billingKey(slug, "export"), facts);
      if (secret === null) toast(words.act.saved);
      else onSecret(secret);
    },
  });
}

function Standing({ facts }: { facts: UsageExport }) {
  const words = useWords();
  const formats = useFormats();
  const moment = (ms: number) => formats.moment(new Date(ms));
  const e = words.usageExport;
  const rows: [string, string][] = [
    [e.sent, formats.count(facts.cursor)],
    [e.newest, formats.count(facts.newest)],
    [e.lastSent, facts.lastSentAtMs === null ? words.time.never : moment(facts.lastSentAtMs)],
  ];
  if (facts.failures > 0) {
    rows.push([e.failures, formats.count(facts.failures)]);
    if (facts.nextAtMs !== null) rows.push([e.next, moment(facts.nextAtMs)]);
    if (facts.lastError !== null) rows.push([e.lastError, facts.lastError]);
  }
  return (
    <dl className="grid gap-x-8 gap-y-3 sm:grid-cols-3">
      {rows.map(([name, value]) => (
        <div key={name} className="grid">
          <dt className="text-s text-ink-2">{name}</dt>
          <dd className="text-m font-medium break-words">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function ResendForm(props: { newest: number; busy: boolean; onSend: (cursor: number) => void }) {
  const words = useWords();
  const [text, setText] = useState("");
  const cursor = /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  const ready = cursor !== undefined && cursor <= props.newest && !props.busy;
  return (
    <form
      className="grid max-w-md grid-cols-[1fr_auto] items-end gap-2"
      onSubmit={(event) => {
        event.preventDefault();
        if (ready) props.onSend(cursor);
      }}
    >
      <TextField
        label={words.usageExport.resend}
        inputMode="numeric"
        value={text}
        onChange={(event) => setText(event.target.value.trim())}
      />
      <Button type="submit" disabled={!ready}>
        {words.usageExport.resendAct}
      </Button>
    </form>
  );
}

function hostOf(url: string | null): string {
  return url === null ? "" : (URL.parse(url)?.host ?? url);
}

function Running(props: { facts: UsageExport; change: ReturnType<typeof useChange> }) {
  const words = useWords();
  const { facts, change } = props;
  const [stopping, setStopping] = useState(false);
  return (
    <>
      <Standing facts={facts} />
      <ResendForm
        newest={facts.newest}
        busy={change.isPending}
        onSend={(cursor) => change.mutate({ cursor })}
      />
      <div className="flex flex-wrap gap-2">
        <Button disabled={change.isPending} onClick={() => change.mutate({ renewSecret: true })}>
          {words.usageExport.renew}
        </Button>
        <Button tone="danger" onClick={() => setStopping(true)}>
          {words.usageExport.stop}
        </Button>
      </div>
      <ConfirmDialog
        open={stopping}
        onClose={() => setStopping(false)}
        title={words.usageExport.stop}
        what={words.usageExport.stopWhat(hostOf(facts.url))}
        action={words.usageExport.stop}
        onConfirm={() => change.mutateAsync({ url: null })}
      />
    </>
  );
}

function Settings({ facts }: { facts: UsageExport }) {
  const words = useWords();
  const [url, setUrl] = useState(facts.url ?? "");
  const [secret, setSecret] = useState<string>();
  const change = useChange(setSecret);
  const wanted = url.trim();
  const ready = /^https?:\/\/./.test(wanted) && wanted !== facts.url && !change.isPending;
  return (
    <Sheet className="grid gap-6 p-4 sm:p-6">
      <form
        className="grid gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (ready) change.mutate({ url: wanted });
        }}
      >
        <TextField
          type="url"
          label={words.usageExport.url}
          hint={words.usageExport.urlHint}
          placeholder="https://billing.example.com/usage"
          value={url}
          maxLength={2_000}
          onChange={(event) => setUrl(event.target.value)}
        />
        {change.isError ? <Problem compact error={change.error} /> : null}
        <div>
          <Button tone="primary" type="submit" disabled={!ready}>
            {facts.url === null ? words.usageExport.start : words.act.save}
          </Button>
        </div>
      </form>
      {facts.url === null ? null : <Running facts={facts} change={change} />}
      <Dialog
        open={secret !== undefined}
        onClose={() => setSecret(undefined)}
        title={words.usageExport.secretTitle}
        description={words.usageExport.secretHint}
      >
        {secret === undefined ? null : <SecretBox text={secret} />}
      </Dialog>
    </Sheet>
  );
}

/** The settings of the export. */
export function ExportTab() {
  const words = useWords();
  const { slug } = useTenant();
  const answer = useQuery({ queryKey: billingKey(slug, "export"), queryFn: () => findUsageExport(slug) });
  return (
    <>
      <p className="text-m text-ink-2">{words.usageExport.hint}</p>
      {answer.isError ? (
        <Problem error={answer.error} onRetry={() => void answer.refetch()} />
      ) : answer.isPending ? (
        <Skeleton lines={4} label={words.billing.export} />
      ) : (
        <Settings facts={answer.data} />
      )}
    </>
  );
}
