/** Access tokens: list, make, revoke. Owns: the list. Refuses to know: what a token opens beyond its role. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { KeyRound, Plus } from "lucide-react";
import { useState } from "react";
import { useTenant } from "../gateway/tenant-context.tsx";
import { type AccessToken, listTokens, revokeToken } from "../http/tenant-settings.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Badge } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { ConfirmDialog } from "../parts/dialog.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Empty, Problem, Skeleton } from "../parts/states.tsx";
import { CreateTokenDialog } from "./create-token.tsx";

function tokenState(token: AccessToken, nowMs: number): "active" | "revoked" | "expired" {
  if (token.revokedAtMs !== null) return "revoked";
  return token.expiresAtMs !== null && token.expiresAtMs <= nowMs ? "expired" : "active";
}

function TokenLine(props: { token: AccessToken; onRevoke: () => void }) {
  const words = useWords();
  const formats = useFormats();
  const { token } = props;
  const state = tokenState(token, Date.now());
  const date = (ms: number | null, none: string) => (ms === null ? none : formats.day(new Date(ms)));
  const facts: [string, string][] = [
    [words.tokens.created, date(token.createdAtMs, "–")],
    [words.tokens.lastUsed, date(token.lastUsedAtMs, words.time.never)],
    [words.tokens.expiresAt, date(token.expiresAtMs, words.tokens.noExpiry)],
  ];
  return (
    <li className="flex flex-wrap items-center gap-x-6 gap-y-3 px-4 py-4 sm:px-6">
      <div className="grid min-w-48 flex-1 grid-cols-1 gap-1">
        <p className="flex flex-wrap items-center gap-2">
          <span className="min-w-0 truncate text-m font-semibold">{token.name}</span>
          <Badge>{words.role[token.role]}</Badge>
          {state === "active" ? null : <Badge tone="danger">{words.tokens[state]}</Badge>}
        </p>
        <p className="truncate font-mono text-xs text-ink-3">
          {[
            `${token.prefix}…${token.last4}`,
            token.userName,
            token.agents.join(" "),
            token.addresses.join(" "),
            token.lastAddress,
          ]
            .filter(Boolean)
            .join(" · ")}
        </p>
      </div>
      <dl className="flex flex-wrap gap-x-6 gap-y-2">
        {facts.map(([name, value]) => (
          <div key={name} className="grid sm:w-28">
            <dt className="text-xs text-ink-3">{name}</dt>
            <dd className="text-s">{value}</dd>
          </div>
        ))}
      </dl>
      <Button small disabled={state !== "active"} onClick={props.onRevoke}>
        {words.tokens.revoke}
      </Button>
    </li>
  );
}

/** The tokens tab. */
export function TokensTab() {
  const words = useWords();
  const { slug } = useTenant();
  const queries = useQueryClient();
  const [creating, setCreating] = useState(false);
  const [doomed, setDoomed] = useState<AccessToken>();
  const answer = useQuery({ queryKey: ["tenant", slug, "tokens"], queryFn: () => listTokens(slug) });
  const refresh = () => queries.invalidateQueries({ queryKey: ["tenant", slug, "tokens"] });
  const tokens = answer.data;
  return (
    <div className="grid grid-cols-1 gap-4">
      <div className="flex flex-wrap items-center justify-between gap-4">
        <p className="text-m text-ink-2">{words.tokens.subtitle}</p>
        <Button tone="primary" onClick={() => setCreating(true)}>
          <Plus size={18} aria-hidden />
          {words.tokens.create}
        </Button>
      </div>
      {answer.isError ? (
        <Problem title={words.tokens.failed} error={answer.error} onRetry={() => void answer.refetch()} />
      ) : !tokens ? (
        <Skeleton lines={5} label={words.settings.tokens} />
      ) : tokens.length === 0 ? (
        <Sheet>
          <Empty
            icon={<KeyRound size={28} aria-hidden />}
            title={words.tokens.empty}
            hint={words.tokens.emptyHint}
          />
        </Sheet>
      ) : (
        <Sheet>
          <ul className="divide-y divide-line">
            {tokens.map((token) => (
              <TokenLine key={token.id} token={token} onRevoke={() => setDoomed(token)} />
            ))}
          </ul>
        </Sheet>
      )}
      <CreateTokenDialog open={creating} onClose={() => setCreating(false)} onMade={() => void refresh()} />
      <ConfirmDialog
        open={doomed !== undefined}
        onClose={() => setDoomed(undefined)}
        title={words.tokens.revokeTitle(doomed?.name ?? "")}
        what={words.tokens.revokeWhat}
        action={words.tokens.revoke}
        onConfirm={async () => {
          if (doomed) await revokeToken(slug, doomed.id);
          await refresh();
        }}
      />
    </div>
  );
}
