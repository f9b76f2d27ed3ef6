/** Agents: the list, and one agent's settings and files. Owns: which one is open. Refuses to know: the forms' insides. */
import { ArrowLeft, Bot, Plus } from "lucide-react";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { agentName } from "../composer/model-menu.tsx";
import { useAgents } from "../gateway/use-call.ts";
import type { AgentRow, AgentsPage as AgentsAnswer } from "../gateway/wire.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Badge, Plate } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { PageFrame, Sheet } from "../parts/page-frame.tsx";
import { Segmented } from "../parts/segmented.tsx";
import { Empty, Problem, Skeleton } from "../parts/states.tsx";
import { AgentForm } from "./agent-form.tsx";
import { CreateAgentDialog } from "./create-agent.tsx";
import { WorkspaceFiles } from "./workspace-files.tsx";

function toolSummary(agent: AgentRow, words: ReturnType<typeof useWords>): string | undefined {
  const allow = agent.tools;
  if (!allow) return undefined;
  return allow.length === 0 ? words.agents.noTools : words.agents.toolCount(allow.length);
}

function AgentCard(props: { agent: AgentRow; agents: AgentRow[]; isDefault: boolean }) {
  const words = useWords();
  const { agent } = props;
  const name = agentName(props.agents, agent.id);
  const details = [agent.id, agent.model?.primary ?? words.agents.modelDefault, toolSummary(agent, words)];
  return (
    <li>
      <Link
        href={`/agents/${encodeURIComponent(agent.id)}`}
        className="quick flex items-center gap-4 rounded-large border border-line bg-card p-4 shadow-1 hover:border-accent"
      >
        <Plate name={agent.identity?.emoji ?? name} size={44} />
        <span className="grid min-w-0 flex-1 grid-cols-1 gap-0.5">
          <span className="flex items-center gap-2">
            <span className="truncate text-l font-semibold">{name}</span>
            {props.isDefault ? <Badge tone="accent">{words.agents.isDefault}</Badge> : null}
          </span>
          <span className="truncate text-s text-ink-3">{details.filter(Boolean).join(" · ")}</span>
        </span>
      </Link>
    </li>
  );
}

function AgentList(props: { answer: AgentsAnswer }) {
  const words = useWords();
  const { agents, defaultId } = props.answer;
  if (agents.length === 0) return <Empty icon={<Bot size={28} aria-hidden />} title={words.agents.empty} />;
  return (
    <ul className="grid grid-cols-1 gap-3 md:grid-cols-2">
      {agents.map((agent) => (
        <AgentCard key={agent.id} agent={agent} agents={agents} isDefault={agent.id === defaultId} />
      ))}
    </ul>
  );
}

function AgentDetail(props: { agent: AgentRow; answer: AgentsAnswer }) {
  const words = useWords();
  const { agent, answer } = props;
  const [tab, setTab] = useState<"files" | "settings">("files");
  const [, navigate] = useLocation();
  return (
    <PageFrame
      title={agentName(answer.agents, agent.id)}
      subtitle={agent.id}
      actions={
        <Button tone="primary" onClick={() => navigate(`/?agent=${encodeURIComponent(agent.id)}`)}>
          {words.agents.chat}
        </Button>
      }
    >
      <div className="flex flex-wrap items-center gap-4">
        <Link
          href="/agents"
          className="quick inline-flex h-9 items-center gap-2 rounded-medium pr-3 text-s text-ink-2 hover:text-ink"
        >
          <ArrowLeft size={16} aria-hidden />
          {words.agents.title}
        </Link>
        <Segmented
          label={words.agents.title}
          value={tab}
          onChange={setTab}
          options={[
            { value: "files", label: words.agents.files },
            { value: "settings", label: words.agents.settings },
          ]}
        />
      </div>
      {tab === "files" ? (
        <WorkspaceFiles key={agent.id} agentId={agent.id} />
      ) : (
        <AgentForm key={agent.id} agent={agent} isDefault={agent.id === answer.defaultId} />
      )}
    </PageFrame>
  );
}

/** The agents page, with one agent open when the address names it. */
export default function AgentsPage(props: { agentId: string | undefined }) {
  const words = useWords();
  const answer = useAgents();
  const [creating, setCreating] = useState(false);
  const agent = answer.data?.agents.find((other) => other.id === props.agentId);
  if (answer.data && agent) return <AgentDetail agent={agent} answer={answer.data} />;
  const missing = props.agentId !== undefined && answer.data !== undefined;
  return (
    <PageFrame
      title={words.agents.title}
      subtitle={words.agents.subtitle}
      actions={
        <Button tone="primary" onClick={() => setCreating(true)}>
          <Plus size={18} aria-hidden />
          {words.agents.create}
        </Button>
      }
    >
      {missing ? (
        <Sheet>
          <Empty title={words.agents.notFound} />
        </Sheet>
      ) : null}
      {answer.isError ? (
        <Problem title={words.agents.failed} error={answer.error} onRetry={() => void answer.refetch()} />
      ) : answer.data ? (
        <AgentList answer={answer.data} />
      ) : (
        <Skeleton lines={6} label={words.agents.title} />
      )}
      <CreateAgentDialog open={creating} onClose={() => setCreating(false)} />
    </PageFrame>
  );
}
