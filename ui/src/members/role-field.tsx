/** The choice of a role. Owns: which roles may be given. Refuses to know: to whom. */
import type { Role } from "../http/account.ts";
import { useWords } from "../i18n/words-context.tsx";
import { SelectField } from "../parts/field.tsx";

const RANK: readonly Role[] = ["readonly", "member", "admin", "owner"];

/** Roles up to `ceiling`, weakest first. */
export function rolesUpTo(ceiling: Role): Role[] {
  return RANK.slice(0, RANK.indexOf(ceiling) + 1);
}

/** The weaker of two roles. */
export function weakerRole(left: Role, right: Role): Role {
  return RANK.indexOf(left) < RANK.indexOf(right) ? left : right;
}

/** A list of roles with what the chosen one means below. */
export function RoleField(props: { value: Role; ceiling: Role; onChange: (role: Role) => void }) {
  const words = useWords();
  return (
    <SelectField
      label={words.members.role}
      hint={words.members.roleMeans[props.value]}
      value={props.value}
      onChange={(event) => props.onChange(event.target.value as Role)}
    >
      {rolesUpTo(props.ceiling).map((role) => (
        <option key={role} value={role}>
          {words.role[role]}
        </option>
      ))}
    </SelectField>
  );
}
