/** The ways one signs in. Owns: their list, adding and taking away. Refuses to know: how providers work. */
import { Plus } from "lucide-react";
import { useState } from "react";
import { beginLink, type Identity, type OwnAccount, unlinkIdentity } from "../http/identity.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Badge } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { ConfirmDialog } from "../parts/dialog.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Problem } from "../parts/states.tsx";
import { ProviderIcon } from "../sign-in/provider-icon.tsx";
import { isStepUp, useStepUp } from "./step-up.tsx";

function IdentityLine(props: { identity: Identity; onUnlink: () => void }) {
  const words = useWords();
  const formats = useFormats();
  const { identity } = props;
  const day = (ms: number | null) => (ms === null ? words.time.never : formats.day(new Date(ms)));
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-2 px-4 py-3 sm:px-6">
      <ProviderIcon icon={identity.icon} />
      <div className="grid min-w-40 flex-1 grid-cols-1">
        <p className="flex flex-wrap items-center gap-2">
          <span className="text-m font-semibold">{identity.label}</span>
          {identity.upstream ? <Badge>{identity.upstream}</Badge> : null}
          {identity.emailVerified ? <Badge tone="accent">{words.account.confirmed}</Badge> : null}
        </p>
        <p className="text-xs break-words text-ink-3">
          {[identity.displayName, identity.email].filter(Boolean).join(" · ") || "–"}
        </p>
        <p className="text-xs text-ink-3">
          {words.account.identityFacts(day(identity.linkedAtMs), day(identity.lastUsedAtMs))}
        </p>
      </div>
      <Button small onClick={props.onUnlink}>
        {words.act.remove}
      </Button>
    </li>
  );
}

/** The ways to sign in. */
export function IdentityList(props: { own: OwnAccount; refresh: () => Promise<unknown> }) {
  const words = useWords();
  const guard = useStepUp();
  const [doomed, setDoomed] = useState<Identity>();
  const [failure, setFailure] = useState<Error>();
  const { own } = props;
  const add = (provider: string) => {
    setFailure(undefined);
    guard(() => beginLink(provider, "/account")).then(
      ({ redirect }) => location.assign(redirect),
      (error: unknown) => {
        // The dialog that asks for a fresh proof says enough.
        if (isStepUp(error)) return;
        setFailure(error instanceof Error ? error : new Error(String(error)));
      },
    );
  };
  return (
    <section className="grid gap-3">
      <h2 className="text-l font-semibold">{words.account.ways}</h2>
      {own.suggestions.map((suggestion) => (
        <p key={`${suggestion.provider}/${suggestion.email}`} className="text-s text-ink-2">
          {words.account.suggestion(suggestion.label, suggestion.email)}
        </p>
      ))}
      <Sheet>
        {own.identities.length === 0 ? (
          <p className="px-4 py-4 text-m text-ink-2 sm:px-6">{words.account.noIdentities}</p>
        ) : (
          <ul className="divide-y divide-line">
            {own.identities.map((identity) => (
              <IdentityLine key={identity.id} identity={identity} onUnlink={() => setDoomed(identity)} />
            ))}
          </ul>
        )}
      </Sheet>
      {failure ? <Problem compact title={words.account.linkFailed} error={failure} /> : null}
      <div className="flex flex-wrap gap-2">
        {own.linkable.map((provider) => (
          <Button key={provider.id} onClick={() => add(provider.id)}>
            <Plus size={16} aria-hidden />
            {own.identities.some((identity) => identity.provider === provider.id)
              ? words.account.addAnother(provider.label)
              : words.account.add(provider.label)}
          </Button>
        ))}
      </div>
      <ConfirmDialog
        open={doomed !== undefined}
        onClose={() => setDoomed(undefined)}
        title={words.account.unlinkTitle(doomed?.label ?? "")}
        what={words.account.unlinkWhat}
        action={words.act.remove}
        onConfirm={async () => {
          if (doomed) await guard(() => unlinkIdentity(doomed.id));
          await props.refresh();
        }}
      />
    </section>
  );
}
