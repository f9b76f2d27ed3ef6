/** Name and address of an organization. Owns: the fields. Refuses to know: who saves it. */
import { useState } from "react";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { TextField } from "../parts/field.tsx";
import { Problem } from "../parts/states.tsx";
import { SLUG, slugFrom } from "./slug.ts";

interface NameFormProps {
  name?: string;
  slug?: string;
  action: string;
  busyAction: string;
  /** Throws when it could not be saved. */
  onSave: (wish: { name: string; slug: string }) => Promise<void>;
  onCancel?: (() => void) | undefined;
}

/** The form. */
export function NameForm(props: NameFormProps) {
  const words = useWords();
  const [name, setName] = useState(props.name ?? "");
  const [slug, setSlug] = useState(props.slug ?? "");
  const [ownSlug, setOwnSlug] = useState(false);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const shownSlug = ownSlug ? slug : slugFrom(name) || slug;
  const ready = name.trim() !== "" && SLUG.test(shownSlug);
  const save = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      await props.onSave({ name: name.trim(), slug: shownSlug });
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
      setBusy(false);
    }
  };
  return (
    <form
      className="grid gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        if (ready && !busy) void save();
      }}
    >
      <TextField
        label={words.door.orgName}
        value={name}
        maxLength={100}
        autoFocus
        placeholder={words.door.orgNameExample}
        onChange={(event) => setName(event.target.value)}
      />
      <TextField
        label={words.door.orgSlug}
        hint={words.door.orgSlugHint(`${location.host}/t/${shownSlug || "…"}/`)}
        value={shownSlug}
        maxLength={40}
        spellCheck={false}
        autoCapitalize="none"
        className="font-mono"
        onChange={(event) => {
          setOwnSlug(true);
          setSlug(event.target.value.toLowerCase());
        }}
      />
      {failure ? <Problem compact title={words.door.orgFailed} error={failure} /> : null}
      <div className="flex flex-wrap justify-end gap-2">
        {props.onCancel ? <Button onClick={props.onCancel}>{words.act.cancel}</Button> : null}
        <Button tone="primary" type="submit" disabled={!ready || busy}>
          {busy ? props.busyAction : props.action}
        </Button>
      </div>
    </form>
  );
}
