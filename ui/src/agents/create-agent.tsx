/** Makes an agent. Owns: the form. Refuses to know: what an agent does. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import { useTenant } from "../gateway/tenant-context.tsx";
import { callKey } from "../gateway/use-call.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { TextField } from "../parts/field.tsx";
import { Problem } from "../parts/states.tsx";
import { ModelField } from "./model-field.tsx";

/** The dialog for a new agent; opens the agent's page when it is made. */
export function CreateAgentDialog(props: { open: boolean; onClose: () => void }) {
  const words = useWords();
  const { slug, connection } = useTenant();
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  const [name, setName] = useState("");
  const [model, setModel] = useState("");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const submit = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      const wish = { name: name.trim(), ...(model ? { model } : {}) };
      const { agentId } = await connection.call<{ agentId: string }>("agents.create", wish);
      await queries.invalidateQueries({ queryKey: callKey(slug, "agents.list").slice(0, 3) });
      props.onClose();
      setName("");
      setModel("");
      navigate(`/agents/${encodeURIComponent(agentId)}`);
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog
      open={props.open}
      onClose={props.onClose}
      title={words.agents.createTitle}
      description={words.agents.subtitle}
    >
      <form
        className="grid gap-5"
        onSubmit={(event) => {
          event.preventDefault();
          if (name.trim() && !busy) void submit();
        }}
      >
        <TextField
          label={words.agents.name}
          hint={words.agents.nameHint}
          placeholder={words.agents.namePlaceholder}
          maxLength={64}
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <ModelField value={model} onChange={setModel} />
        {failure ? <Problem compact error={failure} /> : null}
        <div className="flex justify-end gap-2">
          <Button onClick={props.onClose}>{words.act.cancel}</Button>
          <Button tone="primary" type="submit" disabled={!name.trim() || busy}>
            {words.act.create}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
