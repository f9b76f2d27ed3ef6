/** The doors of the Control UI: sign-in, the choice of organization, one organization. Owns: the top routes. Refuses to know: pages. */
import { useEffect } from "react";
import { Redirect, Route, Switch } from "wouter";
import { useAccount } from "./http/account.ts";
import { useSpeech, useWords } from "./i18n/words-context.tsx";
import { onDemand } from "./parts/on-demand.tsx";
import { Problem, Skeleton } from "./parts/states.tsx";
import { decodePart } from "./sessions/session-key.ts";
import type { AddressWords } from "./sign-in/address-words.ts";
import { FrontDoor } from "./sign-in/front-door.tsx";
import { JoinPage } from "./sign-in/join-page.tsx";
import { AskToJoinPage, NewTenantPage } from "./sign-in/new-tenant-page.tsx";
import { SignInPage } from "./sign-in/sign-in-page.tsx";
import { TenantDoor } from "./sign-in/tenant-door.tsx";
import { TenantPicker } from "./sign-in/tenant-picker.tsx";

const AccountPage = onDemand(() => import("./account/account-page.tsx"));
const OperatorShell = onDemand(() => import("./operator/operator-shell.tsx"));

/** Everything that needs to know who is signed in. */
function Inside(props: { invite: string | undefined }) {
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
  if (location.pathname === "/join") return <JoinPage secret={props.invite} account={known} />;
  if (!known) return <SignInPage returnTo={`${location.pathname}${location.search}`} />;
  return (
    <Switch>
      <Route path="/t/:slug" nest>
        {(params) => <TenantDoor slug={decodePart(params.slug)} account={known} />}
      </Route>
      <Route path="/">
        <TenantPicker account={known} />
      </Route>
      <Route path="/new">
        <NewTenantPage allowed={known.canCreateTenant} />
      </Route>
      <Route path="/account">
        <AccountPage account={known} />
      </Route>
      <Route path="/operator" nest>
        <OperatorShell account={known} />
      </Route>
      <Route path="/ask">
        <AskToJoinPage />
      </Route>
      <Route>
        <Redirect to="/" />
      </Route>
    </Switch>
  );
}

/** The whole Control UI. */
export function App(props: { address: AddressWords }) {
  return (
    <Switch>
      <Route path="/login">
        <SignInPage
          token={props.address.link}
          problem={props.address.problem}
          returnTo={props.address.invite === undefined ? undefined : "/join"}
        />
      </Route>
      <Route>
        <Inside invite={props.address.invite} />
      </Route>
    </Switch>
  );
}
