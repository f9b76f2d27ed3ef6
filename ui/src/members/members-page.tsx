/** The people of the organization. Owns: the lists and what is asked before an act. Refuses to know: the server's rules. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Bot, UserPlus } from "lucide-react";
import { useState } from "react";
import { useStepUp } from "../account/step-up.tsx";
import { useTenant } from "../gateway/tenant-context.tsx";
import { ACCOUNT_KEY, type Role } from "../http/account.ts";
import {
  acceptOwnership,
  approveJoinRequest,
  changeRole,
  listPeople,
  type Member,
  offerOwnership,
  type People,
  refuseJoinRequest,
  refuseOwnership,
  removeMember,
  revokeInvitation,
  signMemberOut,
} from "../http/people.ts";
import { HttpFailure } from "../http/request.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { ConfirmDialog } from "../parts/dialog.tsx";
import { PageFrame, Sheet } from "../parts/page-frame.tsx";
import { Problem, Skeleton } from "../parts/states.tsx";
import { useToast } from "../parts/toasts.tsx";
import { InviteDialog, type MakeKind } from "./invite-dialog.tsx";
import { type MemberAct, MemberLine } from "./member-line.tsx";
import { InvitationList, JoinRequestList, OfferList } from "./pending-lists.tsx";
import { weakerRole } from "./role-field.tsx";

interface Doomed {
  member: Member;
  act: MemberAct;
}

/** Asks before somebody loses something. */
function ActDialog(props: {
  doomed: Doomed | undefined;
  onClose: () => void;
  onDone: () => Promise<unknown>;
}) {
  const words = useWords();
  const guard = useStepUp();
  const { slug } = useTenant();
  const { doomed } = props;
  const name = doomed?.member.displayName ?? "";
  const texts = words.members.ask[doomed?.act ?? "remove"];
  const confirm = async () => {
    if (doomed === undefined) return;
    const { act, member } = doomed;
    if (act === "sign_out") await signMemberOut(slug, member.userId);
    if (act === "offer") await guard(() => offerOwnership(slug, member.userId));
    if (act === "remove") await removeMember(slug, member.userId);
    if (act === "leave") {
      await removeMember(slug, "me");
      location.assign("/");
      return;
    }
    await props.onDone();
  };
  return (
    <ConfirmDialog
      open={doomed !== undefined}
      onClose={props.onClose}
      title={texts.title(name)}
      what={texts.what}
      action={texts.action}
      onConfirm={confirm}
    />
  );
}

function Lists(props: { people: People; refresh: () => Promise<unknown> }) {
  const words = useWords();
  const toast = useToast();
  const { slug, tenant } = useTenant();
  const [doomed, setDoomed] = useState<Doomed>();
  const { people } = props;
  const isOwner = tenant.role === "owner";
  const act = (work: Promise<unknown>) => {
    void work
      .then(
        () => toast(words.act.saved),
        (error: unknown) => {
          const code = error instanceof HttpFailure ? error.code : "";
          toast(words.problem.codes[code] ?? (error instanceof Error ? error.message : String(error)));
        },
      )
      .then(() => props.refresh());
  };
  return (
    <>
      <OfferList
        offers={people.offers}
        onAccept={(id) => act(acceptOwnership(slug, id))}
        onRefuse={(id) => act(refuseOwnership(slug, id))}
      />
      <JoinRequestList
        requests={people.joinRequests}
        ceiling={weakerRole(tenant.role, people.settings.ceilings.invitations)}
        onApprove={(id, role) => act(approveJoinRequest(slug, id, role))}
        onRefuse={(id) => act(refuseJoinRequest(slug, id))}
      />
      <Sheet>
        <ul className="divide-y divide-line" aria-label={words.members.title}>
          {people.members.map((member) => (
            <MemberLine
              key={member.userId}
              member={member}
              ceiling={people.ceiling}
              isOwner={isOwner}
              onRole={(role) => act(changeRole(slug, member.userId, role))}
              onAct={(wish) => setDoomed({ member, act: wish })}
            />
          ))}
        </ul>
      </Sheet>
      <InvitationList invitations={people.invitations} onRevoke={(id) => act(revokeInvitation(slug, id))} />
      <ActDialog doomed={doomed} onClose={() => setDoomed(undefined)} onDone={props.refresh} />
    </>
  );
}

/** The strongest role that the reader may give to somebody new. */
function ceilingOf(making: MakeKind | undefined, people: People | undefined, own: Role): Role {
  const { ceilings } = people?.settings ?? {};
  const most = making === "service" ? ceilings?.serviceAccounts : ceilings?.invitations;
  return weakerRole(own, most ?? "member");
}

/** The members page. */
export default function MembersPage() {
  const words = useWords();
  const { slug, tenant } = useTenant();
  const queries = useQueryClient();
  const [making, setMaking] = useState<MakeKind>();
  const answer = useQuery({ queryKey: ["tenant", slug, "people"], queryFn: () => listPeople(slug) });
  const refresh = async () => {
    await queries.invalidateQueries({ queryKey: ["tenant", slug, "people"] });
    // One's own role may have changed with it.
    await queries.invalidateQueries({ queryKey: ACCOUNT_KEY });
  };
  return (
    <PageFrame
      title={words.members.title}
      subtitle={words.members.subtitle}
      actions={
        <div className="flex flex-wrap gap-2">
          <Button onClick={() => setMaking("service")}>
            <Bot size={18} aria-hidden />
            {words.members.addService}
          </Button>
          <Button tone="primary" onClick={() => setMaking("invitation")}>
            <UserPlus size={18} aria-hidden />
            {words.members.invite}
          </Button>
        </div>
      }
    >
      {answer.isError ? (
        <Problem title={words.members.failed} error={answer.error} onRetry={() => void answer.refetch()} />
      ) : answer.data ? (
        <Lists people={answer.data} refresh={refresh} />
      ) : (
        <Skeleton lines={6} label={words.members.title} />
      )}
      <InviteDialog
        kind={making}
        ceiling={ceilingOf(making, answer.data, tenant.role)}
        onClose={() => setMaking(undefined)}
        onMade={() => void refresh()}
      />
    </PageFrame>
  );
}
