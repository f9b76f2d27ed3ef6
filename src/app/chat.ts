/** Floor 6: a message becomes a turn. Owns: its joining. Refuses to know: transports. */
import { TurnGate } from "../chat/admission/turn-gate.ts";
import type { VelocityLimits } from "../chat/admission/velocity.ts";
import { History } from "../chat/history.ts";
import { ChatInputs } from "../chat/inputs.ts";
import { LiveRuns } from "../chat/runs/live-runs.ts";
import { type RecoverDeps, Recovery } from "../chat/runs/recover.ts";
import { Turns } from "../chat/runs/turns.ts";
import { WorkGuard } from "../chat/runs/work-guard.ts";
import { WorkMarks } from "../chat/runs/work-marks.ts";
import { SendMessage } from "../chat/send-message.ts";
import { SlashCommands } from "../chat/slash-commands.ts";
import type { Config } from "../config/options.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";
import type { Principal } from "../tenancy/principal.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import type { Assistant } from "./assistant.ts";
import type { Ground } from "./ground.ts";

/** Everything between a message and its answer. */
export type Chat = ReturnType<typeof makeChat>;

/** Floor 6: a message becomes a turn. */
export function makeChat(config: Config, clock: Clock, log: Log, ground: Ground, assistant: Assistant) {
  const { agents, sessions, announcer, meter, reservations, runs, models, defaults } = assistant;
  const { hub } = ground;
  const live = new LiveRuns();
  const marks = new WorkMarks(ground.control, clock);
  const turns = new Turns({ agents, agentRuns: runs, meter, reservations, sessions, announcer, clock, log });
  const { authenticator, feed } = ground.auth;
  const mayGoOn = (principal: Principal) => authenticator.mayGoOn(principal);
  const { plans } = ground;
  const { spending, pace } = assistant;
  const { turnsAtOnce } = config;
  const velocity = velocityOf(config);
  const gate = new TurnGate({ plans, spending, pace, hub, clock, log, turnsAtOnce, velocity });
  const send = new SendMessage({
    agents,
    sessions,
    announcer,
    turns,
    live,
    marks,
    hub,
    clock,
    gate,
    mayGoOn,
    limitedKeys: (scope, keyIds) => reservations.limitedKeys(scope, keyIds),
    takeRoom: (scope, sizeBytes, hasFiles) =>
      ground.storage.limits.hold(scope, sizeBytes, hasFiles ? "files" : "words"),
  });
  const guard = new WorkGuard({ live, queue: send.queue, log, mayGoOn });
  feed.subscribe((change) => guard.review(change));
  const modelsOf = async (scope: TenantScope) => (await models.list(scope)).map((model) => model.ref);
  const commands = new SlashCommands({ sessions, announcer, send, modelsOf });
  const inputs = new ChatInputs({ send, commands, live, hub, clock });
  const defaultsOf = (scope: TenantScope) => defaults.of(scope);
  const history = new History({ sessions, live, defaultsOf, clock });
  const principalOf: RecoverDeps["principalOf"] = ({ tenantId }, userId, by) =>
    authenticator.workPrincipal(tenantId, userId, by);
  const recovery = new Recovery({ send, live, sessions, clock, log, principalOf });
  return { live, marks, send, inputs, history, recovery, defaultsOf, modelsOf };
}

function velocityOf(config: Config): VelocityLimits {
  return {
    sessionPerMinute: config.turnsPerSession,
    sessionPerHour: config.turnsPerSessionHour,
    sessionChain: config.turnsInSessionChain,
    senderChain: config.turnsInSenderChain,
    tenantPerMinute: config.turnsPerTenant,
    tenantPerHour: config.turnsPerTenantHour,
  };
}
