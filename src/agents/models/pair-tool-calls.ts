/**
 * Making a stored conversation fit to be sent. Owns: that every tool call has exactly one result, right behind it.
 * Refuses to know: how it is sent.
 */
import type { AssistantMessage, ToolResultMessage, TranscriptMessage } from "../../protocol/message.ts";

/** What the model reads where a call was cut short, e.g. by a restart. It must not be told that nothing happened. */
const UNKNOWN_OUTCOME = "This call was interrupted and its outcome is unknown. Check before doing it again.";

/** Start at the last summary, give every call its result, drop results without a call and empty messages. */
export function pairToolCalls(messages: readonly TranscriptMessage[]): TranscriptMessage[] {
  const start = messages.findLastIndex((message) => message.role === "compaction");
  const rows = messages.slice(Math.max(0, start));
  const paired: TranscriptMessage[] = [];
  for (const [index, row] of rows.entries()) {
    if (row.role === "toolResult") continue;
    if (row.role !== "assistant") paired.push(row);
    else if (row.content.length > 0) paired.push(row, ...resultsOf(row, resultsAfter(rows, index)));
  }
  return paired;
}

/** Results up to the next assistant message: ids repeat from run to run. */
function resultsAfter(rows: readonly TranscriptMessage[], index: number): Map<string, ToolResultMessage> {
  const results = new Map<string, ToolResultMessage>();
  for (const row of rows.slice(index + 1)) {
    if (row.role === "assistant") break;
    if (row.role === "toolResult" && !results.has(row.toolCallId)) results.set(row.toolCallId, row);
  }
  return results;
}

function resultsOf(message: AssistantMessage, results: ReadonlyMap<string, ToolResultMessage>) {
  return message.content.flatMap((part): ToolResultMessage[] => {
    if (part.type !== "toolCall") return [];
    const found = results.get(part.id);
    if (found !== undefined) return [found];
    return [
      {
        role: "toolResult",
        toolCallId: part.id,
        toolName: part.name,
        content: [{ type: "text", text: UNKNOWN_OUTCOME }],
        isError: true,
        timestamp: message.timestamp,
      },
    ];
  });
}
