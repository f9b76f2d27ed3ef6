/** Names and rules of the organization. Owns: that form and what it changes. Refuses to know: how people sign in. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTenant } from "../../gateway/tenant-context.tsx";
import { ACCOUNT_KEY } from "../../http/account.ts";
import { type Ceilings, changeTenant, type TenantFacts } from "../../http/people.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Button } from "../../parts/button.tsx";
import { CheckField, TextField } from "../../parts/field.tsx";
import { Sheet } from "../../parts/page-frame.tsx";
import { Problem } from "../../parts/states.tsx";
import { useToast } from "../../parts/toasts.tsx";
import { CeilingFields } from "./ceiling-fields.tsx";

interface Wish {
  displayName: string;
  slug: string;
  timeZone: string;
  joinRequests: boolean;
  breakGlassConsent: boolean;
  ceilings: Ceilings;
}

function wishOf(facts: TenantFacts): Wish {
  const { displayName, slug, timeZone, settings } = facts;
  return { displayName, slug, timeZone, ...settings };
}

/** What differs between two wishes, field by field; texts without spaces around them. */
function changes<T extends object>(before: T, after: T): Partial<T> {
  const tidy = (value: unknown) => (typeof value === "string" ? value.trim() : value);
  return Object.fromEntries(
    Object.entries(after)
      .filter(([name, value]) => typeof value !== "object" && tidy(value) !== before[name as keyof T])
      .map(([name, value]) => [name, tidy(value)]),
  ) as Partial<T>;
}

function useSave(change: Parameters<typeof changeTenant>[1]) {
  const words = useWords();
  const toast = useToast();
  const queries = useQueryClient();
  const { slug } = useTenant();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const save = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      const facts = await changeTenant(slug, change);
      if (facts.slug !== slug) {
        location.assign(`/t/${encodeURIComponent(facts.slug)}/settings/organization`);
        return;
      }
      queries.setQueryData(["tenant", slug, "facts"], facts);
      await queries.invalidateQueries({ queryKey: ACCOUNT_KEY });
      toast(words.act.saved);
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
    } finally {
      setBusy(false);
    }
  };
  return { busy, failure, save };
}

interface FieldsProps {
  wish: Wish;
  onChange: (part: Partial<Wish>) => void;
}

function NameFields(props: FieldsProps & { isOwner: boolean }) {
  const words = useWords();
  const { wish, onChange, isOwner } = props;
  return (
    <>
      <TextField
        label={words.door.orgName}
        value={wish.displayName}
        maxLength={100}
        onChange={(event) => onChange({ displayName: event.target.value })}
      />
      <TextField
        label={words.door.orgSlug}
        hint={isOwner ? words.organization.slugHint : words.organization.slugOwner}
        value={wish.slug}
        maxLength={40}
        disabled={!isOwner}
        className="font-mono"
        onChange={(event) => onChange({ slug: event.target.value.toLowerCase() })}
      />
      <TextField
        label={words.operator.timeZone}
        hint={words.organization.timeZoneHint}
        value={wish.timeZone}
        maxLength={60}
        onChange={(event) => onChange({ timeZone: event.target.value })}
      />
    </>
  );
}

function RuleFields({ wish, onChange }: FieldsProps) {
  const words = useWords();
  return (
    <>
      <CheckField
        label={words.organization.joinRequests}
        hint={words.organization.joinRequestsHint}
        checked={wish.joinRequests}
        onChange={(joinRequests) => onChange({ joinRequests })}
      />
      <CheckField
        label={words.organization.consent}
        hint={words.organization.consentHint}
        checked={wish.breakGlassConsent}
        onChange={(breakGlassConsent) => onChange({ breakGlassConsent })}
      />
    </>
  );
}

/** The form. */
export function FactsForm(props: { facts: TenantFacts }) {
  const words = useWords();
  const isOwner = useTenant().tenant.role === "owner";
  const before = wishOf(props.facts);
  const [wish, setWish] = useState(before);
  const ceilings = changes(before.ceilings, wish.ceilings);
  const change = {
    ...changes(before, wish),
    ...(Object.keys(ceilings).length > 0 ? { ceilings } : {}),
  };
  const { busy, failure, save } = useSave(change);
  const ready = Object.keys(change).length > 0 && wish.displayName.trim() !== "" && !busy;
  const set = (part: Partial<Wish>) => setWish({ ...wish, ...part });
  return (
    <Sheet className="p-4 sm:p-6">
      <form
        className="grid gap-5"
        onSubmit={(event) => {
          event.preventDefault();
          if (ready) void save();
        }}
      >
        <NameFields wish={wish} onChange={set} isOwner={isOwner} />
        <RuleFields wish={wish} onChange={set} />
        {isOwner ? (
          <CeilingFields value={wish.ceilings} onChange={(chosen) => set({ ceilings: chosen })} />
        ) : null}
        {failure ? <Problem compact title={words.door.orgFailed} error={failure} /> : null}
        <div className="flex justify-end">
          <Button tone="primary" type="submit" disabled={!ready}>
            {busy ? words.act.saving : words.act.save}
          </Button>
        </div>
      </form>
    </Sheet>
  );
}
