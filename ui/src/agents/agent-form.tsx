/** One agent's name, model and tools. Owns: the form and deletion. Refuses to know: what tools do. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import { useTenant } from "../gateway/tenant-context.tsx";
import { callKey, useCall } from "../gateway/use-call.ts";
import type { AgentRow } from "../gateway/wire.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { ConfirmDialog } from "../parts/dialog.tsx";
import { TextField } from "../parts/field.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Problem, Skeleton } from "../parts/states.tsx";
import { useToast } from "../parts/toasts.tsx";
import { ModelField } from "./model-field.tsx";

interface ToolRow {
  id: string;
  label?: string;
  description?: string;
  allowed?: boolean;
}

interface ToolGroups {
  groups: { id: string; label: string; tools: ToolRow[] }[];
}

/** What the agent may use now, when the server says so in the list of agents or in the catalog. */
function allowedNow(agent: AgentRow, groups: ToolGroups | undefined): string[] {
  if (agent.tools) return agent.tools;
  return (groups?.groups ?? []).flatMap((group) =>
    group.tools.filter((tool) => tool.allowed).map((tool) => tool.id),
  );
}

function ToolChoice(props: {
  agentId: string;
  allowed: ReadonlySet<string>;
  onChange: (allowed: ReadonlySet<string>) => void;
}) {
  const words = useWords();
  const catalog = useCall<ToolGroups>("tools.catalog", { agentId: props.agentId });
  if (catalog.isError)
    return <Problem compact error={catalog.error} onRetry={() => void catalog.refetch()} />;
  if (!catalog.data) return <Skeleton lines={3} label={words.agents.tools} />;
  const tools = catalog.data.groups.flatMap((group) => group.tools);
  if (tools.length === 0) return <p className="text-s text-ink-3">{words.agents.toolsNone}</p>;
  const toggle = (id: string) => {
    const next = new Set(props.allowed);
    if (!next.delete(id)) next.add(id);
    props.onChange(next);
  };
  return (
    <ul className="grid gap-1 sm:grid-cols-2">
      {tools.map((tool) => (
        <li key={tool.id}>
          <label className="quick flex cursor-pointer items-start gap-3 rounded-medium p-2 hover:bg-hover">
            <input
              type="checkbox"
              className="mt-0.5 size-4 shrink-0 accent-accent"
              checked={props.allowed.has(tool.id)}
              onChange={() => toggle(tool.id)}
            />
            <span className="grid min-w-0">
              <span className="font-mono text-s">{tool.id}</span>
              <span className="text-xs text-ink-3">
                {words.agents.toolHints[tool.id] ?? tool.description ?? ""}
              </span>
            </span>
          </label>
        </li>
      ))}
    </ul>
  );
}

function useSaveAgent(agent: AgentRow) {
  const words = useWords();
  const toast = useToast();
  const { slug, connection } = useTenant();
  const queries = useQueryClient();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const save = async (wish: Record<string, unknown>) => {
    setBusy(true);
    setFailure(undefined);
    try {
      await connection.call("agents.update", { agentId: agent.id, ...wish });
      await queries.invalidateQueries({ queryKey: ["tenant", slug] });
      toast(words.act.saved);
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
    } finally {
      setBusy(false);
    }
  };
  return { save, busy, failure };
}

function DangerZone(props: { agent: AgentRow; isDefault: boolean }) {
  const words = useWords();
  const { slug, connection } = useTenant();
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  const [asking, setAsking] = useState(false);
  const { agent } = props;
  const remove = async () => {
    await connection.call("agents.delete", { agentId: agent.id, deleteFiles: true });
    navigate("/agents");
    await queries.invalidateQueries({ queryKey: callKey(slug, "agents.list").slice(0, 3) });
  };
  return (
    <Sheet className="flex flex-wrap items-center gap-4 p-4 sm:p-6">
      <div className="grid min-w-0 flex-1 gap-1">
        <h2 className="text-l font-semibold">{words.agents.danger}</h2>
        <p className="text-s text-ink-2">
          {props.isDefault ? words.agents.keepMain : words.agents.dangerHint}
        </p>
      </div>
      <Button
        tone="outline"
        className="text-danger"
        disabled={props.isDefault}
        onClick={() => setAsking(true)}
      >
        {words.agents.deleteButton}
      </Button>
      <ConfirmDialog
        open={asking}
        onClose={() => setAsking(false)}
        title={words.agents.deleteTitle(agent.name ?? agent.id)}
        what={words.agents.deleteWhat}
        action={words.agents.deleteButton}
        typed={{ label: words.agents.deleteType(agent.id), text: agent.id }}
        onConfirm={remove}
      />
    </Sheet>
  );
}

/** The settings of one agent. */
export function AgentForm(props: { agent: AgentRow; isDefault: boolean }) {
  const words = useWords();
  const { agent } = props;
  const [name, setName] = useState(agent.identity?.name ?? agent.name ?? agent.id);
  const [model, setModel] = useState(agent.model?.primary ?? "");
  const catalog = useCall<ToolGroups>("tools.catalog", { agentId: agent.id });
  const [chosen, setChosen] = useState<ReadonlySet<string>>();
  const allowed = chosen ?? new Set(allowedNow(agent, catalog.data));
  const { save, busy, failure } = useSaveAgent(agent);
  const submit = () =>
    save({
      name: name.trim(),
      model: model || null,
      ...(chosen ? { tools: [...chosen].sort() } : {}),
    });
  return (
    <>
      <Sheet className="p-4 sm:p-6">
        <form
          className="grid gap-6"
          onSubmit={(event) => {
            event.preventDefault();
            if (name.trim() && !busy) void submit();
          }}
        >
          <div className="grid gap-5 sm:grid-cols-2">
            <TextField
              label={words.agents.name}
              value={name}
              maxLength={64}
              onChange={(event) => setName(event.target.value)}
            />
            <ModelField value={model} onChange={setModel} />
          </div>
          <fieldset className="grid gap-2">
            <legend className="text-s font-medium text-ink-2">{words.agents.tools}</legend>
            <p className="text-xs text-ink-3">{words.agents.toolsHint}</p>
            <ToolChoice agentId={agent.id} allowed={allowed} onChange={setChosen} />
          </fieldset>
          {failure ? <Problem compact title={words.agents.saveAgentFailed} error={failure} /> : null}
          <div className="flex justify-end">
            <Button tone="primary" type="submit" disabled={!name.trim() || busy}>
              {busy ? words.act.saving : words.act.save}
            </Button>
          </div>
        </form>
      </Sheet>
      <DangerZone agent={agent} isDefault={props.isDefault} />
    </>
  );
}
