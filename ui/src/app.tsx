/** The doors of the Control UI: sign-in, the choice of organization, one organization. Owns: the top routes. Refuses to know: pages. */
import { useEffect } from "react";
import { Redirect, Route, Switch } from "wouter";
import { TenantProvider } from "./gateway/tenant-context.tsx";
import { type Account, useAccount } from "./http/account.ts";
import { useSpeech, useWords } from "./i18n/words-context.tsx";
import { Button } from "./parts/button.tsx";
import { Empty, Problem, Skeleton } from "./parts/states.tsx";
import { decodePart } from "./sessions/session-key.ts";
import { TenantShell } from "./shell/tenant-shell.tsx";
import { FrontDoor } from "./sign-in/front-door.tsx";
import { SignInPage } from "./sign-in/sign-in-page.tsx";
import { rememberTenant, TenantPicker } from "./sign-in/tenant-picker.tsx";

function TenantDoor(props: { slug: string; account: Account }) {
  const words = useWords();
  const tenant = props.account.tenants.find((other) => other.slug === props.slug);
  useEffect(() => {
    if (tenant) rememberTenant(tenant.slug);
  }, [tenant]);
  if (!tenant) {
    return (
      <FrontDoor>
        <Empty level={1} title={words.link.noTenantTitle} hint={words.link.noTenantHint(props.slug)}>
          <Button tone="primary" onClick={() => location.assign("/")}>
            {words.link.goHome}
          </Button>
        </Empty>
      </FrontDoor>
    );
  }
  return (
    <TenantProvider key={tenant.slug} tenant={tenant} account={props.account}>
      <TenantShell />
    </TenantProvider>
  );
}

/** Everything that needs to know who is signed in. */
function Inside() {
  const words = useWords();
  const { setLanguage } = useSpeech();
  const account = useAccount();
  const language = account.data?.user.language;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the person's stored language wins once, when it arrives
  useEffect(() => {
    if (language) setLanguage(language);
  }, [language]);
  if (account.isPending) {
    return (
      <FrontDoor>
        <Skeleton lines={3} label={words.link.connecting} />
      </FrontDoor>
    );
  }
  if (account.isError) {
    return (
      <FrontDoor>
        <h1 className="sr-only">{words.signIn.title}</h1>
        <Problem error={account.error} onRetry={() => void account.refetch()} />
      </FrontDoor>
    );
  }
  const known = account.data;
  if (!known) return <SignInPage token={undefined} />;
  return (
    <Switch>
      <Route path="/t/:slug" nest>
        {(params) => <TenantDoor slug={decodePart(params.slug)} account={known} />}
      </Route>
      <Route path="/">
        <TenantPicker account={known} />
      </Route>
      <Route>
        <Redirect to="/" />
      </Route>
    </Switch>
  );
}

/** The whole Control UI. */
export function App(props: { linkToken: string | undefined }) {
  return (
    <Switch>
      <Route path="/login">
        <SignInPage token={props.linkToken} />
      </Route>
      <Route>
        <Inside />
      </Route>
    </Switch>
  );
}
