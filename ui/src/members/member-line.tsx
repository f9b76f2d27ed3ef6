/** One member in the list. Owns: its facts and what may be done to it. Refuses to know: how it is done. */
import { Bot, Crown, LogOut, MoreHorizontal, UserMinus } from "lucide-react";
import type { Role } from "../http/account.ts";
import type { Member } from "../http/people.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Badge, Plate } from "../parts/badge.tsx";
import { IconButton } from "../parts/button.tsx";
import { SelectField } from "../parts/field.tsx";
import { Menu, MenuItem, MenuLine } from "../parts/menu.tsx";
import { rolesUpTo, weakerRole } from "./role-field.tsx";

/** What somebody may ask for, for one member. */
export type MemberAct = "sign_out" | "offer" | "remove" | "leave";

interface LineProps {
  member: Member;
  /** The strongest role the reader may give. */
  ceiling: Role;
  isOwner: boolean;
  onRole: (role: Role) => void;
  onAct: (act: MemberAct) => void;
}

function RolePart(props: LineProps & { mayChange: boolean }) {
  const words = useWords();
  const { member } = props;
  if (!props.mayChange) return <Badge>{words.role[member.role]}</Badge>;
  const offered = rolesUpTo(member.kind === "service" ? weakerRole(props.ceiling, "admin") : props.ceiling);
  return (
    <div className="w-36">
      <SelectField
        hideLabel
        label={words.members.roleOf(member.displayName)}
        value={member.role}
        onChange={(event) => props.onRole(event.target.value as Role)}
      >
        {(offered.includes(member.role) ? offered : [...offered, member.role]).map((role) => (
          <option key={role} value={role}>
            {words.role[role]}
          </option>
        ))}
      </SelectField>
    </div>
  );
}

function Acts(props: LineProps & { mayChange: boolean }) {
  const words = useWords();
  const { member } = props;
  return (
    <Menu
      align="end"
      trigger={
        <IconButton small label={words.members.actions(member.displayName)}>
          <MoreHorizontal size={18} aria-hidden />
        </IconButton>
      }
    >
      {member.isYou ? (
        <MenuItem danger icon={<LogOut size={16} aria-hidden />} onSelect={() => props.onAct("leave")}>
          {words.members.leave}
        </MenuItem>
      ) : (
        <>
          {props.isOwner && member.kind === "person" && member.role !== "owner" ? (
            <MenuItem icon={<Crown size={16} aria-hidden />} onSelect={() => props.onAct("offer")}>
              {words.members.offer}
            </MenuItem>
          ) : null}
          {props.mayChange ? (
            <>
              <MenuItem icon={<LogOut size={16} aria-hidden />} onSelect={() => props.onAct("sign_out")}>
                {words.members.signOut}
              </MenuItem>
              <MenuLine />
              <MenuItem
                danger
                icon={<UserMinus size={16} aria-hidden />}
                onSelect={() => props.onAct("remove")}
              >
                {words.act.remove}
              </MenuItem>
            </>
          ) : null}
        </>
      )}
    </Menu>
  );
}

/** A line of the list of members. */
export function MemberLine(props: LineProps) {
  const words = useWords();
  const formats = useFormats();
  const { member } = props;
  const mayTouch = props.isOwner || member.role !== "owner";
  const mayChange = mayTouch && !member.isYou;
  const seen =
    member.lastSeenAtMs === null ? words.members.notSeen : formats.moment(new Date(member.lastSeenAtMs));
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-3 px-4 py-3 sm:px-6">
      {member.kind === "service" ? (
        <span className="inline-flex size-10 shrink-0 items-center justify-center rounded-full bg-sunk text-ink-2">
          <Bot size={20} aria-hidden />
        </span>
      ) : (
        <Plate name={member.displayName} size={40} />
      )}
      <div className="grid min-w-40 flex-1 grid-cols-1">
        <p className="flex flex-wrap items-center gap-2">
          <span className="min-w-0 truncate text-m font-semibold">{member.displayName}</span>
          {member.isYou ? <Badge tone="accent">{words.members.you}</Badge> : null}
          {member.kind === "service" ? <Badge tone="willow">{words.members.service}</Badge> : null}
        </p>
        <p className="text-xs break-words text-ink-3">
          {words.members.facts(formats.day(new Date(member.joinedAtMs)), seen)}
        </p>
      </div>
      <div className="flex w-full items-center justify-between gap-2 pl-14 sm:w-auto sm:pl-0">
        <RolePart {...props} mayChange={mayChange} />
        {mayChange || member.isYou ? <Acts {...props} mayChange={mayChange} /> : <span className="w-8" />}
      </div>
    </li>
  );
}
