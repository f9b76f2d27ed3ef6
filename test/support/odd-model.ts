/**
 * A provider on loopback that behaves as providers should not. Owns: those faults; the well-behaved one is mock-model.
 *
 * Words in the last user message choose: `CUTCALL` is cut in the arguments of a tool's call; `RAW{…}` is twenty pieces of text
 * (6,000 characters) and this usage; anything else one word.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** A running one. */
export interface OddModel {
  baseUrl: string;
  /** Text of the last user message of every call. */
  calls: string[];
  close(): Promise<void>;
}

/** What `RAW` says, whole. */
export const RAW_TEXT = "many words here ".repeat(375);

/** Start on a free port. */
export async function startOddModel(): Promise<OddModel> {
  const calls: string[] = [];
  const server = createServer(async (request, response) => {
    let raw = "";
    for await (const piece of request) raw += String(piece);
    const { messages } = JSON.parse(raw) as { messages: { role: string; content: unknown }[] };
    const text = JSON.stringify(messages.findLast(({ role }) => role === "user")?.content);
    calls.push(text);
    const send = (delta: unknown, finish: string | null = null, more: object = {}) => {
      const choices = delta === null ? [] : [{ index: 0, delta, finish_reason: finish }];
      return response.write(`data: ${JSON.stringify({ id: "1", model: "odd-1", choices, ...more })}\n\n`);
    };
    response.writeHead(200, { "content-type": "text/event-stream" });
    if (text.includes("CUTCALL")) {
      send({ tool_calls: [call("c1", "workspace_write", '{"path":"a","content":"')] });
      for (let n = 0; n < 40; n++)
        send({ tool_calls: [{ index: 0, function: { arguments: "lorem ".repeat(40) } }] });
      // Cut only when all of it is on its way.
      response.write("", () => response.destroy());
      return;
    }
    const usage = /RAW(\{.*\})/.exec(JSON.parse(text) as string)?.[1];
    if (usage === undefined) send({ content: "ok" });
    else for (let n = 0; n < 20; n++) send({ content: RAW_TEXT.slice(n * 300, n * 300 + 300) });
    send({}, "stop");
    send(null, null, { usage: JSON.parse(usage ?? '{"prompt_tokens":10,"completion_tokens":5}') });
    response.end("data: [DONE]\n\n");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    calls,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function call(id: string, name: string, args: string) {
  return { index: 0, id, type: "function", function: { name, arguments: args } };
}
