/** Sign-in by one-time link. Owns: the link token from the address. Refuses to know: sessions and tenants. */
import { useState } from "react";
import { redeemLink } from "../http/account.ts";
import { HttpFailure } from "../http/request.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { Problem } from "../parts/states.tsx";
import { CommandLine, FrontDoor } from "./front-door.tsx";

/**
 * Reads the link token from `#link=…` and takes it out of the address bar and the history at once.
 * Called once, before the first render.
 */
export function takeLinkToken(): string | undefined {
  const match = /^#link=([^&]+)$/.exec(location.hash);
  if (!match?.[1]) return undefined;
  // SECURITY: before anything else runs, so that the token is never in a screenshot, a referrer or the history.
  history.replaceState(null, "", location.pathname);
  try {
    return decodeURIComponent(match[1]);
  } catch {
    return match[1];
  }
}

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

/** The sign-in page; it posts only after a click, so that link previews cannot use the link up. */
export function SignInPage(props: { token: string | undefined }) {
  const words = useWords();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const { token } = props;
  const invalid =
    failure instanceof HttpFailure && (failure.code === "link_invalid" || failure.status === 401);
  if (!token || invalid) {
    return (
      <FrontDoor>
        <NeedLink invalid={invalid} />
      </FrontDoor>
    );
  }
  const submit = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      const { redirect } = await redeemLink(token);
      // SECURITY: only a path on this origin; `//host` would leave it.
      location.assign(/^\/(?![/\\])/.test(redirect) ? redirect : "/");
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
      setBusy(false);
    }
  };
  return (
    <FrontDoor>
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
    </FrontDoor>
  );
}
