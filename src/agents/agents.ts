/**
 * The agents of a tenant, in tenant.db. Owns: finding, making and changing them, and the main one that always exists.
 * Refuses to know: sessions, runs. An agent id means nothing without its tenant.
 */
import { randomBytes } from "node:crypto";
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import { type AgentId, isAgentId } from "../kernel/ids.ts";
import { LIMITS } from "../kernel/limits.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import { type Agent, DEFAULT_TOOLS, MAIN_AGENT_ID } from "./agent.ts";
import type { Workspaces } from "./workspace.ts";
import { BOOTSTRAP_FILES, SEEDS } from "./workspace-seeds.ts";

/** What may be said about a new agent. */
export interface AgentDraft {
  name: string;
  emoji?: string | undefined;
  avatar?: string | undefined;
  model?: string | undefined;
  tools?: readonly string[] | undefined;
}

/** What may be changed; undefined leaves a field as it is. */
export interface AgentChange {
  name?: string | undefined;
  emoji?: string | undefined;
  avatar?: string | undefined;
  model?: string | null | undefined;
  tools?: readonly string[] | undefined;
}

interface AgentRow {
  id: string;
  name: string;
  emoji: string | null;
  avatar: string | null;
  model: string | null;
  tools_allowed: string;
  created_at_ms: number;
}

const INSERT = `INSERT INTO agents (id, name, emoji, avatar, model, tools_allowed, created_at_ms)
  SELECT ?, ?, ?, ?, ?, ?, ? WHERE (SELECT count(*) FROM agents) < ? ON CONFLICT (id) DO NOTHING`;

/** How many agents a tenant's plan holds, the main one included, and what to say to who wants more; null is no limit. */
export type AgentPlaces = (scope: TenantScope) => Promise<{ limit: number; refusal(): AppError } | null>;

/** See the head of this file. */
export class Agents {
  private readonly workspaces: Workspaces;
  private readonly clock: Clock;
  private readonly placesOf: AgentPlaces;

  /** @param placesOf what the tenant's plan says */
  constructor(workspaces: Workspaces, clock: Clock, placesOf: AgentPlaces = async () => null) {
    this.workspaces = workspaces;
    this.clock = clock;
    this.placesOf = placesOf;
  }

  /** Undefined for an id that is unknown, malformed or somebody else's: all look the same. */
  async find(scope: TenantScope, id: string): Promise<Agent | undefined> {
    if (!isAgentId(id)) return undefined;
    const row = await scope.db.find<AgentRow>("SELECT * FROM agents WHERE id = ?", [id]);
    if (row !== undefined) return toAgent(row);
    return id === MAIN_AGENT_ID ? this.ensureMain(scope) : undefined;
  }

  /** Throws `not_found`. */
  async get(scope: TenantScope, id: string): Promise<Agent> {
    const agent = await this.find(scope, id);
    if (agent === undefined) throw new AppError("not_found", `There is no agent "${id.slice(0, 64)}".`);
    return agent;
  }

  /** The main agent first, then by age. */
  async list(scope: TenantScope): Promise<Agent[]> {
    await this.get(scope, MAIN_AGENT_ID);
    const rows = await scope.db.list<AgentRow>(
      "SELECT * FROM agents ORDER BY id <> 'main', created_at_ms, id LIMIT ?",
      [LIMITS.agentsPerTenant],
    );
    return rows.map(toAgent);
  }

  /** Make the main agent and its first files if they are not there yet; any number of times, from anywhere at once. */
  async ensureMain(scope: TenantScope): Promise<Agent> {
    // ORDER: files first; a crash in between leaves files that the next call finds and keeps.
    await this.seed(scope, MAIN_AGENT_ID);
    const draft = toDraftRow(MAIN_AGENT_ID, { name: "Assistant" }, this.clock.nowMs());
    await scope.db.write({ statements: [{ sql: INSERT, params: [...draft, LIMITS.agentsPerTenant + 1] }] });
    const row = await scope.db.find<AgentRow>("SELECT * FROM agents WHERE id = ?", [MAIN_AGENT_ID]);
    if (row === undefined) throw new AppError("internal", "The main agent could not be made.");
    return toAgent(row);
  }

  /** Make an agent with an id from its name; throws `invalid_request`, `conflict` or `limit_reached`. */
  async create(scope: TenantScope, draft: AgentDraft): Promise<Agent> {
    await this.get(scope, MAIN_AGENT_ID);
    const name = checkName(draft.name);
    const id = idFromName(name);
    if ((await this.find(scope, id)) !== undefined) {
      throw new AppError("conflict", `There is already an agent "${id}".`);
    }
    const row = toDraftRow(id, { ...draft, name }, this.clock.nowMs());
    const place = await this.placesOf(scope);
    const limit = Math.min(LIMITS.agentsPerTenant, place?.limit ?? LIMITS.agentsPerTenant);
    const outcome = await scope.db.write({
      statements: [{ sql: INSERT, params: [...row, limit], expect: 1 }],
    });
    if (!outcome.committed) {
      if ((await this.find(scope, id)) !== undefined) {
        throw new AppError("conflict", `There is already an agent "${id}".`);
      }
      if (place !== null && place.limit <= LIMITS.agentsPerTenant) throw place.refusal();
      throw new AppError("limit_reached", `A tenant may have ${LIMITS.agentsPerTenant} agents.`);
    }
    await this.seed(scope, id);
    return this.get(scope, id);
  }

  /** Change an agent; throws `not_found` or `invalid_request`. */
  async update(scope: TenantScope, id: string, change: AgentChange): Promise<Agent> {
    const before = await this.get(scope, id);
    const name = change.name === undefined ? before.name : checkName(change.name);
    const model = change.model === undefined ? before.model : checkModel(change.model);
    const outcome = await scope.db.write({
      statements: [
        {
          sql: "UPDATE agents SET name = ?, emoji = ?, avatar = ?, model = ?, tools_allowed = ? WHERE id = ?",
          params: [
            name,
            change.emoji === undefined ? before.emoji : checkShort(change.emoji, 16, "emoji"),
            change.avatar === undefined ? before.avatar : checkAvatar(change.avatar),
            model,
            JSON.stringify(change.tools ?? before.tools),
            before.id,
          ],
          expect: 1,
        },
      ],
    });
    if (!outcome.committed) throw new AppError("not_found", `There is no agent "${id}".`);
    return this.get(scope, id);
  }

  /** Remove an agent, what it remembers and, if asked, its files. The main agent stays. Throws `not_found`. */
  async remove(scope: TenantScope, id: string, withFiles: boolean): Promise<void> {
    const agent = await this.get(scope, id);
    if (agent.id === MAIN_AGENT_ID) {
      throw new AppError("invalid_request", "The main agent cannot be deleted.");
    }
    const outcome = await scope.db.write({
      statements: [
        { sql: "DELETE FROM agents WHERE id = ?", params: [agent.id], expect: 1 },
        {
          sql: `INSERT INTO memories_text (memories_text, rowid, text)
            SELECT 'delete', id, text FROM memories WHERE agent_id = ?`,
          params: [agent.id],
        },
        { sql: "DELETE FROM memories WHERE agent_id = ?", params: [agent.id] },
      ],
    });
    if (!outcome.committed) throw new AppError("not_found", `There is no agent "${id}".`);
    if (withFiles) await this.workspaces.removeAll(scope, agent.id);
  }

  private async seed(scope: TenantScope, id: AgentId): Promise<void> {
    for (const file of BOOTSTRAP_FILES) await this.workspaces.create(scope, id, file, SEEDS[file]);
  }
}

function toAgent(row: AgentRow): Agent {
  return {
    id: row.id as AgentId,
    name: row.name,
    emoji: row.emoji,
    avatar: row.avatar,
    model: row.model,
    tools: JSON.parse(row.tools_allowed) as string[],
    createdAtMs: row.created_at_ms,
  };
}

function toDraftRow(id: AgentId, draft: AgentDraft, nowMs: number): (string | number | null)[] {
  return [
    id,
    draft.name,
    draft.emoji === undefined ? null : checkShort(draft.emoji, 16, "emoji"),
    draft.avatar === undefined ? null : checkAvatar(draft.avatar),
    checkModel(draft.model ?? null),
    JSON.stringify(draft.tools ?? DEFAULT_TOOLS),
    nowMs,
  ];
}

/** `Research Desk` becomes `research-desk`; a name without Latin letters gets a random id. */
function idFromName(name: string): AgentId {
  const slug = name
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 48)
    .replace(/-+$/, "");
  const id = slug === "" ? `agent-${randomBytes(4).toString("hex")}` : slug;
  if (!isAgentId(id)) throw new AppError("invalid_request", "This name cannot be used for an agent.");
  return id;
}

function checkName(text: string): string {
  const name = text.trim();
  if (name === "" || name.length > 80 || /[\p{Cc}\u2028-\u202e\u2066-\u2069]/u.test(name)) {
    throw new AppError("invalid_request", "An agent's name has 1 to 80 characters, none of them invisible.");
  }
  return name;
}

function checkShort(text: string, chars: number, field: string): string | null {
  const trimmed = text.trim();
  if (trimmed.length > chars || /[\p{Cc}<>]/u.test(trimmed)) {
    throw new AppError("invalid_request", `The ${field} is too long or has odd characters.`, {
      details: { field },
    });
  }
  return trimmed === "" ? null : trimmed;
}

/** SECURITY: shown to every member; only an inline picture or a letter, never an address that would be loaded. */
function checkAvatar(text: string): string | null {
  const trimmed = text.trim();
  if (
    /^data:image\/(?:png|jpeg|webp|gif);base64,[A-Za-z0-9+/=]+$/.test(trimmed) &&
    trimmed.length <= 200_000
  ) {
    return trimmed;
  }
  return checkShort(trimmed, 16, "avatar");
}

function checkModel(ref: string | null): string | null {
  if (ref === null || ref === "") return null;
  if (ref.length > 200 || !/^[a-z0-9][\w.-]*\/\S+$/i.test(ref)) {
    throw new AppError("invalid_request", 'A model is written as "provider/model".', {
      details: { field: "model" },
    });
  }
  return ref;
}
