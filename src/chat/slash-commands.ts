/**
 * Slash commands typed into a chat. Owns: what each says and does, with the authority of whoever typed it.
 * Refuses to know: transports. Source: PROTOCOL.md 7.7.
 */
import { AppError } from "../kernel/errors.ts";
import type { SessionAnnouncer } from "../sessions/announce.ts";
import type { ParsedKey } from "../sessions/session-key.ts";
import type { Sessions } from "../sessions/sessions.ts";
import type { Principal } from "../tenancy/principal.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import { allows } from "../tenancy/scopes.ts";
import type { SendMessage } from "./send-message.ts";

/** What commands need. */
export interface CommandDeps {
  sessions: Sessions;
  announcer: SessionAnnouncer;
  send: SendMessage;
  /** Names of the models the tenant may use, as `provider/model`. */
  modelsOf(scope: TenantScope): Promise<string[]>;
}

/** A recognised command. */
export interface SlashCommand {
  name: string;
  argument: string;
}

const NAMES = new Set(["help", "commands", "new", "reset", "stop", "status", "model"]);

/** Read a command; undefined when the text is none of ours, and goes to the model as it is. */
export function readCommand(text: string): SlashCommand | undefined {
  const match = /^\/([a-z]+)(?:\s+(.*))?$/s.exec(text.trim());
  const name = match?.[1];
  return name === undefined || !NAMES.has(name) ? undefined : { name, argument: match?.[2]?.trim() ?? "" };
}

const BEGUN = "A new conversation begins here.";

const HELP = `**Commands**
- \`/help\` shows this list
- \`/new\` or \`/reset\` begins this conversation anew
- \`/stop\` stops the answer that is being written
- \`/status\` shows model and tokens
- \`/model provider/model\` chooses the model of this conversation`;

/** See the head of this file. */
export class SlashCommands {
  private readonly deps: CommandDeps;

  constructor(deps: CommandDeps) {
    this.deps = deps;
  }

  /** Carry a command out and say what to answer. Throws `forbidden` when the sender may not. */
  async run(
    scope: TenantScope,
    principal: Principal,
    parsed: ParsedKey,
    command: SlashCommand,
  ): Promise<string> {
    switch (command.name) {
      case "stop": {
        const stopped = await this.deps.send.abort(scope, parsed.key, undefined, "command");
        return stopped.length > 0 ? "Stopped." : "Nothing was running.";
      }
      case "new":
      case "reset":
        return this.reset(scope, principal, parsed);
      case "status":
        return this.status(scope, parsed);
      case "model":
        return this.model(scope, principal, parsed, command.argument);
      default:
        return HELP;
    }
  }

  private async reset(scope: TenantScope, principal: Principal, parsed: ParsedKey): Promise<string> {
    if (!allows(principal.scopes, "operator.write"))
      throw new AppError("forbidden", "You may not reset conversations.");
    await this.deps.send.abort(scope, parsed.key, undefined, "command");
    // Where nothing was said yet, all is new already.
    if ((await this.deps.sessions.find(scope, parsed.key)) === undefined) return BEGUN;
    const row = await this.deps.sessions.reset(scope, parsed.key);
    await this.deps.announcer.changed(scope, row, { reason: "reset" });
    return BEGUN;
  }

  private async status(scope: TenantScope, parsed: ParsedKey): Promise<string> {
    const row = await this.deps.sessions.find(scope, parsed.key);
    if (row === undefined) return "This conversation is empty.";
    const model =
      row.model ?? (row.model_id === null ? "the default model" : `${row.model_provider}/${row.model_id}`);
    return `Model: ${model}\nTokens in: ${row.input_tokens} · out: ${row.output_tokens} · in context: ${row.context_tokens_used}`;
  }

  private async model(
    scope: TenantScope,
    principal: Principal,
    parsed: ParsedKey,
    argument: string,
  ): Promise<string> {
    const models = await this.deps.modelsOf(scope);
    if (argument === "") return `Models you can use:\n${models.map((name) => `- \`${name}\``).join("\n")}`;
    if (!models.includes(argument)) return `There is no model \`${argument}\` here. \`/model\` lists them.`;
    await this.deps.sessions.ensure(scope, parsed, { userId: principal.userId, channel: "command" });
    const row = await this.deps.sessions.patch(scope, parsed.key, { model: argument });
    await this.deps.announcer.changed(scope, row, { reason: "patch" });
    return `This conversation uses \`${argument}\` now.`;
  }
}
