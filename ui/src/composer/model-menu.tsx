/** Chooses the model or the agent of a conversation. Owns: that choice. Refuses to know: what models cost to run. */
import { Bot, ChevronDown, Sparkles } from "lucide-react";
import { useAgents, useModels } from "../gateway/use-call.ts";
import { type AgentRow, DEMO_PROVIDER, type ModelRow } from "../gateway/wire.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Badge } from "../parts/badge.tsx";
import { Menu, MenuItem, MenuLabel } from "../parts/menu.tsx";

const TRIGGER =
  "quick flex h-9 min-w-0 items-center gap-1.5 rounded-medium px-1.5 text-s sm:px-2.5 text-ink-2 hover:bg-hover hover:text-ink";

function modelName(model: ModelRow | undefined, fallback: string): string {
  return model ? (model.name ?? model.id) : fallback;
}

interface ModelMenuProps {
  provider: string | undefined;
  model: string | undefined;
  onPick: (model: ModelRow) => void;
}

/** The model of this conversation; names its provider and marks the demo model. */
export function ModelMenu(props: ModelMenuProps) {
  const words = useWords();
  const formats = useFormats();
  const { data } = useModels();
  const models = data?.models ?? [];
  const current =
    models.find((model) => model.id === props.model && model.provider === props.provider) ??
    models.find((model) => model.tags?.includes("default"));
  const demo = (current?.provider ?? props.provider) === DEMO_PROVIDER;
  return (
    <Menu
      side="top"
      trigger={
        <button type="button" className={TRIGGER}>
          <span className="sr-only">{words.chat.model}: </span>
          <Sparkles size={16} aria-hidden className="shrink-0 max-sm:hidden" />
          {demo ? (
            <Badge tone="willow">{words.chat.demoBadge}</Badge>
          ) : (
            <span className="truncate">{modelName(current, props.model ?? words.chat.defaultModel)}</span>
          )}
          <ChevronDown size={14} aria-hidden className="shrink-0" />
        </button>
      }
    >
      <MenuLabel>{words.chat.model}</MenuLabel>
      {models.map((model) => (
        <MenuItem
          key={`${model.provider}/${model.id}`}
          checked={model === current}
          detail={`${model.provider}${model.contextWindow ? ` · ${formats.compact(model.contextWindow)}` : ""}`}
          onSelect={() => props.onPick(model)}
        >
          {model.provider === DEMO_PROVIDER ? words.chat.demoBadge : modelName(model, model.id)}
        </MenuItem>
      ))}
    </Menu>
  );
}

/** What an agent is called. */
export function agentName(agents: readonly AgentRow[] | undefined, agentId: string): string {
  const agent = agents?.find((other) => other.id === agentId);
  return agent?.identity?.name || agent?.name || (agentId === "main" ? "Creel" : agentId);
}

/** The agent a new conversation begins with; absent while there is only one. */
export function AgentMenu(props: { agentId: string; onPick: (agentId: string) => void }) {
  const words = useWords();
  const { data } = useAgents();
  const agents = data?.agents ?? [];
  if (agents.length < 2) return null;
  return (
    <Menu
      side="top"
      trigger={
        <button type="button" className={TRIGGER}>
          <span className="sr-only">{words.chat.agent}: </span>
          <Bot size={16} aria-hidden className="shrink-0 max-sm:hidden" />
          <span className="truncate">{agentName(agents, props.agentId)}</span>
          <ChevronDown size={14} aria-hidden className="shrink-0" />
        </button>
      }
    >
      <MenuLabel>{words.chat.agent}</MenuLabel>
      {agents.map((agent) => (
        <MenuItem
          key={agent.id}
          checked={agent.id === props.agentId}
          detail={agent.id}
          onSelect={() => props.onPick(agent.id)}
        >
          {agentName(agents, agent.id)}
        </MenuItem>
      ))}
    </Menu>
  );
}
