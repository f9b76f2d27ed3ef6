/**
 * The built-in model, so that a first start needs no key. Owns: choosing an answer and letting it trickle in.
 * Refuses to know: tenants, networks. Deterministic: the same conversation gets the same answer.
 */
import type { Clock } from "../../kernel/clock.ts";
import { type TranscriptMessage, textOf } from "../../protocol/message.ts";
import { estimateInputTokens, estimateTokens } from "../turn/tokens.ts";
import { afterTool, answerTo, DEMO_LABEL, languageOf, withoutTools } from "./demo-answers.ts";
import type { ModelEvent, ModelProvider, ModelRequest } from "./model.ts";

/** How the demo paces itself. */
export interface DemoOptions {
  clock: Clock;
  /** Pause after each piece; 8 unless said. */
  pieceDelayMs?: number;
}

const WANTS_TOOL =
  /\btools?\b|list (the |my )?files|show (the |my )?files|工具|列出文件|有哪些文件|查看文件/i;
const SUMMARY_LINES = 40;

/** See the head of this file. */
export class DemoModel implements ModelProvider {
  private readonly clock: Clock;
  private readonly pieceDelayMs: number;

  constructor(options: DemoOptions) {
    this.clock = options.clock;
    this.pieceDelayMs = options.pieceDelayMs ?? 8;
  }

  async *stream(request: ModelRequest): AsyncGenerator<ModelEvent> {
    const inputTokens = estimateInputTokens({ ...request, tools: [] });
    const plan = planAnswer(request);
    for (const piece of pieces(plan.text)) {
      request.signal.throwIfAborted();
      yield { type: "text", delta: piece };
      await this.pause(request.signal);
    }
    request.signal.throwIfAborted();
    if (plan.tool !== undefined) {
      yield { type: "tool_call", id: plan.tool.id, name: plan.tool.name, argsText: plan.tool.argsText };
    }
    yield {
      type: "finish",
      stopReason: plan.tool === undefined ? "stop" : "toolUse",
      usage: {
        inputTokens,
        outputTokens: estimateTokens(plan.text) + (plan.tool === undefined ? 0 : 12),
        cacheReadTokens: 0,
        cacheWriteTokens: 0,
        isExact: true,
      },
    };
  }

  private pause(signal: AbortSignal): Promise<void> | undefined {
    if (this.pieceDelayMs === 0) return undefined;
    return new Promise((resolve) => {
      const done = () => {
        timer.cancel();
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = this.clock.after(this.pieceDelayMs, done);
      signal.addEventListener("abort", done, { once: true });
    });
  }
}

interface Plan {
  text: string;
  tool?: { id: string; name: string; argsText: string };
}

function planAnswer(request: ModelRequest): Plan {
  const last = request.messages.at(-1);
  const asked = lastUserText(request.messages);
  if (request.task === "summary") return { text: summarise(asked) };
  const language = languageOf(asked);
  const say = (text: string): Plan => ({ text: `${DEMO_LABEL[language]}\n\n${text}` });
  if (last?.role === "toolResult") return say(afterTool(last.toolName, textOf(last), language));
  if (!WANTS_TOOL.test(asked)) return say(answerTo(asked, language));
  const tool = request.tools.find(({ name }) => name === "workspace_list") ?? request.tools[0];
  if (tool === undefined) return say(withoutTools(language));
  const id = `demo_call_${request.messages.length}`;
  return { ...say(""), tool: { id, name: tool.name, argsText: "{}" } };
}

function lastUserText(messages: readonly TranscriptMessage[]): string {
  const found = messages.findLast((message) => message.role === "user");
  return found === undefined ? "" : textOf(found);
}

/** The first words of what people said: no understanding, and it says so. */
function summarise(transcript: string): string {
  const lines = transcript.split("\n").filter((line) => line.startsWith("User: "));
  const kept = lines.slice(-SUMMARY_LINES).map((line) => `- ${line.slice(6, 166)}`);
  return `(Shortened by the built-in demo model, not by a real AI.) The user wrote, among other things:\n${kept.join("\n")}`;
}

/** Small pieces that never split a character. */
function pieces(text: string): string[] {
  return text.match(/[^\s\p{Script=Han}]{1,12}\s*|\s+|\p{Script=Han}{1,3}/gu) ?? [];
}
