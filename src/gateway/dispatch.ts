/**
 * From a method's name and params to its answer, the same for sockets and HTTP. Owns: the order of checks.
 * Refuses to know: what methods do, how answers travel.
 *
 * ORDER: is the caller's authority still good -> is there such a method -> may the caller -> are the params right.
 */
import { AppError } from "../kernel/errors.ts";
import type { Log } from "../kernel/log.ts";
import { describeIssues, type MethodCall, type MethodRegistry } from "../protocol/methods.ts";
import { runInContext } from "../tenancy/context.ts";
import type { Principal } from "../tenancy/principal.ts";
import { allows } from "../tenancy/scopes.ts";
import type { Meters } from "./metrics.ts";

/** What dispatch needs. */
export interface DispatchDeps {
  registry: MethodRegistry;
  log: Log;
  meters: Meters;
  isLive(principal: Principal): Promise<boolean>;
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
    if (!allows(principal.scopes, method.scope)) throw missingScope(method.scope ?? "");
    const parsed = method.params.safeParse(rawParams ?? NO_PARAMS);
    if (!parsed.success) {
      throw new AppError("invalid_request", `invalid ${name} params: ${describeIssues(parsed.error.issues)}`);
    }
    this.deps.meters.called(name);
    // SECURITY: bound anew for every call: WebSocket handlers run without a store, pools in somebody else's.
    const context = { tenantId: tenant.tenantId, principal, requestId };
    return runInContext(context, () => method.handler(parsed.data, call));
  }
}

function missingScope(scope: string): AppError {
  return new AppError("forbidden", `missing scope: ${scope}`, {
    details: { code: "MISSING_SCOPE", missingScope: scope, requiredScopes: [scope] },
  });
}
