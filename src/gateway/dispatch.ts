/**
 * From a method's name and params to its answer, the same for sockets and HTTP. Owns: the order of checks.
 * Refuses to know: what methods do, how answers travel.
 *
 * ORDER: is the caller's authority still good -> is there such a method -> may the caller -> are the params right.
 */
import type { Acts } from "../audit/recording/acts.ts";
import type { Denials } from "../audit/recording/denials.ts";
import { AppError } from "../kernel/errors.ts";
import type { Log } from "../kernel/log.ts";
import { describeIssues, type Method, type MethodCall, type MethodRegistry } from "../protocol/methods.ts";
import { runInContext } from "../tenancy/context.ts";
import type { Principal } from "../tenancy/principal.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import { allows } from "../tenancy/scopes.ts";
import { type AgentOfRun, limitParams, limitResult } from "./agent-limits.ts";
import type { Meters } from "./metrics.ts";
import { assertMayCall, isChange, type LookRecorder, lookOf } from "./read-only.ts";

/** What dispatch needs. */
export interface DispatchDeps {
  registry: MethodRegistry;
  log: Log;
  meters: Meters;
  acts: Acts;
  denials: Denials;
  isLive(principal: Principal): Promise<boolean>;
  noteLook: LookRecorder;
  /** Agent of a run of the tenant; undefined when there is no such run. */
  agentOfRun(tenant: TenantScope, runId: string): ReturnType<AgentOfRun>;
}

/** An unknown method is answered in OpenClaw's exact words, without details. */
export class UnknownMethod extends Error {
  constructor(name: string) {
    super(`unknown method: ${name.slice(0, 128)}`);
  }
}

/** The caller's authority ended; the connection must go. */
export class AuthorityEnded extends Error {}

const NO_PARAMS = {};

/** See the head of this file. */
export class Dispatcher {
  private readonly deps: DispatchDeps;

  constructor(deps: DispatchDeps) {
    this.deps = deps;
  }

  /** Call a method in the caller's own context. Throws AppError, UnknownMethod or AuthorityEnded. */
  async dispatch(name: string, rawParams: unknown, call: MethodCall): Promise<unknown> {
    const { principal, tenant, requestId } = call;
    if (!(await this.deps.isLive(principal))) throw new AuthorityEnded("access changed or revoked");
    const method = this.deps.registry.find(name);
    if (method === undefined) throw new UnknownMethod(name);
    const { denials } = this.deps;
    // SECURITY: bound anew for every call: WebSocket handlers run without a store, pools in somebody else's.
    return runInContext({ tenantId: tenant.tenantId, principal, requestId }, () =>
      denials.watch(tenant, call.actor, { kind: "method", name }, () => this.run(method, rawParams, call)),
    );
  }

  private async run(method: Method, rawParams: unknown, call: MethodCall): Promise<unknown> {
    const { acts, meters } = this.deps;
    assertMayCall(call.principal, method.scope, isChange(method.cost));
    if (!allows(call.principal.scopes, method.scope)) throw missingScope(method.scope ?? "");
    const parsed = method.params.safeParse(rawParams ?? NO_PARAMS);
    if (!parsed.success) {
      const problem = describeIssues(parsed.error.issues);
      throw new AppError("invalid_request", `invalid ${method.name} params: ${problem}`);
    }
    const agentOfRun: AgentOfRun = (runId) => this.deps.agentOfRun(call.tenant, runId);
    const params = await limitParams(method, parsed.data, call.principal, agentOfRun);
    meters.called(method.name);
    if (call.principal.credential.kind === "break_glass")
      await this.deps.noteLook(call.principal, lookOf(method.name, params));
    const result = limitResult(method, await method.handler(params, call), call.principal);
    const act = method.audit?.(params, result, call) ?? null;
    // ORDER: on record before the caller is told that it is done.
    if (act !== null) await acts.done(call.tenant, call.actor, act);
    return result;
  }
}

function missingScope(scope: string): AppError {
  return new AppError("forbidden", `missing scope: ${scope}`, {
    details: { code: "MISSING_SCOPE", missingScope: scope, requiredScopes: [scope] },
  });
}
