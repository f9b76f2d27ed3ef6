/**
 * Session keys as people and clients write them. Owns: the canonical form `agent:<agentId>:<rest>`.
 * Refuses to know: which sessions or agents exist. Source: PROTOCOL.md 7.7.
 */
import { AppError } from "../kernel/errors.ts";
import { type AgentId, isAgentId, newId, type SessionKey } from "../kernel/ids.ts";

/** A canonical key and the agent it belongs to. */
export interface ParsedKey {
  key: SessionKey;
  agentId: AgentId;
  /** The part after the agent. */
  rest: string;
}

const MAIN = "main" as AgentId;
/** Longest key, as OpenClaw's schema. */
const KEY_CHARS = 512;

/**
 * Bring a key into its canonical form: `main` is `agent:main:main`, `x` is `agent:main:x`.
 * Throws `invalid_request` for control characters, over-long keys and agent ids off the grammar.
 */
export function parseSessionKey(text: string, agentHint?: string): ParsedKey {
  const trimmed = text.trim();
  if (trimmed.length === 0 || trimmed.length > KEY_CHARS || /[\p{Cc}\p{Cs}]/u.test(trimmed)) {
    throw new AppError("invalid_request", "A session key has 1 to 512 characters and no control characters.");
  }
  const match = /^agent:([^:]+):(.+)$/s.exec(trimmed);
  if (match === null) {
    const agentId = agentHint === undefined ? MAIN : checkAgentId(agentHint);
    return { key: `agent:${agentId}:${trimmed}` as SessionKey, agentId, rest: trimmed };
  }
  const agentId = checkAgentId(match[1] ?? "");
  const rest = match[2] ?? "";
  // Made anew: `agent:Main:x` is the same conversation as `agent:main:x`.
  return { key: `agent:${agentId}:${rest}` as SessionKey, agentId, rest };
}

/** Accept an agent id from outside; throws `invalid_request`. */
export function checkAgentId(text: string): AgentId {
  const id = text.toLowerCase();
  if (!isAgentId(id))
    throw new AppError("invalid_request", "An agent id has 1 to 64 characters: a-z, 0-9, _ and -.");
  return id;
}

/** A key for a new conversation begun from a browser, as OpenClaw's Control UI makes them. */
export function newDashboardKey(agentId: AgentId): ParsedKey {
  const rest = `dashboard:${newId()}`;
  return { key: `agent:${agentId}:${rest}` as SessionKey, agentId, rest };
}
