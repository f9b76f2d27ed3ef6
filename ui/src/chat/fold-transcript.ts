/** Turns stored rows into what a reader sees: one block per speaker. Owns: that folding. Refuses to know: markup and words. */
import type { ContentPart, TranscriptRow } from "../gateway/wire.ts";
import { outputText, type RunPart, type ToolCall, textOf } from "./live-run.ts";

/** One part of a turn in reading order. */
export type TurnPart = RunPart | { kind: "thinking"; text: string };

/** One block of the conversation. `signature` changes exactly when the content does. */
export type Turn =
  | { kind: "user"; id: string; signature: string; text: string; atMs: number; files: string[] }
  | {
      kind: "assistant";
      id: string;
      signature: string;
      parts: TurnPart[];
      atMs: number;
      provider?: string;
      model?: string;
      aborted: boolean;
      error?: string;
    }
  | { kind: "notice"; id: string; signature: string; text: string; summary: boolean };

type AssistantTurn = Extract<Turn, { kind: "assistant" }>;

/** The id the server gave a row, or its place when it gave none. */
export function rowId(row: TranscriptRow, index: number): string {
  return row.__openclaw?.id ?? `row:${row.__openclaw?.seq ?? index}`;
}

function partsOf(content: TranscriptRow["content"]): ContentPart[] {
  return typeof content === "string" ? [{ type: "text", text: content }] : content;
}

function addAssistantRow(turn: AssistantTurn, row: TranscriptRow): void {
  for (const part of partsOf(row.content)) {
    if (part.type === "text" && part.text?.trim()) turn.parts.push({ kind: "text", text: part.text });
    else if (part.type === "thinking" && part.thinking?.trim()) {
      turn.parts.push({ kind: "thinking", text: part.thinking });
    } else if (part.type === "toolCall" && part.id) {
      const tool: ToolCall = {
        id: part.id,
        name: part.name ?? "tool",
        args: part.arguments,
        status: "unknown",
      };
      if (row.timestamp !== undefined) tool.startedAtMs = row.timestamp;
      turn.parts.push({ kind: "tool", tool });
    }
  }
  if (row.provider && row.model !== "gateway-injected") {
    turn.provider = row.provider;
    if (row.model) turn.model = row.model;
  }
  if (row.openclawAbort?.aborted) turn.aborted = true;
  if (row.stopReason === "error") turn.error = row.errorMessage || textOf(row.content) || "error";
}

function addToolResult(turn: AssistantTurn, row: TranscriptRow): void {
  const index = turn.parts.findIndex((part) => part.kind === "tool" && part.tool.id === row.toolCallId);
  const before = turn.parts[index];
  const known: ToolCall =
    before?.kind === "tool"
      ? before.tool
      : { id: row.toolCallId ?? "", name: row.toolName ?? "tool", args: undefined, status: "unknown" };
  const tool: ToolCall = { ...known, status: row.isError ? "failed" : "done", output: outputText(row) };
  const tookMs =
    row.details?.durationMs ??
    (row.timestamp !== undefined && known.startedAtMs !== undefined
      ? row.timestamp - known.startedAtMs
      : undefined);
  if (tookMs !== undefined && tookMs >= 0) tool.durationMs = tookMs;
  if (index === -1) turn.parts.push({ kind: "tool", tool });
  else turn.parts[index] = { kind: "tool", tool };
}

function isAssistantSide(row: TranscriptRow): boolean {
  return row.role === "assistant" || row.role === "toolResult" || row.role === "tool";
}

function fileNameOf(file: { mimeType?: string; fileName?: string }): string | undefined {
  return file.fileName ?? file.mimeType;
}

function startTurn(row: TranscriptRow, id: string): AssistantTurn {
  return { kind: "assistant", id, signature: "", parts: [], atMs: row.timestamp ?? 0, aborted: false };
}

/** Blocks for rows in order; assistant and tool rows between two user rows become one block. */
export function foldTranscript(rows: readonly TranscriptRow[]): Turn[] {
  const turns: Turn[] = [];
  rows.forEach((row, index) => {
    const id = rowId(row, index);
    if (row.role === "user") {
      const inline =
        typeof row.content === "string" ? [] : row.content.filter((part) => part.type === "image");
      const files = [...inline.map((part) => part.mimeType), ...(row.attachments ?? []).map(fileNameOf)].map(
        (name) => name ?? "file",
      );
      const text = textOf(row.content);
      turns.push({ kind: "user", id, signature: id, text, atMs: row.timestamp ?? 0, files });
    } else if (isAssistantSide(row)) {
      const last = turns.at(-1);
      const turn = last?.kind === "assistant" ? last : startTurn(row, id);
      if (turn !== last) turns.push(turn);
      if (row.role === "assistant") addAssistantRow(turn, row);
      else addToolResult(turn, row);
      turn.signature += `${id};`;
    } else if (row.role === "system" && textOf(row.content).trim()) {
      const summary = row.__openclaw?.kind === "compaction";
      turns.push({ kind: "notice", id, signature: id, text: textOf(row.content), summary });
    }
  });
  return turns.filter(
    (turn) => turn.kind !== "assistant" || turn.parts.length > 0 || turn.error || turn.aborted,
  );
}
