/** The person's own name and place. Owns: that form. Refuses to know: other people. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useLink, useTenant } from "../gateway/tenant-context.tsx";
import { ACCOUNT_KEY, type Account, patchPerson } from "../http/account.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { TextField } from "../parts/field.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Problem } from "../parts/states.tsx";
import { useToast } from "../parts/toasts.tsx";
import { EverythingOut, OwnDevices } from "./access/own-devices.tsx";
import { OwnTokens } from "./own-tokens.tsx";

function Facts() {
  const words = useWords();
  const { tenant } = useTenant();
  const { serverVersion } = useLink();
  const facts: [string, string][] = [
    [words.settings.organization, `${tenant.name} (${tenant.slug})`],
    [words.settings.yourRole, words.role[tenant.role]],
    [words.settings.server, serverVersion || "–"],
  ];
  return (
    <dl className="grid gap-3 text-m">
      {facts.map(([name, value]) => (
        <div key={name} className="flex flex-wrap justify-between gap-x-6">
          <dt className="text-ink-2">{name}</dt>
          <dd className="font-medium">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** The profile tab. */
export function ProfileTab() {
  const words = useWords();
  const toast = useToast();
  const queries = useQueryClient();
  const { account } = useTenant();
  const [name, setName] = useState(account.user.displayName);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const save = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      const user = await patchPerson({ displayName: name.trim() });
      queries.setQueryData<Account>(
        ACCOUNT_KEY,
        (before) => before && { ...before, user: { ...before.user, ...user } },
      );
      toast(words.act.saved);
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
    } finally {
      setBusy(false);
    }
  };
  const changed = name.trim() !== "" && name.trim() !== account.user.displayName;
  return (
    <div className="grid max-w-2xl gap-6">
      <Sheet className="p-4 sm:p-6">
        <form
          className="grid gap-4"
          onSubmit={(event) => {
            event.preventDefault();
            if (changed && !busy) void save();
          }}
        >
          <TextField
            label={words.settings.displayName}
            hint={words.settings.displayNameHint}
            value={name}
            maxLength={80}
            onChange={(event) => setName(event.target.value)}
          />
          {failure ? <Problem compact title={words.settings.profileFailed} error={failure} /> : null}
          <div className="flex justify-end">
            <Button tone="primary" type="submit" disabled={!changed || busy}>
              {busy ? words.act.saving : words.act.save}
            </Button>
          </div>
        </form>
      </Sheet>
      <Sheet className="p-4 sm:p-6">
        <Facts />
      </Sheet>
      <OwnTokens />
      <OwnDevices />
      <EverythingOut />
    </div>
  );
}
