/** The form of the organization's own sign-in provider. Owns: its fields. Refuses to know: what the provider answers. */
import { useState } from "react";
import { useStepUp } from "../../account/step-up.tsx";
import { useTenant } from "../../gateway/tenant-context.tsx";
import type { ProviderIcon } from "../../http/identity.ts";
import { type OwnSignIn, type OwnSignInWish, saveOwnSignIn } from "../../http/sign-in-provider.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Button } from "../../parts/button.tsx";
import { SelectField, TextField } from "../../parts/field.tsx";
import { Problem } from "../../parts/states.tsx";

const ICONS: readonly ProviderIcon[] = ["building", "key", "github", "google", "wechat"];
const ROLES = ["readonly", "member", "admin"] as const;

interface FormProps {
  known: OwnSignIn | null;
  onClose: () => void;
  /** `problem` says why the provider does not answer. */
  onSaved: (problem: string | null) => void;
}

interface FieldsProps {
  wish: OwnSignInWish;
  onChange: (part: Partial<OwnSignInWish>) => void;
}

function ProviderFields({ wish, onChange, isKnown }: FieldsProps & { isKnown: boolean }) {
  const words = useWords();
  return (
    <>
      <TextField
        label={words.ownSignIn.issuer}
        hint={words.ownSignIn.issuerHint}
        type="url"
        placeholder="https://"
        value={wish.issuer}
        maxLength={512}
        onChange={(event) => onChange({ issuer: event.target.value })}
      />
      <div className="grid gap-5 sm:grid-cols-2">
        <TextField
          label={words.ownSignIn.clientId}
          value={wish.clientId}
          maxLength={256}
          onChange={(event) => onChange({ clientId: event.target.value })}
        />
        <TextField
          label={words.ownSignIn.secret}
          hint={isKnown ? words.ownSignIn.secretKeep : words.ownSignIn.secretHint}
          type="password"
          autoComplete="new-password"
          value={wish.clientSecret ?? ""}
          maxLength={512}
          onChange={(event) => onChange({ clientSecret: event.target.value })}
        />
      </div>
    </>
  );
}

function LookFields({ wish, onChange }: FieldsProps) {
  const words = useWords();
  return (
    <>
      <div className="grid gap-5 sm:grid-cols-2">
        <TextField
          label={words.ownSignIn.label}
          placeholder={words.ownSignIn.labelExample}
          value={wish.label}
          maxLength={60}
          onChange={(event) => onChange({ label: event.target.value })}
        />
        <SelectField
          label={words.ownSignIn.icon}
          value={wish.icon}
          onChange={(event) => onChange({ icon: event.target.value as ProviderIcon })}
        >
          {ICONS.map((icon) => (
            <option key={icon} value={icon}>
              {words.ownSignIn.icons[icon]}
            </option>
          ))}
        </SelectField>
      </div>
      <SelectField
        label={words.ownSignIn.defaultRole}
        value={wish.defaultRole ?? ""}
        onChange={(event) => {
          const chosen = ROLES.find((role) => role === event.target.value);
          onChange({ defaultRole: chosen ?? null });
        }}
      >
        <option value="">{words.ownSignIn.onlyInvited}</option>
        {ROLES.map((role) => (
          <option key={role} value={role}>
            {words.ownSignIn.becomes(words.role[role])}
          </option>
        ))}
      </SelectField>
    </>
  );
}

/** What is sent: texts without spaces around them, no secret when none was typed. */
function tidy(wish: OwnSignInWish): OwnSignInWish {
  const { clientSecret, ...rest } = wish;
  const secret = clientSecret?.trim();
  return {
    ...rest,
    issuer: wish.issuer.trim(),
    clientId: wish.clientId.trim(),
    label: wish.label.trim(),
    ...(secret ? { clientSecret: secret } : {}),
  };
}

/** The form. */
export function SignInForm({ known, onClose, onSaved }: FormProps) {
  const words = useWords();
  const guard = useStepUp();
  const { slug } = useTenant();
  const [wish, setWish] = useState<OwnSignInWish>({
    issuer: known?.issuer ?? "",
    clientId: known?.clientId ?? "",
    label: known?.label ?? "",
    icon: known?.icon ?? "building",
    defaultRole: known?.defaultRole ?? null,
  });
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const change = (part: Partial<OwnSignInWish>) => setWish((before) => ({ ...before, ...part }));
  const sent = tidy(wish);
  const ready =
    /^https?:\/\/\S+$/.test(sent.issuer) &&
    sent.clientId !== "" &&
    sent.label !== "" &&
    (known !== null || sent.clientSecret !== undefined);
  const save = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      onSaved((await guard(() => saveOwnSignIn(slug, sent))).problem);
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
      setBusy(false);
    }
  };
  return (
    <form
      className="grid gap-5"
      onSubmit={(event) => {
        event.preventDefault();
        if (ready && !busy) void save();
      }}
    >
      <ProviderFields wish={wish} onChange={change} isKnown={known !== null} />
      <LookFields wish={wish} onChange={change} />
      {failure ? <Problem compact title={words.ownSignIn.saveFailed} error={failure} /> : null}
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{words.act.cancel}</Button>
        <Button tone="primary" type="submit" disabled={!ready || busy}>
          {busy ? words.act.saving : words.act.save}
        </Button>
      </div>
    </form>
  );
}
