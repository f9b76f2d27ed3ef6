/** Messages on their way to the server. Owns: their state and their survival of a reload. Refuses to know: the socket. */

import type { Attachment } from "../composer/attachments.ts";

/** One message the server has not yet put into the transcript. */
export interface Outgoing {
  idempotencyKey: string;
  text: string;
  attachments: readonly Attachment[];
  atMs: number;
  state: "waiting" | "sending" | "accepted" | "failed";
  failure?: Error;
}

const boxKey = (slug: string, sessionKey: string): string => `creel:outgoing:${slug}:${sessionKey}`;
const draftKey = (slug: string, sessionKey: string): string => `creel:draft:${slug}:${sessionKey}`;

function readText(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function writeText(key: string, value: string | undefined): void {
  try {
    if (value === undefined) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // Storage may be full or forbidden; the message still lives in this tab.
  }
}

/** Messages left unsent when the page went away; they wait to be sent with the same key. */
export function loadOutgoing(slug: string, sessionKey: string): Outgoing[] {
  try {
    const stored = JSON.parse(readText(boxKey(slug, sessionKey)) ?? "[]") as Outgoing[];
    return stored
      .filter((item) => typeof item.text === "string" && typeof item.idempotencyKey === "string")
      .map(({ idempotencyKey, text, atMs }) => ({
        idempotencyKey,
        text,
        atMs,
        attachments: [],
        state: "waiting" as const,
      }));
  } catch {
    return [];
  }
}

/** Keeps what has not been accepted. Files are too large for this store; a message with files lives in its tab only. */
export function saveOutgoing(slug: string, sessionKey: string, items: readonly Outgoing[]): void {
  const kept = items.filter((item) => item.state !== "accepted" && item.attachments.length === 0);
  const plain = kept.map(({ idempotencyKey, text, atMs }) => ({ idempotencyKey, text, atMs }));
  writeText(boxKey(slug, sessionKey), plain.length > 0 ? JSON.stringify(plain) : undefined);
}

/** The unsent words of a session's composer. */
export function loadDraft(slug: string, sessionKey: string): string {
  return readText(draftKey(slug, sessionKey)) ?? "";
}

/** Keeps the unsent words of a session's composer. */
export function saveDraft(slug: string, sessionKey: string, text: string): void {
  writeText(draftKey(slug, sessionKey), text ? text : undefined);
}
