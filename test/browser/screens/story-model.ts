/**
 * A chat-completions server on loopback that tells the stories of the pictures. Owns: the wire form and the pace.
 * Refuses to know: what is told (stories.ts). A story is chosen by the opening words of the last thing a person said.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** One answer of the model; a story has one more after each tool result. */
export interface Chapter {
  reasoning?: string;
  text: string;
  tools?: readonly { name: string; args: Record<string, unknown> }[];
  /** Say the text and then neither go on nor end, until the caller goes away. */
  stays?: boolean;
  /** Refuse with this status instead. */
  refusesWith?: number;
}

/** Stories by the opening words of the question. */
export type Stories = Readonly<Record<string, readonly Chapter[]>>;

interface Message {
  role: string;
  content?: unknown;
}

const PIECE_CHARS = 40;
const PIECE_MS = 2;

/** Starts the server; answers where it is and how to end it. */
export async function startStoryModel(
  stories: Stories,
): Promise<{ baseUrl: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    answer(stories, request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function answer(stories: Stories, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const { messages } = JSON.parse(Buffer.concat(parts).toString()) as { messages: Message[] };
  const chapter = chapterFor(stories, messages);
  if (chapter.refusesWith !== undefined) {
    const error = { message: "Incorrect API key provided: sk-…41ce.", type: "invalid_request_error" };
    response.writeHead(chapter.refusesWith, { "content-type": "application/json" });
    response.end(JSON.stringify({ error }));
    return;
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  const say = (delta: unknown, finish: string | null = null) =>
    response.write(
      `data: ${JSON.stringify({ id: "story", object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`,
    );
  if (chapter.reasoning !== undefined) say({ reasoning_content: chapter.reasoning });
  for (let at = 0; at < chapter.text.length; at += PIECE_CHARS) {
    say({ content: chapter.text.slice(at, at + PIECE_CHARS) });
    await sleep(PIECE_MS);
  }
  if (chapter.stays === true) return;
  const calls = (chapter.tools ?? []).map((tool, index) => ({
    index,
    id: `call_${messages.length}_${index}`,
    type: "function",
    function: { name: tool.name, arguments: JSON.stringify(tool.args) },
  }));
  if (calls.length > 0) say({ tool_calls: calls });
  say({}, calls.length > 0 ? "tool_calls" : "stop");
  const usage = { prompt_tokens: 4_210, completion_tokens: 380, total_tokens: 4_590 };
  response.write(`data: ${JSON.stringify({ id: "story", choices: [], usage })}\n\n`);
  response.end("data: [DONE]\n\n");
}

function chapterFor(stories: Stories, messages: readonly Message[]): Chapter {
  const asked = messages.findLastIndex((message) => message.role === "user");
  const question = JSON.stringify(messages[asked]?.content ?? "");
  const told = messages.slice(asked + 1).filter((message) => message.role === "assistant").length;
  const story = Object.entries(stories).find(([opening]) => question.includes(opening))?.[1];
  return story?.[Math.min(told, story.length - 1)] ?? { text: "…" };
}
