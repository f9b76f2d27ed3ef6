/**
 * Making the steps of a run durable while it goes on. Owns: which rows commit together for each step.
 * Refuses to know: the loop that makes the steps, who listens.
 */
import type { ModelCallRecord, RunRecorder, ToolEnd, ToolIntent } from "../../agents/turn/contract.ts";
import { FIRST_TOOL_ORDINAL } from "../../billing/ledger/reserve-sql.ts";
import { type ToolPrice, UNCHARGED } from "../../billing/pricing/price.ts";
import type { UsageMeter } from "../../billing/usage.ts";
import type { Clock } from "../../kernel/clock.ts";
import { sha256Hex } from "../../kernel/crypto.ts";
import { AppError } from "../../kernel/errors.ts";
import type { SessionId } from "../../kernel/ids.ts";
import type { AssistantMessage, CompactionMessage, ToolResultMessage } from "../../protocol/message.ts";
import { appendRows, newRow, type TranscriptRow } from "../../sessions/transcript.ts";
import type { Statement } from "../../storage/database.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import { writeKnowing } from "./begin-run.ts";
import type { ActiveRun } from "./live-runs.ts";
import { type RunRow, stepNumber } from "./run.ts";
import type { TurnSpend } from "./turn-spend.ts";

/** What a recorder needs. */
export interface RecorderDeps {
  meter: UsageMeter;
  clock: Clock;
}

/** See the head of this file. One per attempt of a run. */
export class TurnRecorder implements RunRecorder {
  /** What the calls of this attempt hold back. */
  readonly spend: TurnSpend;
  private readonly deps: RecorderDeps;
  private readonly scope: TenantScope;
  private readonly active: Pick<ActiveRun, "run" | "isAbandoned" | "abortOrigin">;
  private readonly run: RunRow;
  /** Sequence numbers of the messages the model knows, in the order it got or made them. */
  private readonly seqs: number[] = [];
  private readonly onRow: (row: TranscriptRow & { sessionId: SessionId }) => Promise<void>;
  private toolsDone = 0;
  /** The tool call that goes on; one at a time does. */
  private begun: { callId: string; price: ToolPrice; isHeld: boolean } | undefined;
  /** Usage that was measured and is not known to be stored. */
  private unstored: Statement[] = [];

  constructor(
    deps: RecorderDeps,
    scope: TenantScope,
    active: Pick<ActiveRun, "run" | "isAbandoned" | "abortOrigin">,
    spend: TurnSpend,
    onRow: (row: TranscriptRow & { sessionId: SessionId }) => Promise<void>,
  ) {
    this.deps = deps;
    this.scope = scope;
    this.active = active;
    this.run = active.run;
    this.spend = spend;
    this.onRow = onRow;
  }

  async assistantStep(step: number, message: AssistantMessage, call: ModelCallRecord): Promise<void> {
    const metered = this.meter(step, call);
    const row = newRow({ ...message, usage: metered.wire }, this.run.run_id);
    const added = appendRows(this.scope, this.ref, [row]);
    await this.commit(added.append, [...added.statements, ...metered.statements, this.tokens(call)], row);
  }

  async toolIntent(step: number, call: ToolIntent): Promise<void> {
    const intent: Statement = {
      sql: `INSERT INTO run_steps (run_id, step, call_id, tool, arguments_hash, is_idempotent, state, started_at_ms)
        VALUES (?, ?, ?, ?, ?, ?, 'intent', ?) ON CONFLICT DO NOTHING`,
      params: [
        ...[this.run.run_id, this.number(step), call.id, call.name],
        sha256Hex(JSON.stringify(call.args)),
        call.isIdempotent ? 1 : 0,
        this.deps.clock.nowMs(),
      ],
      expect: 1,
    };
    const price = this.deps.meter.toolPrice(this.scope, call.name);
    const asked = { step, ordinal: this.ordinal, toolName: call.name, price };
    // ORDER: intent and reservation are one commit, so that what runs is paid for and what died holds nothing for ever.
    const isHeld = price.micros > 0 && (await this.spend.reserveTool(asked, intent));
    if (!isHeld) await this.writeIntent(step, call.id, intent);
    this.begun = { callId: call.id, price, isHeld };
  }

  /** The result and what it costs, in one commit: without its result a call costs nothing. */
  async toolResult(step: number, message: ToolResultMessage, end: ToolEnd): Promise<void> {
    const row = newRow(message, this.run.run_id);
    const added = appendRows(this.scope, this.ref, [row]);
    const begun = this.begun?.callId === message.toolCallId ? this.begun : undefined;
    const isCharged = begun !== undefined && this.isCharged(end);
    const usage = this.deps.meter.toolCall(this.scope, {
      ...this.place,
      step: this.number(step),
      ordinal: this.ordinal,
      callId: message.toolCallId,
      toolName: message.toolName,
      price: isCharged ? begun.price : UNCHARGED,
      isError: message.isError,
    });
    const now = this.deps.clock.nowMs();
    const release =
      begun?.isHeld === true && !isCharged ? [this.spend.releaseOfTool(step, this.ordinal, now)] : [];
    const done: Statement = {
      sql: `UPDATE run_steps SET state = 'done', ended_at_ms = ? WHERE run_id = ? AND step = ? AND call_id = ?`,
      params: [now, this.run.run_id, this.number(step), message.toolCallId],
    };
    await this.commit(added.append, [...added.statements, done, ...usage.statements, ...release], row);
    this.begun = undefined;
    this.toolsDone++;
  }

  async compacted(step: number, message: CompactionMessage, call: ModelCallRecord): Promise<void> {
    // The loop counts from the start of what it was given; the transcript counts rows.
    const keptFromSeq = this.seqs[message.keptFromSeq] ?? (this.seqs.at(-1) ?? 0) + 1;
    const row = newRow({ ...message, keptFromSeq }, this.run.run_id);
    const added = appendRows(this.scope, this.ref, [row]);
    const metered = this.meter(step, call);
    const point: Statement = {
      sql: `UPDATE sessions SET kept_from_seq = ?, summary_seq = (SELECT seq FROM messages WHERE session_id = ? AND id = ?)
        WHERE key = ? AND session_id = ?`,
      params: [keptFromSeq, this.run.session_id, row.id, this.run.session_key, this.run.session_id],
    };
    await this.commit(added.append, [...added.statements, point, ...metered.statements], row);
  }

  /** A message was told to the model: history at the start, or an input that was steered in. */
  noteKnown(seq: number): void {
    this.seqs.push(seq);
  }

  /** Statements for usage that was measured and never stored; writing them twice counts once. */
  owed(): readonly Statement[] {
    return this.unstored;
  }

  /** What was measured is on disk. */
  settled(): void {
    this.unstored = [];
  }

  /** Usage of a model call of this run: statements for the batch that makes its message durable. */
  meter(step: number, call: ModelCallRecord) {
    const { provider, model, purpose, usage, cost, keyOwner } = call;
    const facts = { provider, model, purpose, usage, cost, keyOwner };
    const metered = this.deps.meter.modelCall(this.scope, {
      ...this.place,
      step: this.number(step),
      ...facts,
      price: this.spend.priceOf(step),
    });
    this.unstored.push(...metered.statements);
    return metered;
  }

  /** The statement that adds a call's tokens to the session's figures. */
  tokens(call: ModelCallRecord): Statement {
    const { usage } = call;
    const input = usage.inputTokens + usage.cacheReadTokens + usage.cacheWriteTokens;
    return {
      sql: `UPDATE sessions SET input_tokens = input_tokens + ?, output_tokens = output_tokens + ?,
        context_tokens_used = ?, model_provider = ?, model_id = ? WHERE key = ? AND session_id = ?`,
      params: [
        ...[input, usage.outputTokens, input + usage.outputTokens],
        ...[call.provider, call.model, this.run.session_key, this.run.session_id],
      ],
    };
  }

  get ref() {
    return { agentId: this.run.agent_id, sessionId: this.run.session_id };
  }

  private get place() {
    return {
      runId: this.run.run_id,
      agentId: this.run.agent_id,
      sessionKey: this.run.session_key,
      sessionId: this.run.session_id,
      userId: this.run.user_id,
      channel: this.run.channel,
      atMs: this.deps.clock.nowMs(),
    };
  }

  private number(step: number): number {
    return stepNumber(this.run, step);
  }

  /** Of the tool call that goes on, or is next. */
  private get ordinal(): number {
    return FIRST_TOOL_ORDINAL + this.toolsDone;
  }

  /** A tool that said itself that it failed gave nothing; one that was stopped worked, unless it was we who stopped. */
  private isCharged(end: ToolEnd): boolean {
    const { isAbandoned, abortOrigin } = this.active;
    return end === "answered" || (end === "stopped" && (!isAbandoned || abortOrigin !== undefined));
  }

  private async writeIntent(step: number, callId: string, intent: Statement): Promise<void> {
    const batch = { statements: [intent] };
    const outcome = await writeKnowing(this.scope, batch, () => this.hasStep(step, callId));
    // The same call twice in one step would run a tool twice.
    if (!outcome.committed) throw new AppError("conflict", "This tool call was recorded before.");
  }

  private async commit(
    append: ReturnType<typeof appendRows>["append"],
    statements: Statement[],
    row: ReturnType<typeof newRow>,
  ): Promise<void> {
    const isDone = async () => (await this.seqOf(row.id)) !== undefined;
    const outcome = await writeKnowing(this.scope, { appends: [append], statements }, isDone);
    if (!outcome.committed) throw new AppError("storage_uncertain", "A step of the run was not stored.");
    this.settled();
    const seq = Number(outcome.results[0]?.rows[0]?.["seq"] ?? (await this.seqOf(row.id)));
    if (row.message.role !== "compaction") this.seqs.push(seq);
    await this.onRow({ ...row, seq, sessionId: this.run.session_id });
  }

  private async seqOf(messageId: string): Promise<number | undefined> {
    const sql = "SELECT seq FROM messages WHERE session_id = ? AND id = ?";
    return (await this.scope.db.find<{ seq: number }>(sql, [this.run.session_id, messageId]))?.seq;
  }

  private async hasStep(step: number, callId: string): Promise<boolean> {
    const sql = "SELECT 1 FROM run_steps WHERE run_id = ? AND step = ? AND call_id = ?";
    return (await this.scope.db.find(sql, [this.run.run_id, this.number(step), callId])) !== undefined;
  }
}
