/**
 * Callers whose credential is limited to some agents. Owns: which agent each call is about, and refusing what is about
 * others, or what does not say. Refuses to know: what calls do.
 *
 * SECURITY: a method that is not listed here is refused to such callers, so a new one never opens a way around.
 */
import { AppError } from "../kernel/errors.ts";
import type { GatewayEvent } from "../protocol/events.ts";
import type { Method } from "../protocol/methods.ts";
import { checkAgentId, parseSessionKey } from "../sessions/session-key.ts";
import { type Principal, reachesAgent } from "../tenancy/principal.ts";

/**
 * What a method is about: `nothing` no agent; `one` the agent or session that it names, or else `main`; `named` the
 * same, but not without naming one; `listed` as `named`, and a caller with one agent means that; `keys` several
 * sessions; `run` a run; `shown` all, of which only the own are shown.
 */
type Reach = "nothing" | "one" | "named" | "listed" | "keys" | "run" | "shown";

const REACH: Readonly<Record<string, Reach>> = {
  agent: "one",
  "agent.identity.get": "one",
  "agent.wait": "run",
  "agents.delete": "named",
  "agents.files.get": "named",
  "agents.files.list": "named",
  "agents.files.set": "named",
  "agents.list": "shown",
  "agents.update": "named",
  "agents.workspace.get": "named",
  "agents.workspace.list": "named",
  "chat.abort": "one",
  "chat.history": "one",
  "chat.inject": "one",
  "chat.message.get": "one",
  "chat.metadata": "one",
  "chat.send": "one",
  "chat.startup": "one",
  "commands.list": "nothing",
  "gateway.identity.get": "nothing",
  health: "shown",
  "memory.search": "one",
  "models.authStatus": "nothing",
  "models.list": "one",
  "sessions.abort": "run",
  "sessions.create": "one",
  "sessions.delete": "named",
  "sessions.describe": "named",
  "sessions.get": "named",
  "sessions.list": "listed",
  "sessions.messages.subscribe": "named",
  "sessions.messages.unsubscribe": "named",
  "sessions.patch": "named",
  "sessions.preview": "keys",
  "sessions.reset": "named",
  "sessions.send": "named",
  "sessions.subscribe": "listed",
  "sessions.unsubscribe": "nothing",
  status: "shown",
  "tasks.cancel": "run",
  "tasks.get": "run",
  "tasks.list": "listed",
  "tools.catalog": "one",
  "tools.effective": "one",
  "usage.cost": "listed",
  "users.prefs.get": "nothing",
  "users.prefs.set": "nothing",
  "users.self": "nothing",
};

/** HTTP routes that look at the agent themselves; every other one inside a tenant is refused to limited callers. */
const ROUTES: ReadonlySet<string> = new Set(["/rpc/:method", "/v1/models", "/v1/chat/completions"]);

/** Finds the agent of a run in the caller's tenant; undefined when there is no such run. */
export type AgentOfRun = (runId: string) => Promise<string | undefined>;

type Params = Readonly<Record<string, unknown>>;

/**
 * Params as a limited caller may send them; others' come back as they are. Throws `forbidden` for what is about an agent
 * beyond the limit, and for what does not say.
 */
export async function limitParams(
  method: Method,
  params: unknown,
  principal: Principal,
  agentOfRun: AgentOfRun,
): Promise<unknown> {
  const limit = principal.agents;
  if (limit == null) return params;
  const named = (params ?? {}) as Params;
  const reach = Object.hasOwn(REACH, method.name) ? REACH[method.name] : undefined;
  switch (reach) {
    case "nothing":
    case "shown":
      return params;
    case "one":
      assertReached(principal, agentsNamed(named).length > 0 ? agentsNamed(named) : withoutName(named));
      return params;
    case "named":
      assertReached(principal, agentsNamed(named));
      return params;
    case "listed": {
      const [only, another] = limit;
      if (agentsNamed(named).length === 0 && another === undefined) return { ...named, agentId: only };
      assertReached(principal, agentsNamed(named));
      return params;
    }
    case "keys":
      assertReached(principal, textsOf(named["keys"]).map(agentOfKey));
      return params;
    case "run": {
      const runId = named["runId"] ?? named["taskId"];
      const ofRun = typeof runId === "string" ? await agentOfRun(runId) : undefined;
      // A run that is not there is about nothing; a session beside it must be one's own all the same.
      if (ofRun === undefined && agentsNamed(named).length === 0) throw beyond();
      assertReached(principal, [...agentsNamed(named), ...(ofRun === undefined ? [] : [ofRun])]);
      return params;
    }
    default:
      throw beyond();
  }
}

/** What a limited caller is shown of an answer that is about all agents. */
export function limitResult(method: Method, result: unknown, principal: Principal): unknown {
  if (principal.agents == null || REACH[method.name] !== "shown") return result;
  const shown = { ...(result as Params) };
  const isOwn = (entry: unknown) => {
    const { id, agentId, key } = entry as Params;
    const agent = id ?? agentId ?? (typeof key === "string" ? agentOfKey(key) : undefined);
    return typeof agent === "string" && reachesAgent(principal, agent);
  };
  const own = (list: unknown) => (Array.isArray(list) ? list.filter(isOwn) : []);
  const ownSessions = (sessions: unknown) => {
    const recent = own((sessions as Params)["recent"]);
    return { ...(sessions as Params), recent, count: recent.length };
  };
  if (shown["agents"] !== undefined)
    shown["agents"] = own(shown["agents"]).map((agent) => {
      const { sessions } = agent as Params;
      return sessions === undefined ? agent : { ...(agent as Params), sessions: ownSessions(sessions) };
    });
  if (shown["sessions"] !== undefined) shown["sessions"] = ownSessions(shown["sessions"]);
  return shown;
}

/** Refuse a route that is not about agents; throws `forbidden`. */
export function assertRouteReached(principal: Principal, path: string): void {
  if (principal.agents != null && !ROUTES.has(path)) throw beyond();
}

/** Whether an event may be shown to the caller. */
export function reachesEvent(principal: Principal, event: GatewayEvent): boolean {
  if (principal.agents == null || event.event === "tick" || event.event === "shutdown") return true;
  return event.sessionKey !== undefined && reachesAgent(principal, agentOfKey(event.sessionKey));
}

/** Agents that params name, by id or by session key; all of them count. */
function agentsNamed(params: Params): string[] {
  const hint = params["agentId"];
  const agents = typeof hint === "string" ? [checkAgentId(hint)] : [];
  for (const field of ["sessionKey", "key"]) {
    const key = params[field];
    if (typeof key === "string" && key !== "")
      agents.push(parseSessionKey(key, typeof hint === "string" ? hint : undefined).agentId);
  }
  return agents;
}

/** A session that is named by its id alone could be anybody's. */
function withoutName(params: Params): string[] {
  return typeof params["sessionId"] === "string" && params["sessionId"] !== "" ? [] : ["main"];
}

function agentOfKey(key: string): string {
  return parseSessionKey(key).agentId;
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === "string") : [];
}

function assertReached(principal: Principal, agents: readonly string[]): void {
  if (agents.length === 0 || agents.some((agent) => !reachesAgent(principal, agent))) throw beyond();
}

function beyond(): AppError {
  return new AppError("forbidden", "This token is limited to some agents, and the call is not about those.", {
    details: { code: "AGENT_LIMIT" },
  });
}
