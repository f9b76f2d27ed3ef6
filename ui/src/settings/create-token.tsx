/** Makes an access token and shows it once. Owns: the form and the one showing. Refuses to know: the list. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTenant } from "../gateway/tenant-context.tsx";
import type { Role } from "../http/account.ts";
import { listPeople } from "../http/people.ts";
import { createToken } from "../http/tenant-settings.ts";
import { useWords } from "../i18n/words-context.tsx";
import { rolesUpTo, weakerRole } from "../members/role-field.tsx";
import { Button } from "../parts/button.tsx";
import { CopyButton } from "../parts/copy-button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { SelectField, TextField } from "../parts/field.tsx";
import { Problem } from "../parts/states.tsx";

const EXPIRIES = ["30", "90", "365", ""] as const;

/** Words separated by spaces or commas. */
function listOf(text: string): string[] {
  return text.split(/[\s,]+/).filter((word) => word !== "");
}

function Made(props: { token: string; onDone: () => void }) {
  const words = useWords();
  return (
    <div className="grid gap-5">
      <p className="text-m text-ink-2">{words.tokens.madeHint}</p>
      <div className="flex items-center gap-2 rounded-medium bg-sunk py-2 pr-2 pl-4">
        <code className="min-w-0 flex-1 font-mono text-s break-all select-all">{props.token}</code>
        <CopyButton text={props.token} label={words.act.copy} />
      </div>
      <div className="flex justify-end">
        <Button tone="primary" onClick={props.onDone}>
          {words.tokens.done}
        </Button>
      </div>
    </div>
  );
}

interface Wish {
  name: string;
  role: Role;
  /** Days as text; empty for never. */
  expiry: string;
  /** The service account it acts as; empty for an identity of its own. */
  holder: string;
  addresses: string;
  agents: string;
}

interface FieldsProps {
  wish: Wish;
  onChange: (part: Partial<Wish>) => void;
}

/** What the server takes: without the fields that were left empty. */
function toRequest({
  name,
  role,
  expiry,
  holder,
  addresses,
  agents,
}: Wish): Parameters<typeof createToken>[1] {
  const from = listOf(addresses);
  const reached = listOf(agents);
  return {
    name: name.trim(),
    role,
    ...(expiry ? { expiresInDays: Number(expiry) } : {}),
    ...(from.length > 0 ? { addresses: from } : {}),
    ...(reached.length > 0 ? { agents: reached } : {}),
    ...(holder ? { userId: holder } : {}),
  };
}

function RightFields({ wish, onChange }: FieldsProps) {
  const words = useWords();
  const { slug, tenant } = useTenant();
  const people = useQuery({ queryKey: ["tenant", slug, "people"], queryFn: () => listPeople(slug) });
  const services = (people.data?.members ?? []).filter((member) => member.kind === "service");
  return (
    <>
      <div className="grid grid-cols-2 gap-4">
        <SelectField
          label={words.tokens.role}
          value={wish.role}
          onChange={(event) => onChange({ role: event.target.value as Role })}
        >
          {rolesUpTo(tenant.role).map((other) => (
            <option key={other} value={other}>
              {words.role[other]}
            </option>
          ))}
        </SelectField>
        <SelectField
          label={words.tokens.expires}
          value={wish.expiry}
          onChange={(event) => onChange({ expiry: event.target.value })}
        >
          {EXPIRIES.map((days) => (
            <option key={days} value={days}>
              {days ? words.tokens.days(Number(days)) : words.tokens.noExpiry}
            </option>
          ))}
        </SelectField>
      </div>
      {services.length > 0 ? (
        <SelectField
          label={words.tokens.actsAs}
          value={wish.holder}
          onChange={(event) => onChange({ holder: event.target.value })}
        >
          <option value="">{words.tokens.actsAsItself}</option>
          {services.map((service) => (
            <option key={service.userId} value={service.userId}>
              {service.displayName}
            </option>
          ))}
        </SelectField>
      ) : null}
    </>
  );
}

function LimitFields({ wish, onChange }: FieldsProps) {
  const words = useWords();
  return (
    <details className="grid gap-4 text-m">
      <summary className="quick cursor-pointer rounded-small py-1 text-s text-ink-2 hover:text-ink">
        {words.tokens.limits}
      </summary>
      <div className="grid gap-4 pt-2">
        <TextField
          label={words.tokens.addresses}
          hint={words.tokens.addressesHint}
          value={wish.addresses}
          className="font-mono"
          onChange={(event) => onChange({ addresses: event.target.value })}
        />
        <TextField
          label={words.tokens.agents}
          hint={words.tokens.agentsHint}
          value={wish.agents}
          className="font-mono"
          onChange={(event) => onChange({ agents: event.target.value })}
        />
      </div>
    </details>
  );
}

function WishForm(props: { onClose: () => void; onToken: (token: string) => void }) {
  const words = useWords();
  const { slug, tenant } = useTenant();
  const [wish, setWish] = useState<Wish>({
    ...{ name: "", expiry: "90", holder: "", addresses: "", agents: "" },
    role: weakerRole("member", tenant.role),
  });
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const change = (part: Partial<Wish>) => setWish((before) => ({ ...before, ...part }));
  const ready = wish.name.trim() !== "" && !busy;
  const submit = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      props.onToken((await createToken(slug, toRequest(wish))).token);
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form
      className="grid gap-5"
      onSubmit={(event) => {
        event.preventDefault();
        if (ready) void submit();
      }}
    >
      <TextField
        label={words.tokens.name}
        placeholder={words.tokens.namePlaceholder}
        value={wish.name}
        maxLength={80}
        onChange={(event) => change({ name: event.target.value })}
      />
      <RightFields wish={wish} onChange={change} />
      <LimitFields wish={wish} onChange={change} />
      {failure ? <Problem compact title={words.tokens.createFailed} error={failure} /> : null}
      <div className="flex justify-end gap-2">
        <Button onClick={props.onClose}>{words.act.cancel}</Button>
        <Button tone="primary" type="submit" disabled={!ready}>
          {words.act.create}
        </Button>
      </div>
    </form>
  );
}

/** The dialog for a new token. */
export function CreateTokenDialog(props: { open: boolean; onClose: () => void; onMade: () => void }) {
  const words = useWords();
  const [token, setToken] = useState<string>();
  const close = () => {
    setToken(undefined);
    props.onClose();
  };
  const made = (secret: string) => {
    setToken(secret);
    props.onMade();
  };
  return (
    <Dialog open={props.open} onClose={close} title={token ? words.tokens.madeTitle : words.tokens.create}>
      {token ? <Made token={token} onDone={close} /> : <WishForm onClose={close} onToken={made} />}
    </Dialog>
  );
}
