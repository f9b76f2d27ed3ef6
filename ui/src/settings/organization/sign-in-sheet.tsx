/** The organization's own sign-in: none yet, or what is set. Owns: the sheet and what is asked before it goes. Refuses to know: the form. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useFreshProof, useStepUp } from "../../account/step-up.tsx";
import { useTenant } from "../../gateway/tenant-context.tsx";
import { findOwnSignIn, type OwnSignIn, removeOwnSignIn } from "../../http/sign-in-provider.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Button } from "../../parts/button.tsx";
import { CopyButton } from "../../parts/copy-button.tsx";
import { ConfirmDialog, Dialog } from "../../parts/dialog.tsx";
import { Sheet } from "../../parts/page-frame.tsx";
import { Problem, Skeleton } from "../../parts/states.tsx";
import { ProviderIcon } from "../../sign-in/provider-icon.tsx";
import { SignInForm } from "./sign-in-form.tsx";

function Address(props: { name: string; text: string }) {
  const words = useWords();
  return (
    <div className="grid gap-0.5">
      <dt className="text-xs text-ink-3">{props.name}</dt>
      <dd className="flex items-center gap-2">
        <span className="min-w-0 flex-1 font-mono text-xs break-all">{props.text}</span>
        <CopyButton text={props.text} label={words.ownSignIn.copyIt(props.name)} />
      </dd>
    </div>
  );
}

function Known(props: { provider: OwnSignIn; onChange: () => void; onRemove: () => void }) {
  const words = useWords();
  const { provider } = props;
  const role = provider.defaultRole;
  return (
    <div className="grid gap-4">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-3">
        <ProviderIcon icon={provider.icon} />
        <div className="grid min-w-40 flex-1 grid-cols-1">
          <p className="text-m font-semibold">{provider.label}</p>
          <p className="font-mono text-xs break-all text-ink-3">{`${provider.issuer} · ${provider.clientId}`}</p>
          <p className="text-xs text-ink-3">
            {`${words.ownSignIn.defaultRole}: ${role === null ? words.ownSignIn.onlyInvited : words.ownSignIn.becomes(words.role[role])}`}
          </p>
        </div>
        <div className="flex gap-2">
          <Button small onClick={props.onChange}>
            {words.ownSignIn.change}
          </Button>
          <Button small onClick={props.onRemove}>
            {words.act.remove}
          </Button>
        </div>
      </div>
      <dl className="grid gap-3 rounded-medium bg-sunk p-3">
        <Address name={words.ownSignIn.startLink} text={provider.startLink} />
      </dl>
      <div className="grid gap-2">
        <h3 className="text-s font-medium text-ink-2">{words.ownSignIn.register}</h3>
        <dl className="grid gap-3 rounded-medium bg-sunk p-3">
          <Address name={words.ownSignIn.redirectUri} text={provider.redirectUri} />
          <Address name={words.ownSignIn.backchannel} text={provider.backchannelLogoutUri} />
          <Address name={words.ownSignIn.postLogout} text={provider.postLogoutRedirectUri} />
        </dl>
      </div>
    </div>
  );
}

/** The sheet; for owners. */
export function SignInSheet() {
  const words = useWords();
  const guard = useStepUp();
  const isFresh = useFreshProof();
  const { slug, account } = useTenant();
  const queries = useQueryClient();
  const [editing, setEditing] = useState(false);
  const [removing, setRemoving] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const key = ["tenant", slug, "sign-in-provider"];
  const answer = useQuery({ queryKey: key, queryFn: () => findOwnSignIn(slug) });
  const refresh = () => queries.invalidateQueries({ queryKey: key });
  // Signing in once more leaves the page; it is asked for before anything is typed.
  const edit = () => isFresh(account.authAtMs) && setEditing(true);
  const saved = (found: string | null) => {
    setProblem(found);
    setEditing(false);
    void refresh();
  };
  const provider = answer.data;
  return (
    <Sheet className="grid grid-cols-1 gap-4 p-4 sm:p-6">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <div className="grid min-w-48 flex-1 gap-0.5">
          <h2 className="text-m font-semibold">{words.ownSignIn.title}</h2>
          <p className="text-xs text-ink-3">{words.ownSignIn.hint}</p>
        </div>
        {provider === null ? <Button onClick={edit}>{words.ownSignIn.setUp}</Button> : null}
      </div>
      {answer.isError ? <Problem compact error={answer.error} onRetry={() => void answer.refetch()} /> : null}
      {answer.isPending ? <Skeleton lines={2} label={words.ownSignIn.title} /> : null}
      {problem === null ? null : (
        <Problem compact title={words.ownSignIn.problem} error={new Error(problem)} />
      )}
      {provider ? <Known provider={provider} onChange={edit} onRemove={() => setRemoving(true)} /> : null}
      <Dialog wide open={editing} onClose={() => setEditing(false)} title={words.ownSignIn.title}>
        <SignInForm known={provider ?? null} onClose={() => setEditing(false)} onSaved={saved} />
      </Dialog>
      <ConfirmDialog
        open={removing}
        onClose={() => setRemoving(false)}
        title={words.ownSignIn.removeTitle}
        what={words.ownSignIn.removeWhat}
        action={words.act.remove}
        onConfirm={async () => {
          await guard(() => removeOwnSignIn(slug));
          setProblem(null);
          await refresh();
        }}
      />
    </Sheet>
  );
}
