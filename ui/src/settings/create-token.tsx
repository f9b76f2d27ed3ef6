/** Makes an access token and shows it once. Owns: the form and the one showing. Refuses to know: the list. */
import { useState } from "react";
import { useTenant } from "../gateway/tenant-context.tsx";
import type { Role } from "../http/account.ts";
import { createToken } from "../http/tenant-settings.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { CopyButton } from "../parts/copy-button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { SelectField, TextField } from "../parts/field.tsx";
import { Problem } from "../parts/states.tsx";

const RANK: readonly Role[] = ["readonly", "member", "admin", "owner"];
const EXPIRIES = ["30", "90", "365", ""] as const;

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

function WishForm(props: { onClose: () => void; onToken: (token: string) => void }) {
  const words = useWords();
  const { slug, tenant } = useTenant();
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>(tenant.role === "readonly" ? "readonly" : "member");
  const [expiry, setExpiry] = useState<string>("90");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const submit = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      const wish = { name: name.trim(), role, ...(expiry ? { expiresInDays: Number(expiry) } : {}) };
      props.onToken((await createToken(slug, wish)).token);
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
        if (name.trim() && !busy) void submit();
      }}
    >
      <TextField
        label={words.tokens.name}
        placeholder={words.tokens.namePlaceholder}
        value={name}
        maxLength={80}
        onChange={(event) => setName(event.target.value)}
      />
      <div className="grid grid-cols-2 gap-4">
        <SelectField
          label={words.tokens.role}
          value={role}
          onChange={(event) => setRole(event.target.value as Role)}
        >
          {RANK.slice(0, RANK.indexOf(tenant.role) + 1).map((other) => (
            <option key={other} value={other}>
              {words.role[other]}
            </option>
          ))}
        </SelectField>
        <SelectField
          label={words.tokens.expires}
          value={expiry}
          onChange={(event) => setExpiry(event.target.value)}
        >
          {EXPIRIES.map((days) => (
            <option key={days} value={days}>
              {days ? words.tokens.days(Number(days)) : words.tokens.noExpiry}
            </option>
          ))}
        </SelectField>
      </div>
      {failure ? <Problem compact title={words.tokens.createFailed} error={failure} /> : null}
      <div className="flex justify-end gap-2">
        <Button onClick={props.onClose}>{words.act.cancel}</Button>
        <Button tone="primary" type="submit" disabled={!name.trim() || busy}>
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
