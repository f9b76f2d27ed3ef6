/**
 * `/v1/models` and `/v1/chat/completions` for programs that speak OpenAI's API. Owns: the translation both ways.
 * Refuses to know: how a message becomes a turn. Source: OpenAI's chat completions reference; OpenClaw's session rules:
 * `x-openclaw-session-key` names the conversation, else `user` does, else each request is its own.
 */
import { z } from "zod";
import { type RunUsage, readRunUsage } from "../billing/run-usage.ts";
import type { EventHub } from "../events/hub.ts";
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import { newId } from "../kernel/ids.ts";
import type { GatewayEvent } from "../protocol/events.ts";
import { defineTenantRoute, type Route, type TenantRouteCall } from "../protocol/routes.ts";
import { checkAgentId, type ParsedKey, parseSessionKey } from "../sessions/session-key.ts";
import { reachesAgent } from "../tenancy/principal.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import type { ChatInputs, EndedRun } from "./inputs.ts";
import type { SendMessage } from "./send-message.ts";

/** What the routes need. */
export interface OpenAiDeps {
  inputs: ChatInputs;
  send: SendMessage;
  hub: EventHub;
  clock: Clock;
  /** Ids of agents, and of models as `provider/model`. */
  namesOf(scope: TenantScope): Promise<{ agentIds: string[]; models: string[] }>;
}

const textPart = z.looseObject({ type: z.string(), text: z.string().optional() });

const completionBody = z.object({
  model: z.string().max(256).optional(),
  messages: z
    .array(
      z.object({
        role: z.enum(["system", "developer", "user", "assistant", "tool"]),
        content: z.union([z.string(), z.array(textPart).max(64), z.null()]).optional(),
      }),
    )
    .min(1)
    .max(2_000),
  stream: z.boolean().optional(),
  stream_options: z.object({ include_usage: z.boolean().optional() }).optional(),
  user: z.string().min(1).max(256).optional(),
});

type Completion = z.output<typeof completionBody>;

/** Longest wait for an answer. */
const ANSWER_MS = 600_000;

/** Declare the routes. */
export function makeOpenAiRoutes(deps: OpenAiDeps): Route[] {
  return [
    defineTenantRoute({
      method: "GET",
      path: "/v1/models",
      scope: "operator.read",
      body: null,
      doc: "Agents (`openclaw/<agent>`) and models (`provider/model`) as OpenAI lists models.",
      async handler(call) {
        const names = await deps.namesOf(call.tenant);
        const agentIds = names.agentIds.filter((id) => reachesAgent(call.principal, id));
        const main = agentIds.includes("main") ? ["openclaw"] : [];
        const ids = [...main, ...agentIds.map((id) => `openclaw/${id}`), ...names.models];
        const created = Math.floor(call.tenant.tenant.createdAtMs / 1_000);
        const data = ids.map((id) => ({ id, object: "model", created, owned_by: "creel" }));
        return { status: 200, body: { object: "list", data } };
      },
    }),
    defineTenantRoute({
      method: "POST",
      path: "/v1/chat/completions",
      scope: "operator.write",
      body: completionBody,
      doc: "Answer a conversation with an agent; streams when asked to.",
      handler: (call) => complete(deps, call),
    }),
  ];
}

async function complete(deps: OpenAiDeps, call: TenantRouteCall<Completion>) {
  const { body } = call;
  const target = await targetOf(deps, call);
  const runId = call.headers["idempotency-key"] ?? `chatcmpl-${newId()}`;
  if (runId.length > 200)
    throw new AppError("invalid_request", "Idempotency-Key has at most 200 characters.");
  const answer = new Answer(runId, body.model ?? "openclaw", Math.floor(deps.clock.nowMs() / 1_000));
  // ORDER: listen before sending; the first words may come before `accept` returns.
  const pieces = new Pieces(deps.hub, call.tenant, runId);
  try {
    await deps.inputs.accept(methodCallOf(call), {
      parsed: target.parsed,
      message: target.message,
      model: target.model,
      queueMode: "followup",
      idempotencyKey: runId,
    });
  } catch (thrown) {
    pieces.close();
    throw thrown;
  }
  const ended = deps.inputs.wait(call.tenant, runId, ANSWER_MS, call.signal);
  const usage = () => readRunUsage(call.tenant, runId);
  const stop = () => void deps.send.abort(call.tenant, target.parsed.key, runId, "disconnect");
  call.signal.addEventListener("abort", stop, { once: true });
  if (body.stream === true) {
    const wanted = body.stream_options?.include_usage === true ? usage : undefined;
    return { status: 200, stream: answer.stream(pieces, ended, wanted) };
  }
  const result = await ended.finally(() => pieces.close());
  call.signal.removeEventListener("abort", stop);
  return { status: 200, body: answer.whole(result, pieces.text, await usage()) };
}

function methodCallOf(call: TenantRouteCall<Completion>) {
  const client = { id: "openai-api", mode: "backend", version: "1", platform: "http" };
  return { ...call, client, connection: null, respondEarly: () => undefined };
}

async function targetOf(
  deps: OpenAiDeps,
  call: TenantRouteCall<Completion>,
): Promise<{ parsed: ParsedKey; message: string; model: string | undefined }> {
  const { body, headers } = call;
  const asked = body.model ?? "openclaw";
  const agent = /^(?:openclaw[/:]|agent:)(.+)$/.exec(asked)?.[1] ?? headers["x-openclaw-agent-id"];
  const agentId = checkAgentId(agent ?? "main");
  const isAgentModel = asked === "openclaw" || agent !== undefined;
  if (!isAgentModel && !(await deps.namesOf(call.tenant)).models.includes(asked)) {
    throw new AppError("not_found", `There is no model "${asked}"; GET /v1/models lists them.`);
  }
  const model = isAgentModel ? undefined : asked;
  const key =
    headers["x-openclaw-session-key"] ?? (body.user === undefined ? undefined : `openai-user:${body.user}`);
  if (key !== undefined) {
    return { parsed: parseSessionKey(key, agentId), message: lastUserText(body), model };
  }
  return { parsed: parseSessionKey(`openai:${newId()}`, agentId), message: wholeText(body), model };
}

function textOfContent(content: Completion["messages"][number]["content"]): string {
  if (content === null || content === undefined) return "";
  return typeof content === "string" ? content : content.map((part) => part.text ?? "").join("\n");
}

function lastUserText(body: Completion): string {
  const last = body.messages.findLast((message) => message.role === "user");
  return last === undefined ? "" : textOfContent(last.content);
}

/** Without a stored conversation the request itself is all there is: what came before goes along as context. */
function wholeText(body: Completion): string {
  const at = body.messages.findLastIndex((message) => message.role === "user");
  const before = body.messages
    .filter((_, index) => index !== at)
    .map((message) => `${message.role}: ${textOfContent(message.content)}`);
  const last = at === -1 ? "" : textOfContent(body.messages[at]?.content);
  return before.length === 0
    ? last
    : `[Conversation so far]\n${before.join("\n\n")}\n\n[Current message]\n${last}`;
}

/** The words of one run as they come, from the tenant's own events. */
class Pieces {
  text = "";
  private readonly waiting: (() => void)[] = [];
  private readonly stop: () => void;
  private isOver = false;
  private read = 0;

  constructor(hub: EventHub, scope: TenantScope, runId: string) {
    this.stop = hub.subscribe(scope.tenantId, (event) => {
      if (event.event === "chat" && event.runId === runId) this.take(event);
    });
  }

  close(): void {
    this.stop();
    this.isOver = true;
    this.wake();
  }

  /** New words, or undefined at the end. */
  async next(): Promise<string | undefined> {
    while (this.read >= this.text.length && !this.isOver) {
      await new Promise<void>((resolve) => {
        this.waiting.push(resolve);
      });
    }
    if (this.read >= this.text.length) return undefined;
    const piece = this.text.slice(this.read);
    this.read = this.text.length;
    return piece;
  }

  private take(event: GatewayEvent): void {
    const { state, message } = event.payload as { state: string; message?: { content: { text?: string }[] } };
    const text = message?.content[0]?.text;
    if (text !== undefined && text.length > this.text.length) this.text = text;
    if (state === "final" || state === "aborted" || state === "error") this.isOver = true;
    this.wake();
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

/** One answer in OpenAI's form. */
class Answer {
  private readonly id: string;
  private readonly model: string;
  private readonly created: number;

  constructor(id: string, model: string, created: number) {
    this.id = id;
    this.model = model;
    this.created = created;
  }

  whole(ended: EndedRun | undefined, text: string, usage: RunUsage): Record<string, unknown> {
    const failure = failureOf(ended);
    if (failure !== undefined) throw failure;
    const content = ended?.result?.text ?? text;
    const choice = { index: 0, message: { role: "assistant", content }, finish_reason: finishOf(ended) };
    return { ...this.head("chat.completion"), choices: [choice], usage: wireUsage(usage) };
  }

  async *stream(
    pieces: Pieces,
    ended: Promise<EndedRun | undefined>,
    usage: (() => Promise<RunUsage>) | undefined,
  ): AsyncGenerator<string> {
    // A run that is laid aside has no terminal event; whoever waits for its words must not wait for ever.
    ended.then(
      () => pieces.close(),
      () => pieces.close(),
    );
    try {
      yield this.chunk({ role: "assistant", content: "" }, null);
      for (let piece = await pieces.next(); piece !== undefined; piece = await pieces.next()) {
        yield this.chunk({ content: piece }, null);
      }
      const result = await ended;
      const failure = failureOf(result);
      if (failure !== undefined) {
        yield `data: ${JSON.stringify({ error: { code: failure.code, type: "server_error", message: failure.publicMessage } })}\n\n`;
      } else {
        yield this.chunk({}, finishOf(result));
        if (usage !== undefined) {
          const body = {
            ...this.head("chat.completion.chunk"),
            choices: [],
            usage: wireUsage(await usage()),
          };
          yield `data: ${JSON.stringify(body)}\n\n`;
        }
      }
      yield "data: [DONE]\n\n";
    } finally {
      pieces.close();
    }
  }

  private chunk(delta: Record<string, unknown>, finish: string | null): string {
    const body = {
      ...this.head("chat.completion.chunk"),
      choices: [{ index: 0, delta, finish_reason: finish }],
    };
    return `data: ${JSON.stringify(body)}\n\n`;
  }

  private head(object: string): Record<string, unknown> {
    return { id: this.id, object, created: this.created, model: this.model };
  }
}

function failureOf(ended: EndedRun | undefined): AppError | undefined {
  if (ended === undefined) return new AppError("provider_failed", "There was no answer in time.");
  if ((ended.result?.status ?? ended.run.state) !== "failed") return undefined;
  return new AppError(
    "provider_failed",
    ended.result?.errorMessage ?? ended.run.error_message ?? "The run failed.",
  );
}

function finishOf(ended: EndedRun | undefined): string {
  return ended?.result?.stopReason === "length" ? "length" : "stop";
}

/** The whole run's usage: what is told is what is billed. */
function wireUsage({ inputTokens, cachedTokens, outputTokens, reasoningTokens }: RunUsage) {
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    completion_tokens_details: { reasoning_tokens: reasoningTokens },
  };
}
