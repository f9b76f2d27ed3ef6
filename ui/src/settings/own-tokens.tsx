/** One's own tokens in the organization. Owns: the list and making one. Refuses to know: other people's tokens. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Plus } from "lucide-react";
import { useState } from "react";
import { useTenant } from "../gateway/tenant-context.tsx";
import { createOwnToken, listOwnTokens, type OwnToken, revokeOwnToken } from "../http/identity.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { SecretBox } from "../members/secret-box.tsx";
import { Button } from "../parts/button.tsx";
import { ConfirmDialog, Dialog } from "../parts/dialog.tsx";
import { TextField } from "../parts/field.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Problem, Skeleton } from "../parts/states.tsx";

const DAYS = 90;

function MakeDialog(props: { open: boolean; onClose: () => void; onMade: () => void }) {
  const words = useWords();
  const { slug, tenant } = useTenant();
  const [name, setName] = useState("");
  const [secret, setSecret] = useState<string>();
  const [failure, setFailure] = useState<Error>();
  const close = () => {
    setSecret(undefined);
    setName("");
    setFailure(undefined);
    props.onClose();
  };
  const submit = async () => {
    setFailure(undefined);
    try {
      const wish = { name: name.trim(), role: tenant.role, expiresInDays: DAYS };
      setSecret((await createOwnToken(slug, wish)).token);
      props.onMade();
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
    }
  };
  return (
    <Dialog
      open={props.open}
      onClose={close}
      title={secret ? words.tokens.madeTitle : words.ownTokens.create}
      description={secret ? words.tokens.madeHint : words.ownTokens.createHint(words.members.days(DAYS))}
    >
      {secret ? (
        <SecretBox text={secret} />
      ) : (
        <form
          className="grid gap-5"
          onSubmit={(event) => {
            event.preventDefault();
            if (name.trim()) void submit();
          }}
        >
          <TextField
            label={words.tokens.name}
            placeholder={words.tokens.namePlaceholder}
            value={name}
            maxLength={80}
            onChange={(event) => setName(event.target.value)}
          />
          {failure ? <Problem compact title={words.tokens.createFailed} error={failure} /> : null}
          <div className="flex justify-end gap-2">
            <Button onClick={close}>{words.act.cancel}</Button>
            <Button tone="primary" type="submit" disabled={!name.trim()}>
              {words.act.create}
            </Button>
          </div>
        </form>
      )}
    </Dialog>
  );
}

/** The sheet of one's own tokens. */
export function OwnTokens() {
  const words = useWords();
  const formats = useFormats();
  const { slug } = useTenant();
  const queries = useQueryClient();
  const [making, setMaking] = useState(false);
  const [doomed, setDoomed] = useState<OwnToken>();
  const key = ["tenant", slug, "own-tokens"];
  const answer = useQuery({ queryKey: key, queryFn: () => listOwnTokens(slug) });
  const refresh = () => queries.invalidateQueries({ queryKey: key });
  const live = (answer.data ?? []).filter((token) => token.revokedAtMs === null);
  return (
    <Sheet className="grid gap-3 p-4 sm:p-6">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <div className="grid gap-0.5">
          <h2 className="text-m font-semibold">{words.ownTokens.title}</h2>
          <p className="text-xs text-ink-3">{words.ownTokens.hint}</p>
        </div>
        <Button small onClick={() => setMaking(true)}>
          <Plus size={16} aria-hidden />
          {words.ownTokens.create}
        </Button>
      </div>
      {answer.isError ? <Problem compact error={answer.error} onRetry={() => void answer.refetch()} /> : null}
      {answer.isPending ? <Skeleton lines={2} label={words.ownTokens.title} /> : null}
      {live.length > 0 ? (
        <ul className="divide-y divide-line">
          {live.map((token) => (
            <li key={token.id} className="flex flex-wrap items-center gap-x-4 gap-y-1 py-2">
              <div className="grid min-w-40 flex-1 grid-cols-1">
                <p className="truncate text-m font-medium">{token.name}</p>
                <p className="truncate text-xs text-ink-3">
                  <span className="font-mono">{`${token.prefix}…${token.last4}`}</span>
                  {` · ${words.tokens.lastUsed}: ${token.lastUsedAtMs === null ? words.time.never : formats.day(new Date(token.lastUsedAtMs))}`}
                </p>
              </div>
              <Button small onClick={() => setDoomed(token)}>
                {words.tokens.revoke}
              </Button>
            </li>
          ))}
        </ul>
      ) : null}
      <MakeDialog open={making} onClose={() => setMaking(false)} onMade={() => void refresh()} />
      <ConfirmDialog
        open={doomed !== undefined}
        onClose={() => setDoomed(undefined)}
        title={words.tokens.revokeTitle(doomed?.name ?? "")}
        what={words.tokens.revokeWhat}
        action={words.tokens.revoke}
        onConfirm={async () => {
          if (doomed) await revokeOwnToken(slug, doomed.id);
          await refresh();
        }}
      />
    </Sheet>
  );
}
