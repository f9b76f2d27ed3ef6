/** Session keys, their addresses and their titles. Owns: that mapping. Refuses to know: the list and the chat. */
import { newId } from "../gateway/new-id.ts";
import type { SessionRow } from "../gateway/wire.ts";

/** Splits `agent:<agent>:<rest>`; a short alias belongs to the main agent. */
export function splitKey(key: string): { agentId: string; session: string } {
  const match = /^agent:([^:]+):(.+)$/.exec(key);
  return match
    ? { agentId: match[1] ?? "main", session: match[2] ?? "main" }
    : { agentId: "main", session: key };
}

/** Canonical key of one agent's session. */
export function joinKey(agentId: string, session: string): string {
  return `agent:${agentId}:${session}`;
}

/** A key no session has yet. */
export function newSessionKey(agentId: string): string {
  return joinKey(agentId, `dashboard:${newId()}`);
}

const encode = (part: string): string => encodeURIComponent(part).replaceAll("%3A", ":");

/** Address of a session below the tenant's own prefix. */
export function sessionPath(key: string): string {
  const { agentId, session } = splitKey(key);
  return `/chat/${encode(agentId)}/${encode(session)}`;
}

/** Reads back what sessionPath wrote; a malformed escape stays as it is. */
export function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** What a person calls this session, or undefined when it has no name yet. */
export function titleOf(row: SessionRow | undefined): string | undefined {
  const title = row?.label || row?.displayName || row?.derivedTitle || row?.lastMessagePreview;
  return title ? title.replace(/\s+/g, " ").trim().slice(0, 200) || undefined : undefined;
}
