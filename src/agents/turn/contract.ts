/**
 * What a run takes, tells and leaves behind. Owns: the contract between the loop and whoever records and shows it.
 * Refuses to know: files, sockets, quotas.
 */
import type { AppError } from "../../kernel/errors.ts";
import type { RunId, SessionId, SessionKey } from "../../kernel/ids.ts";
import type {
  AssistantMessage,
  CompactionMessage,
  ModelUsage,
  ToolResultMessage,
  TranscriptMessage,
  UserMessage,
} from "../../protocol/message.ts";
import type { Principal } from "../../tenancy/principal.ts";
import type { TenantScope } from "../../tenancy/scoped.ts";
import type { Agent } from "../agent.ts";
import type { ModelCost } from "../models/model.ts";

/** Whose key paid: the tenant's own, the operator's, or nobody's (the built-in model). */
export type KeyOwner = "tenant" | "platform" | "none";

/** A model call about to be made, as far as its cost goes. */
export interface SpendAsk {
  step: number;
  purpose: ModelCallRecord["purpose"];
  provider: string;
  model: string;
  cost: ModelCost | undefined;
  keyOwner: KeyOwner;
  /** An upper bound of what the provider can count for the question; see tokens.ts. */
  inputTokens: number;
  /** What the provider is told as its limit; undefined when it is told none. */
  maxOutputTokens: number | undefined;
}

/** Asked before each model call whether it can be paid for. */
export interface SpendGate {
  /** Hold back what the call may cost at most; throws the reason when it may not be made. */
  reserve(ask: SpendAsk): Promise<void>;
  /** The call came to nothing that anybody could bill: give back what it held. */
  release(step: number): Promise<void>;
}

/** One run. */
export interface RunInput {
  scope: TenantScope;
  principal: Principal;
  agent: Agent;
  sessionKey: SessionKey;
  sessionId: SessionId;
  runId: RunId;
  /** `provider/model` chosen for the session; undefined for the agent's. */
  modelRef: string | undefined;
  /** `off`, `minimal`, `low`, `medium` or `high`. */
  thinking?: string;
  /** The conversation with the new user message at the end; a compaction row stands for everything before it. */
  history: readonly TranscriptMessage[];
  signal: AbortSignal;
  recorder: RunRecorder;
  /** Messages that arrived while the run was going; asked for before each further model call. What is taken is seen by the model. */
  takeSteering(): Promise<UserMessage[]>;
  /** Called before each model call and each tool; aborts `signal` when the run may not go on. */
  checkpoint?(): Promise<void>;
  /** Undefined where nothing is ever held back. */
  spend?: SpendGate | undefined;
  /** Must not throw. */
  emit(event: RunEvent): void;
}

/** A model call that was made and must be paid for. `step` is unique within the run, compaction included. */
export interface ModelCallRecord {
  step: number;
  purpose: "turn" | "compaction";
  provider: string;
  model: string;
  usage: ModelUsage;
  /** What the provider said, where not all of it could be true. */
  doubted?: ModelUsage | undefined;
  /** Configured price, if any. */
  cost: ModelCost | undefined;
  keyOwner: KeyOwner;
  startedAtMs: number;
  endedAtMs: number;
}

/** A tool call about to be made. */
export interface ToolIntent {
  id: string;
  name: string;
  args: Record<string, unknown>;
  isIdempotent: boolean;
}

/** How a tool's call ended; only one that began can have cost anything. */
export type ToolEnd =
  /** It gave its result. */
  | "answered"
  /** It said itself that it gives none. */
  | "failed"
  /** It worked, and the run was stopped meanwhile. */
  | "stopped"
  /** It was never carried out. */
  | "unbegun";

/** Makes the run's steps durable; every promise resolves only when they are. */
export interface RunRecorder {
  /** The model asked for tools. */
  assistantStep(step: number, message: AssistantMessage, call: ModelCallRecord): Promise<void>;
  /**
   * A tool is about to run. Throws `budget_exhausted` or `limit_reached` when what it costs cannot be paid: then nothing was
   * recorded, and it must not run.
   */
  toolIntent(step: number, call: ToolIntent): Promise<void>;
  toolResult(step: number, message: ToolResultMessage, end: ToolEnd): Promise<void>;
  /**
   * The older part was summarised. `message.keptFromSeq` arrives as a POSITION: the index of the first kept message in
   * `RunInput.history`, counted on through the messages of this run in the order they were taken or recorded.
   */
  compacted(step: number, message: CompactionMessage, call: ModelCallRecord): Promise<void>;
}

/** What a run shows while it goes. */
export type RunEvent =
  | { type: "model"; provider: string; model: string }
  /** `text` is everything so far of this assistant message. */
  | { type: "text"; text: string; delta: string }
  | { type: "thinking"; delta: string }
  | { type: "tool_start"; callId: string; name: string; args: Record<string, unknown>; title: string }
  | { type: "tool_update"; callId: string; output: string }
  | {
      type: "tool_end";
      callId: string;
      name: string;
      args: Record<string, unknown>;
      title: string;
      isError: boolean;
      text: string;
      durationMs: number;
    }
  | { type: "usage"; outputTokens: number };

/** How a run ended. `call` is null when nothing was used that anybody could bill. */
export interface RunOutcome {
  status: "done" | "aborted" | "failed";
  /** The final message, or what there was of it. */
  message: AssistantMessage;
  call: ModelCallRecord | null;
  step: number;
  /** An earlier call that came to nothing and must be paid for all the same: a summary that broke off. */
  unpaid?: ModelCallRecord | null;
  error?: AppError;
}
