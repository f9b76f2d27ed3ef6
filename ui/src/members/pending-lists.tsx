/** Invitations that are open, people who ask, offers of ownership. Owns: their lists. Refuses to know: how they are answered. */
import { Crown, MailPlus } from "lucide-react";
import { type ReactNode, useState } from "react";
import type { Role } from "../http/account.ts";
import type { Invitation, JoinRequest, OwnershipOffer } from "../http/people.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Badge, Plate } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { SelectField } from "../parts/field.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { rolesUpTo, weakerRole } from "./role-field.tsx";

function Part(props: { title: string; children: ReactNode }) {
  return (
    <div className="grid gap-3">
      <h2 className="text-l font-semibold">{props.title}</h2>
      <Sheet>
        <ul className="divide-y divide-line">{props.children}</ul>
      </Sheet>
    </div>
  );
}

function InvitationLine(props: { invitation: Invitation; onRevoke: () => void }) {
  const words = useWords();
  const formats = useFormats();
  const { invitation } = props;
  const { tie } = invitation;
  const whom =
    tie.kind === "email"
      ? tie.email
      : tie.kind === "identity"
        ? `${tie.provider} · ${tie.subject}`
        : words.members.anybody;
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-2 px-4 py-3 sm:px-6">
      <MailPlus size={20} aria-hidden className="shrink-0 text-ink-3" />
      <div className="grid min-w-40 flex-1 grid-cols-1">
        <p className="flex flex-wrap items-center gap-2">
          <span className="min-w-0 truncate text-m font-medium">{invitation.note || whom}</span>
          <Badge>{words.role[invitation.role]}</Badge>
        </p>
        <p className="text-xs break-words text-ink-3">
          {invitation.note ? `${whom} · ` : ""}
          {words.members.until(formats.moment(new Date(invitation.expiresAtMs)))}
        </p>
      </div>
      <div className="pl-9 sm:pl-0">
        <Button small onClick={props.onRevoke}>
          {words.members.takeBack}
        </Button>
      </div>
    </li>
  );
}

/** Open invitations. */
export function InvitationList(props: { invitations: Invitation[]; onRevoke: (id: string) => void }) {
  const words = useWords();
  if (props.invitations.length === 0) return null;
  return (
    <Part title={words.members.invitations}>
      {props.invitations.map((invitation) => (
        <InvitationLine
          key={invitation.id}
          invitation={invitation}
          onRevoke={() => props.onRevoke(invitation.id)}
        />
      ))}
    </Part>
  );
}

function RequestLine(props: {
  request: JoinRequest;
  ceiling: Role;
  onApprove: (role: Role) => void;
  onRefuse: () => void;
}) {
  const words = useWords();
  const formats = useFormats();
  const [role, setRole] = useState<Role>(weakerRole("member", props.ceiling));
  const { request } = props;
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-3 px-4 py-3 sm:px-6">
      <Plate name={request.displayName} size={40} />
      <div className="grid min-w-40 flex-1 grid-cols-1">
        <p className="truncate text-m font-medium">{request.displayName}</p>
        <p className="text-xs break-words text-ink-3">
          {request.note || formats.moment(new Date(request.createdAtMs))}
        </p>
      </div>
      <div className="flex flex-wrap items-center gap-2">
        <div className="w-32">
          <SelectField
            hideLabel
            label={words.members.roleOf(request.displayName)}
            value={role}
            onChange={(event) => setRole(event.target.value as Role)}
          >
            {rolesUpTo(props.ceiling).map((other) => (
              <option key={other} value={other}>
                {words.role[other]}
              </option>
            ))}
          </SelectField>
        </div>
        <Button small tone="primary" onClick={() => props.onApprove(role)}>
          {words.members.letIn}
        </Button>
        <Button small onClick={props.onRefuse}>
          {words.members.refuse}
        </Button>
      </div>
    </li>
  );
}

/** People who ask to be let in. */
export function JoinRequestList(props: {
  requests: JoinRequest[];
  ceiling: Role;
  onApprove: (id: string, role: Role) => void;
  onRefuse: (id: string) => void;
}) {
  const words = useWords();
  if (props.requests.length === 0) return null;
  return (
    <Part title={words.members.requests}>
      {props.requests.map((request) => (
        <RequestLine
          key={request.id}
          request={request}
          ceiling={props.ceiling}
          onApprove={(role) => props.onApprove(request.id, role)}
          onRefuse={() => props.onRefuse(request.id)}
        />
      ))}
    </Part>
  );
}

/** Offers to hand the organization over: those to the reader can be accepted. */
export function OfferList(props: {
  offers: OwnershipOffer[];
  onAccept: (id: string) => void;
  onRefuse: (id: string) => void;
}) {
  const words = useWords();
  const formats = useFormats();
  return props.offers.map((offer) => (
    <div
      key={offer.id}
      className="flex flex-wrap items-center gap-x-4 gap-y-3 rounded-large border border-willow/40 bg-willow-soft px-4 py-3 sm:px-6"
    >
      <Crown size={20} aria-hidden className="shrink-0 text-willow" />
      <div className="grid min-w-40 flex-1 grid-cols-1">
        <p className="text-m font-semibold">
          {offer.isToYou ? words.members.offerToYou : words.members.offerTo(offer.displayName)}
        </p>
        <p className="text-xs text-ink-2">
          {words.members.until(formats.moment(new Date(offer.expiresAtMs)))}
        </p>
      </div>
      <div className="flex gap-2 pl-9 sm:pl-0">
        {offer.isToYou ? (
          <Button small tone="primary" onClick={() => props.onAccept(offer.id)}>
            {words.members.accept}
          </Button>
        ) : null}
        {offer.isToYou || offer.isMine ? (
          <Button small onClick={() => props.onRefuse(offer.id)}>
            {offer.isToYou ? words.members.refuse : words.members.takeBack}
          </Button>
        ) : null}
      </div>
    </div>
  ));
}
