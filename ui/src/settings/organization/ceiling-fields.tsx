/** The strongest roles that may be given here. Owns: the three choices. Refuses to know: who saves them. */
import type { Role } from "../../http/account.ts";
import type { Ceilings } from "../../http/people.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { rolesUpTo } from "../../members/role-field.tsx";
import { SelectField } from "../../parts/field.tsx";

/** Each kind of giving with the strongest role it can ever have; a service account never owns. */
const KINDS: readonly [keyof Ceilings, Role][] = [
  ["roles", "owner"],
  ["invitations", "owner"],
  ["serviceAccounts", "admin"],
];

/** The fields. */
export function CeilingFields(props: { value: Ceilings; onChange: (value: Ceilings) => void }) {
  const words = useWords();
  return (
    <fieldset className="grid gap-3">
      <legend className="mb-0.5 text-m font-medium">{words.ceilings.title}</legend>
      <p className="text-xs text-ink-3">{words.ceilings.hint}</p>
      <div className="grid gap-4 sm:grid-cols-3">
        {KINDS.map(([kind, strongest]) => (
          <SelectField
            key={kind}
            label={words.ceilings[kind]}
            value={props.value[kind]}
            onChange={(event) => props.onChange({ ...props.value, [kind]: event.target.value as Role })}
          >
            {rolesUpTo(strongest).map((role) => (
              <option key={role} value={role}>
                {words.role[role]}
              </option>
            ))}
          </SelectField>
        ))}
      </div>
    </fieldset>
  );
}
