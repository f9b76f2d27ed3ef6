/** Opening an invitation. Owns: looking at it, signing in for it, accepting it. Refuses to know: who invites, roles' meaning. */
import { useQuery } from "@tanstack/react-query";
import { MailOpen } from "lucide-react";
import { useEffect, useState } from "react";
import type { Account } from "../http/account.ts";
import { acceptInvitation, type InvitationLook, lookAtInvitation } from "../http/people.ts";
import { HttpFailure } from "../http/request.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { Empty, Problem, Skeleton } from "../parts/states.tsx";
import { forgetInvite } from "./address-words.ts";
import { FrontDoor } from "./front-door.tsx";
import { leaveAccount } from "./leave.ts";
import { SignInPage } from "./sign-in-page.tsx";

function Headline(props: { look: InvitationLook }) {
  const words = useWords();
  const formats = useFormats();
  const { look } = props;
  return (
    <div className="grid justify-items-center gap-2 text-center">
      <MailOpen size={28} aria-hidden className="text-accent" />
      <h1 className="text-xl font-semibold">{words.door.inviteTitle(look.tenantName)}</h1>
      <p className="text-m text-ink-2">
        {look.invitedBy === null
          ? words.door.inviteAs(words.role[look.role])
          : words.door.inviteBy(look.invitedBy, words.role[look.role])}
      </p>
      <p className="text-xs text-ink-3">{words.door.inviteUntil(formats.day(new Date(look.expiresAtMs)))}</p>
      {look.needs === "none" ? null : (
        <p className="rounded-medium bg-willow-soft px-3 py-2 text-s text-willow">
          {look.needs === "verified_email" ? words.door.needsEmail : words.door.needsIdentity}
        </p>
      )}
    </div>
  );
}

function Dead() {
  const words = useWords();
  useEffect(forgetInvite, []);
  return (
    <FrontDoor>
      <Empty level={1} title={words.door.inviteDeadTitle} hint={words.door.inviteDead}>
        <Button tone="primary" onClick={() => location.assign("/")}>
          {words.link.goHome}
        </Button>
      </Empty>
    </FrontDoor>
  );
}

/** Why joining did not work; the two usual reasons in words that fit an invitation. */
function Refusal(props: { failure: Error; isTied: boolean }) {
  const words = useWords();
  const code = props.failure instanceof HttpFailure ? props.failure.code : "";
  const known =
    code === "conflict"
      ? words.door.alreadyIn
      : code === "forbidden" && props.isTied
        ? words.door.notTheOne
        : "";
  if (known === "") return <Problem compact title={words.door.joinFailed} error={props.failure} />;
  return (
    <div role="alert" className="rounded-medium border border-danger/30 bg-danger-soft p-3 text-s">
      <p className="font-semibold">{words.door.joinFailed}</p>
      <p className="text-ink-2">{known}</p>
    </div>
  );
}

function AcceptForm(props: { secret: string; look: InvitationLook; account: Account }) {
  const words = useWords();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const accept = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      const { slug } = await acceptInvitation(props.secret);
      forgetInvite();
      location.assign(`/t/${encodeURIComponent(slug)}/`);
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
      setBusy(false);
    }
  };
  return (
    <div className="grid gap-5">
      <Headline look={props.look} />
      {failure ? <Refusal failure={failure} isTied={props.look.needs !== "none"} /> : null}
      <Button tone="primary" className="h-11 w-full text-l" disabled={busy} onClick={() => void accept()}>
        {busy ? words.door.joining : words.door.join(props.look.tenantName)}
      </Button>
      <p className="flex flex-wrap items-baseline justify-center gap-x-2 text-s text-ink-3">
        {words.signIn.signedInAs(props.account.user.displayName)}
        <button
          type="button"
          className="font-medium text-accent underline underline-offset-4"
          onClick={() => void leaveAccount()}
        >
          {words.door.otherAccount}
        </button>
      </p>
    </div>
  );
}

/** The page behind an invitation's link. */
export function JoinPage(props: { secret: string | undefined; account: Account | null }) {
  const words = useWords();
  const { secret } = props;
  const look = useQuery({
    queryKey: ["invitation", secret],
    queryFn: () => lookAtInvitation(secret ?? ""),
    enabled: secret !== undefined,
    staleTime: 60_000,
  });
  if (secret === undefined) return <Dead />;
  if (look.isPending) {
    return (
      <FrontDoor>
        <Skeleton lines={3} label={words.link.connecting} />
      </FrontDoor>
    );
  }
  if (look.isError) {
    if (look.error instanceof HttpFailure && look.error.code === "link_invalid") return <Dead />;
    return (
      <FrontDoor>
        <h1 className="sr-only">{words.door.inviteDeadTitle}</h1>
        <Problem error={look.error} onRetry={() => void look.refetch()} />
      </FrontDoor>
    );
  }
  if (props.account === null) {
    return <SignInPage returnTo="/join" intro={<Headline look={look.data} />} />;
  }
  return (
    <FrontDoor>
      <AcceptForm secret={secret} look={look.data} account={props.account} />
    </FrontDoor>
  );
}
