/** The run that is being answered right now, as pure state. Owns: how events change it. Refuses to know: the socket and the view. */
import type { AgentEvent, ChatEvent, TranscriptRow } from "../gateway/wire.ts";

/** One tool call, live or from the transcript. */
export interface ToolCall {
  id: string;
  name: string;
  args: unknown;
  status: "running" | "done" | "failed" | "unknown";
  startedAtMs?: number;
  durationMs?: number;
  output?: string;
  /** Where in the run's text the call began; only while live. */
  atChar?: number;
}

/** A run in progress, or just ended and not yet found in the transcript. */
export interface LiveRun {
  runId: string;
  text: string;
  /** What the model thought aloud, if it does. */
  thinking: string;
  tools: readonly ToolCall[];
  phase?: string;
  provider?: string;
  model?: string;
  startedAtMs: number;
  ended?: "final" | "aborted" | "error";
  errorMessage?: string;
}

/** Plain text of a message's content. */
export function textOf(content: TranscriptRow["content"] | undefined): string {
  if (content === undefined) return "";
  if (typeof content === "string") return content;
  return content
    .filter((part) => part.type === "text" && part.text)
    .map((part) => part.text)
    .join("\n\n");
}

/** A run nothing has been heard of yet. */
export function startRun(runId: string, startedAtMs: number): LiveRun {
  return { runId, text: "", thinking: "", tools: [], startedAtMs };
}

function nextText(before: string, event: ChatEvent): string {
  if (event.message) {
    const snapshot = textOf(event.message.content);
    if (snapshot || event.replace) return snapshot;
  }
  if (event.deltaText === undefined) return before;
  return event.replace ? event.deltaText : before + event.deltaText;
}

/** The run after one `chat` event. */
export function applyChatEvent(run: LiveRun, event: ChatEvent): LiveRun {
  if (event.state === "status") return { ...run, ...(event.phase ? { phase: event.phase } : {}) };
  const text = nextText(run.text, event);
  const from = event.message;
  const origin = from?.provider ? { provider: from.provider, model: from.model ?? run.model } : {};
  if (event.state === "delta") return { ...run, ...origin, text };
  return {
    ...run,
    ...origin,
    // A terminal message may hold only the last part of a run that also used tools; what was shown stays.
    text: run.text.endsWith(text) ? run.text : text,
    ended: event.state,
    tools: run.tools.map((tool) => (tool.status === "running" ? { ...tool, status: "unknown" } : tool)),
    ...(event.errorMessage ? { errorMessage: event.errorMessage } : {}),
  };
}

/** Readable text of a tool's result, whatever shape the tool gave it. */
export function outputText(result: unknown): string {
  if (result === undefined || result === null) return "";
  if (typeof result === "string") return result;
  const content = (result as { content?: unknown }).content;
  if (Array.isArray(content)) return textOf(content as TranscriptRow["content"]);
  if (typeof content === "string") return content;
  return JSON.stringify(result, null, 2);
}

function changeTool(run: LiveRun, id: string, nowMs: number, change: Partial<ToolCall>): LiveRun {
  const known = run.tools.find((tool) => tool.id === id);
  if (known) {
    return { ...run, tools: run.tools.map((tool) => (tool.id === id ? { ...tool, ...change } : tool)) };
  }
  const fresh: ToolCall = {
    id,
    name: "tool",
    args: undefined,
    status: "running",
    startedAtMs: nowMs,
    atChar: run.text.length,
    ...change,
  };
  return { ...run, tools: [...run.tools, fresh] };
}

function endOf(run: LiveRun, id: string, nowMs: number): { durationMs?: number } {
  const startedAtMs = run.tools.find((tool) => tool.id === id)?.startedAtMs;
  return startedAtMs === undefined ? {} : { durationMs: Math.max(0, nowMs - startedAtMs) };
}

function applyTool(run: LiveRun, data: Record<string, unknown>, nowMs: number): LiveRun {
  const id = String(data["toolCallId"] ?? "");
  if (!id) return run;
  const name = typeof data["name"] === "string" ? { name: data["name"] } : {};
  if (data["phase"] === "start") {
    return changeTool(run, id, nowMs, { ...name, args: data["args"], status: "running" });
  }
  if (data["phase"] === "update") {
    return changeTool(run, id, nowMs, { ...name, output: outputText(data["partialResult"]) });
  }
  if (data["phase"] !== "result") return run;
  return changeTool(run, id, nowMs, {
    ...name,
    ...endOf(run, id, nowMs),
    status: data["isError"] === true ? "failed" : "done",
    output: outputText(data["result"]),
  });
}

function applyItem(run: LiveRun, data: Record<string, unknown>, nowMs: number): LiveRun {
  const id = String(data["toolCallId"] ?? "");
  if (data["kind"] !== "tool" || !id) return run;
  const name = typeof data["name"] === "string" ? { name: data["name"] } : {};
  if (data["phase"] !== "end") return changeTool(run, id, nowMs, name);
  const known = run.tools.find((tool) => tool.id === id);
  if (known && known.status !== "running") return run;
  const status = data["status"] === "failed" || data["status"] === "error" ? "failed" : "done";
  return changeTool(run, id, nowMs, { ...name, ...endOf(run, id, nowMs), status });
}

/** The run after one `agent` event. */
export function applyAgentEvent(run: LiveRun, event: AgentEvent, nowMs: number): LiveRun {
  const data = event.data ?? {};
  if (event.stream === "tool") return applyTool(run, data, nowMs);
  if (event.stream === "item") return applyItem(run, data, nowMs);
  if (event.stream === "thinking" && typeof data["delta"] === "string") {
    return { ...run, thinking: run.thinking + data["delta"] };
  }
  if (event.stream === "lifecycle" && data["phase"] === "model" && typeof data["provider"] === "string") {
    return { ...run, provider: data["provider"], model: String(data["model"] ?? "") };
  }
  return run;
}

/** A slice of a live run in reading order. */
export type RunPart = { kind: "text"; text: string } | { kind: "tool"; tool: ToolCall };

/** Text and tool calls interleaved as they happened. Text arrives in batches, so a cut moves to the next paragraph. */
export function runParts(run: LiveRun): RunPart[] {
  const parts: RunPart[] = [];
  let from = 0;
  for (const tool of run.tools) {
    const wanted = Math.min(tool.atChar ?? run.text.length, run.text.length);
    const paragraph = wanted === 0 ? -1 : run.text.indexOf("\n\n", wanted);
    const cut = Math.max(from, wanted === 0 ? 0 : paragraph === -1 ? run.text.length : paragraph);
    if (run.text.slice(from, cut).trim())
      parts.push({ kind: "text", text: run.text.slice(from, cut).trim() });
    parts.push({ kind: "tool", tool });
    from = cut;
  }
  const rest = run.text.slice(from);
  if (rest.trim()) parts.push({ kind: "text", text: from > 0 ? rest.trimStart() : rest });
  return parts;
}

/** The tool calls of a run as its stored rows know them, for a page that was opened while the run went on. */
export function toolsOfRows(rows: readonly TranscriptRow[], runId: string): ToolCall[] {
  const tools: ToolCall[] = [];
  let chars = 0;
  for (const row of rows) {
    if (row.__openclaw?.runId !== runId || typeof row.content === "string") continue;
    if (row.role === "assistant") {
      const text = textOf(row.content);
      chars += text ? text.length + (chars > 0 ? 2 : 0) : 0;
      for (const part of row.content) {
        if (part.type !== "toolCall" || !part.id) continue;
        tools.push({
          id: part.id,
          name: part.name ?? "tool",
          args: part.arguments,
          status: "running",
          atChar: chars,
        });
      }
    }
    const tool = row.role === "toolResult" ? tools.find((other) => other.id === row.toolCallId) : undefined;
    if (tool) Object.assign(tool, { status: row.isError ? "failed" : "done", output: outputText(row) });
  }
  return tools;
}
