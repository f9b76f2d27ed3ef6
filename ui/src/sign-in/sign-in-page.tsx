/** Sign-in: at a provider, or with a one-time link. Owns: the page and its states. Refuses to know: sessions and tenants. */
import { type ReactNode, useState } from "react";
import { redeemLink } from "../http/account.ts";
import { HttpFailure } from "../http/request.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { Problem, Skeleton } from "../parts/states.tsx";
import { CommandLine, FrontDoor } from "./front-door.tsx";
import { ProviderButtons, returnPath, useSignInProviders } from "./provider-buttons.tsx";

function NeedLink(props: { invalid: boolean }) {
  const words = useWords();
  return (
    <div className="grid gap-4" role={props.invalid ? "alert" : undefined}>
      <h1 className="text-xl font-semibold">
        {props.invalid ? words.signIn.invalidTitle : words.signIn.noLinkTitle}
      </h1>
      <p className="text-m text-ink-2">{props.invalid ? words.signIn.invalid : words.signIn.noLink}</p>
      <CommandLine text="npx creel login-link" />
    </div>
  );
}

/** Why the last attempt at a provider came back without success. */
function ComeBack(props: { problem: string }) {
  const words = useWords();
  const hint = words.door.problems[props.problem] ?? words.door.problems["sign_in_failed"];
  return (
    <div role="alert" className="rounded-medium border border-danger/30 bg-danger-soft p-3 text-s">
      <p className="font-semibold">{words.signIn.failedTitle}</p>
      <p className="text-ink-2">{hint}</p>
    </div>
  );
}

/** Providers first, the one-time link folded below; without providers the link is all there is. */
function Ways(props: {
  problem: string | undefined;
  invalidLink: boolean;
  returnTo: string;
  intro?: ReactNode;
}) {
  const words = useWords();
  const answer = useSignInProviders();
  if (answer.isPending) return <Skeleton lines={3} label={words.link.connecting} />;
  const providers = answer.data?.providers ?? [];
  if (providers.length === 0) {
    return (
      <div className="grid gap-4">
        {props.intro}
        {props.problem ? <ComeBack problem={props.problem} /> : null}
        {answer.isError ? (
          <Problem compact error={answer.error} onRetry={() => void answer.refetch()} />
        ) : (
          <NeedLink invalid={props.invalidLink} />
        )}
      </div>
    );
  }
  return (
    <div className="grid gap-5">
      {props.intro ?? (
        <div className="grid gap-1 text-center">
          <h1 className="text-xl font-semibold">{words.signIn.title}</h1>
          <p className="text-m text-ink-2">{words.door.choose}</p>
        </div>
      )}
      {props.problem ? <ComeBack problem={props.problem} /> : null}
      {props.invalidLink ? (
        <p role="alert" className="rounded-medium bg-willow-soft p-3 text-s text-willow">
          {words.door.linkUsed}
        </p>
      ) : null}
      <ProviderButtons providers={providers} returnTo={props.returnTo} />
      <details className="text-s text-ink-2">
        <summary className="quick cursor-pointer rounded-small py-1 text-center hover:text-ink">
          {words.door.otherWay}
        </summary>
        <div className="grid gap-3 pt-3">
          <p>{words.signIn.noLink}</p>
          <CommandLine text="npx creel login-link" />
        </div>
      </details>
    </div>
  );
}

/** The link's own form; it posts only after a click, so that link previews cannot use the link up. */
function LinkForm(props: { token: string; onInvalid: () => void }) {
  const words = useWords();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const submit = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      const { redirect } = await redeemLink(props.token);
      // SECURITY: only a path on this origin; `//host` would leave it.
      location.assign(/^\/(?![/\\])/.test(redirect) ? redirect : "/");
    } catch (error) {
      if (error instanceof HttpFailure && (error.code === "link_invalid" || error.status === 401)) {
        props.onInvalid();
        return;
      }
      setFailure(error instanceof Error ? error : new Error(String(error)));
      setBusy(false);
    }
  };
  return (
    <form
      className="grid gap-5"
      onSubmit={(event) => {
        event.preventDefault();
        if (!busy) void submit();
      }}
    >
      <div className="grid gap-1 text-center">
        <h1 className="text-xl font-semibold">{words.signIn.title}</h1>
        <p className="text-m text-ink-2">{words.signIn.linkReady}</p>
      </div>
      {failure ? <Problem compact title={words.signIn.failedTitle} error={failure} /> : null}
      <Button tone="primary" type="submit" disabled={busy} className="h-11 w-full text-l">
        {busy ? words.signIn.working : words.signIn.button}
      </Button>
    </form>
  );
}

interface SignInProps {
  token?: string | undefined;
  problem?: string | undefined;
  /** Where to go after signing in. */
  returnTo?: string | undefined;
  /** Says why one has to sign in, above the ways to do it. */
  intro?: ReactNode;
}

/** The sign-in page. */
export function SignInPage(props: SignInProps) {
  const [invalidLink, setInvalidLink] = useState(false);
  return (
    <FrontDoor>
      {props.token !== undefined && !invalidLink ? (
        <LinkForm token={props.token} onInvalid={() => setInvalidLink(true)} />
      ) : (
        <Ways
          problem={props.problem}
          invalidLink={invalidLink}
          returnTo={props.returnTo ?? returnPath("/")}
          intro={props.intro}
        />
      )}
    </FrontDoor>
  );
}
