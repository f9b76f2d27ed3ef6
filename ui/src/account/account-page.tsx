/** One's own account, in no organization: ways to sign in, browsers, name. Owns: the page. Refuses to know: tenants. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { ArrowLeft } from "lucide-react";
import { useState } from "react";
import { ACCOUNT_KEY, type Account, patchPerson } from "../http/account.ts";
import { findOwnAccount, type OwnAccount } from "../http/identity.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { TextField } from "../parts/field.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Problem, Skeleton } from "../parts/states.tsx";
import { useToast } from "../parts/toasts.tsx";
import { usePlainTitle } from "../shell/use-title.ts";
import { leaveAccount } from "../sign-in/leave.ts";
import { BrowserList } from "./browser-list.tsx";
import { IdentityList } from "./identity-list.tsx";

/** Query key of the own account. */
export const OWN_ACCOUNT_KEY = ["own-account"] as const;

function NameSheet(props: { name: string }) {
  const words = useWords();
  const toast = useToast();
  const queries = useQueryClient();
  const [name, setName] = useState(props.name);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const changed = name.trim() !== "" && name.trim() !== props.name;
  const save = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      await patchPerson({ displayName: name.trim() });
      await queries.invalidateQueries({ queryKey: ACCOUNT_KEY });
      await queries.invalidateQueries({ queryKey: OWN_ACCOUNT_KEY });
      toast(words.act.saved);
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Sheet className="p-4 sm:p-6">
      <form
        className="grid gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (changed && !busy) void save();
        }}
      >
        <TextField
          label={words.settings.displayName}
          hint={words.settings.displayNameHint}
          value={name}
          maxLength={80}
          onChange={(event) => setName(event.target.value)}
        />
        {failure ? <Problem compact title={words.settings.profileFailed} error={failure} /> : null}
        <div className="flex justify-end">
          <Button tone="primary" type="submit" disabled={!changed || busy}>
            {busy ? words.act.saving : words.act.save}
          </Button>
        </div>
      </form>
    </Sheet>
  );
}

function Parts(props: { own: OwnAccount; refresh: () => Promise<unknown> }) {
  return (
    <>
      <NameSheet name={props.own.user.displayName} />
      <IdentityList own={props.own} refresh={props.refresh} />
      <BrowserList sessions={props.own.sessions} refresh={props.refresh} />
    </>
  );
}

/** The account page. */
export default function AccountPage(props: { account: Account }) {
  const words = useWords();
  usePlainTitle(words.account.title);
  const queries = useQueryClient();
  const answer = useQuery({ queryKey: OWN_ACCOUNT_KEY, queryFn: findOwnAccount });
  const refresh = () => queries.invalidateQueries({ queryKey: OWN_ACCOUNT_KEY });
  return (
    <div className="h-dvh overflow-y-auto bg-paper">
      <main className="mx-auto grid max-w-2xl grid-cols-1 gap-6 px-4 pt-6 pb-16 sm:px-8 sm:pt-10">
        <a
          href="/"
          className="quick -ml-2 inline-flex h-10 w-fit items-center gap-2 rounded-medium px-2 text-m text-ink-2 hover:bg-hover hover:text-ink"
        >
          <ArrowLeft size={18} aria-hidden />
          {words.nav.allTenants}
        </a>
        <header className="flex flex-wrap items-end justify-between gap-4">
          <div className="grid gap-1">
            <h1 className="text-2xl font-semibold tracking-tight">{words.account.title}</h1>
            <p className="text-m text-ink-2">{words.signIn.signedInAs(props.account.user.displayName)}</p>
          </div>
          <Button onClick={() => void leaveAccount()}>{words.nav.signOut}</Button>
        </header>
        {answer.isError ? (
          <Problem title={words.account.failed} error={answer.error} onRetry={() => void answer.refetch()} />
        ) : answer.data ? (
          <Parts own={answer.data} refresh={refresh} />
        ) : (
          <Skeleton lines={6} label={words.account.title} />
        )}
      </main>
    </div>
  );
}
