/** Making an organization, or asking to be let into one. Owns: the two pages before any tenant. Refuses to know: tenants' insides. */
import { type ReactNode, useState } from "react";
import { askToJoin, changeTenant, createTenant } from "../http/people.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { TextField } from "../parts/field.tsx";
import { Empty, Problem } from "../parts/states.tsx";
import { FrontDoor } from "./front-door.tsx";
import { NameForm } from "./name-form.tsx";

function timeZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

function Title(props: { title: string; hint: ReactNode }) {
  return (
    <div className="grid gap-1">
      <h1 className="text-xl font-semibold">{props.title}</h1>
      <p className="text-m text-ink-2">{props.hint}</p>
    </div>
  );
}

/** A new organization of one's own. */
export function NewTenantPage(props: { allowed: boolean }) {
  const words = useWords();
  const home = () => location.assign("/");
  return (
    <FrontDoor>
      {props.allowed ? (
        <div className="grid gap-5">
          <Title title={words.door.newTitle} hint={words.door.newHint} />
          <NameForm
            action={words.door.newAction}
            busyAction={words.act.saving}
            onCancel={home}
            onSave={async (wish) => {
              const { slug } = await createTenant({ ...wish, timeZone: timeZone() });
              location.assign(`/t/${encodeURIComponent(slug)}/`);
            }}
          />
        </div>
      ) : (
        <Empty level={1} title={words.door.newRefusedTitle} hint={words.door.newRefused}>
          <Button tone="primary" onClick={home}>
            {words.link.goHome}
          </Button>
        </Empty>
      )}
    </FrontDoor>
  );
}

/** The first start's organization gets its name. */
export function WelcomePage(props: { slug: string; name: string; onLater: () => void }) {
  const words = useWords();
  return (
    <FrontDoor>
      <div className="grid gap-5">
        <Title title={words.door.welcomeTitle} hint={words.door.welcomeHint} />
        <NameForm
          name={props.name}
          slug={props.slug}
          action={words.door.welcomeAction}
          busyAction={words.act.saving}
          onSave={async ({ name, slug }) => {
            const moved = slug !== props.slug ? { slug } : {};
            const facts = await changeTenant(props.slug, {
              displayName: name,
              timeZone: timeZone(),
              ...moved,
            });
            location.assign(`/t/${encodeURIComponent(facts.slug)}/`);
          }}
        />
        <Button tone="quiet" onClick={props.onLater}>
          {words.door.welcomeLater}
        </Button>
      </div>
    </FrontDoor>
  );
}

/** Asking to be let in; the answer is the same whether or not there is such an organization. */
export function AskToJoinPage() {
  const words = useWords();
  const [slug, setSlug] = useState("");
  const [note, setNote] = useState("");
  const [busy, setBusy] = useState(false);
  const [sent, setSent] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const ready = slug.trim() !== "" && !busy;
  const send = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      await askToJoin(slug.trim().toLowerCase(), note.trim());
      setSent(true);
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
    } finally {
      setBusy(false);
    }
  };
  if (sent) {
    return (
      <FrontDoor>
        <Empty level={1} title={words.door.askedTitle} hint={words.door.asked}>
          <Button tone="primary" onClick={() => location.assign("/")}>
            {words.link.goHome}
          </Button>
        </Empty>
      </FrontDoor>
    );
  }
  return (
    <FrontDoor>
      <form
        className="grid gap-5"
        onSubmit={(event) => {
          event.preventDefault();
          if (ready) void send();
        }}
      >
        <Title title={words.door.askTitle} hint={words.door.askHint} />
        <TextField
          label={words.door.askSlug}
          hint={words.door.askSlugHint}
          value={slug}
          maxLength={40}
          spellCheck={false}
          autoCapitalize="none"
          className="font-mono"
          onChange={(event) => setSlug(event.target.value)}
        />
        <TextField
          label={words.door.askNote}
          value={note}
          maxLength={200}
          onChange={(event) => setNote(event.target.value)}
        />
        {failure ? <Problem compact error={failure} /> : null}
        <div className="flex justify-end gap-2">
          <Button onClick={() => location.assign("/")}>{words.act.cancel}</Button>
          <Button tone="primary" type="submit" disabled={!ready}>
            {words.door.ask}
          </Button>
        </div>
      </form>
    </FrontDoor>
  );
}
