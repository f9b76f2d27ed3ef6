/** Makes an invitation or a service account, and shows a link once. Owns: the two forms. Refuses to know: the lists. */
import { useState } from "react";
import { useTenant } from "../gateway/tenant-context.tsx";
import type { Role } from "../http/account.ts";
import { createServiceAccount, invite } from "../http/people.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { SelectField, TextField } from "../parts/field.tsx";
import { Problem } from "../parts/states.tsx";
import { RoleField, weakerRole } from "./role-field.tsx";
import { SecretBox } from "./secret-box.tsx";

const DAYS = [1, 7, 30] as const;

interface FormProps {
  ceiling: Role;
  onClose: () => void;
  onDone: (link: string | undefined) => void;
}

function useSaving() {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const save = async (act: () => Promise<void>) => {
    setBusy(true);
    setFailure(undefined);
    try {
      await act();
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
    } finally {
      setBusy(false);
    }
  };
  return { busy, failure, save };
}

function Buttons(props: { action: string; ready: boolean; onClose: () => void }) {
  const words = useWords();
  return (
    <div className="flex justify-end gap-2">
      <Button onClick={props.onClose}>{words.act.cancel}</Button>
      <Button tone="primary" type="submit" disabled={!props.ready}>
        {props.action}
      </Button>
    </div>
  );
}

function InviteForm(props: FormProps) {
  const words = useWords();
  const { slug } = useTenant();
  const [role, setRole] = useState<Role>(weakerRole("member", props.ceiling));
  const [days, setDays] = useState<number>(7);
  const [email, setEmail] = useState("");
  const [note, setNote] = useState("");
  const { busy, failure, save } = useSaving();
  const submit = async () => {
    const made = await invite(slug, {
      role,
      expiresInDays: days,
      ...(email.trim() ? { email: email.trim() } : {}),
      ...(note.trim() ? { note: note.trim() } : {}),
    });
    props.onDone(made.link);
  };
  return (
    <form
      className="grid gap-5"
      onSubmit={(event) => {
        event.preventDefault();
        if (!busy) void save(submit);
      }}
    >
      <div className="grid gap-4 sm:grid-cols-2">
        <RoleField value={role} ceiling={props.ceiling} onChange={setRole} />
        <SelectField
          label={words.members.validFor}
          value={days}
          onChange={(event) => setDays(Number(event.target.value))}
        >
          {DAYS.map((count) => (
            <option key={count} value={count}>
              {words.members.days(count)}
            </option>
          ))}
        </SelectField>
      </div>
      <TextField
        label={words.members.email}
        hint={words.members.emailHint}
        type="email"
        value={email}
        maxLength={254}
        onChange={(event) => setEmail(event.target.value)}
      />
      <TextField
        label={words.members.note}
        hint={words.members.noteHint}
        value={note}
        maxLength={200}
        onChange={(event) => setNote(event.target.value)}
      />
      {failure ? <Problem compact title={words.members.inviteFailed} error={failure} /> : null}
      <Buttons action={words.members.makeLink} ready={!busy} onClose={props.onClose} />
    </form>
  );
}

function ServiceForm(props: FormProps) {
  const words = useWords();
  const { slug } = useTenant();
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>(weakerRole("member", props.ceiling));
  const { busy, failure, save } = useSaving();
  const ready = name.trim() !== "" && !busy;
  const submit = async () => {
    await createServiceAccount(slug, { name: name.trim(), role });
    props.onDone(undefined);
  };
  return (
    <form
      className="grid gap-5"
      onSubmit={(event) => {
        event.preventDefault();
        if (ready) void save(submit);
      }}
    >
      <TextField
        label={words.members.serviceName}
        value={name}
        maxLength={100}
        placeholder={words.members.serviceExample}
        onChange={(event) => setName(event.target.value)}
      />
      <RoleField value={role} ceiling={weakerRole(props.ceiling, "admin")} onChange={setRole} />
      {failure ? <Problem compact title={words.members.serviceFailed} error={failure} /> : null}
      <Buttons action={words.act.create} ready={ready} onClose={props.onClose} />
    </form>
  );
}

/** What the dialog makes. */
export type MakeKind = "invitation" | "service";

/** The dialog for somebody new. */
export function InviteDialog(props: {
  kind: MakeKind | undefined;
  ceiling: Role;
  onClose: () => void;
  onMade: () => void;
}) {
  const words = useWords();
  const [link, setLink] = useState<string>();
  const close = () => {
    setLink(undefined);
    props.onClose();
  };
  const done = (made: string | undefined) => {
    props.onMade();
    if (made === undefined) close();
    else setLink(made);
  };
  const title = props.kind === "service" ? words.members.serviceTitle : words.members.inviteTitle;
  const hint = props.kind === "service" ? words.members.serviceHint : words.members.inviteHint;
  return (
    <Dialog
      open={props.kind !== undefined}
      onClose={close}
      title={link ? words.members.linkTitle : title}
      description={link ? words.members.linkHint : hint}
    >
      {link ? (
        <div className="grid gap-5">
          <SecretBox text={link} />
          <div className="flex justify-end">
            <Button tone="primary" onClick={close}>
              {words.tokens.done}
            </Button>
          </div>
        </div>
      ) : props.kind === "service" ? (
        <ServiceForm ceiling={props.ceiling} onClose={close} onDone={done} />
      ) : (
        <InviteForm ceiling={props.ceiling} onClose={close} onDone={done} />
      )}
    </Dialog>
  );
}
