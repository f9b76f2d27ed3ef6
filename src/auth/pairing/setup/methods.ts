/**
 * The protocol's methods about setup codes (schema DevicePairSetup*). Owns: their shapes.
 * Refuses to know: how codes are stored and spent. There is no picture of the code: whoever shows it draws it.
 */
import { z } from "zod";
import { AppError } from "../../../kernel/errors.ts";
import { defineMethod, type Method } from "../../../protocol/methods.ts";
import { shownCompletion } from "../pairing-events.ts";
import { encodeSetupCode, setupAddress } from "./setup-code-text.ts";
import type { SetupAccess, SetupCodes } from "./setup-codes.ts";

/** What the methods need. */
export interface SetupMethodDeps {
  setupCodes: SetupCodes;
  /** Where the operator says that the gateway is reached. */
  publicUrl: string | undefined;
}

/** The methods, for the registry. */
export function makeSetupMethods(deps: SetupMethodDeps): Method[] {
  return [setupCode(deps), setupStatus(deps)];
}

function setupCode({ setupCodes, publicUrl }: SetupMethodDeps): Method {
  return defineMethod({
    name: "device.pair.setupCode",
    scope: "operator.admin",
    params: z.object({
      publicUrl: z.string().min(1).max(2_048).optional(),
      bootstrapProfile: z.enum(["limited", "node", "voice-node"]).optional(),
      joinUrl: z.literal(true).optional(),
    }),
    result: z.looseObject({
      setupId: z.string(),
      setupCode: z.string(),
      gatewayUrl: z.string(),
      auth: z.literal("token"),
      urlSource: z.string(),
      access: z.enum(["full", "limited"]),
      accessDowngraded: z.literal(true).optional(),
      expiresAtMs: z.number(),
    }),
    cost: "write",
    doc: "Make a code that lets one device in for the caller, once, within ten minutes.",
    async handler(params, { tenant, principal, actor, origin }) {
      const isNode = params.bootstrapProfile === "node" || params.bootstrapProfile === "voice-node";
      if (isNode || params.joinUrl === true) {
        throw new AppError(
          "invalid_request",
          "This gateway serves no nodes. Leave out joinUrl, and use bootstrapProfile limited or none.",
        );
      }
      const known = { asked: params.publicUrl, configured: publicUrl, seen: origin };
      const address = setupAddress(tenant.tenant, known);
      const wantsFull = params.bootstrapProfile === undefined;
      // SECURITY: on a line that others can read, whoever is first has the code.
      const access: SetupAccess = wantsFull && address.isPrivate ? "full" : "limited";
      const { secret, code } = await setupCodes.create(principal, access, actor);
      const { expiresAtMs } = code;
      return {
        setupId: code.id,
        setupCode: encodeSetupCode({ url: address.url, bootstrapToken: secret, expiresAtMs }),
        gatewayUrl: address.url,
        auth: "token" as const,
        urlSource: address.source,
        access,
        ...(wantsFull && access === "limited" ? { accessDowngraded: true as const } : {}),
        expiresAtMs,
      };
    },
  });
}

function setupStatus({ setupCodes }: SetupMethodDeps): Method {
  const outcome = z.looseObject({
    setupId: z.string(),
    deviceId: z.string(),
    access: z.string(),
    ts: z.number(),
  });
  return defineMethod({
    name: "device.pair.setupStatus",
    scope: "operator.admin",
    params: z.object({ setupId: z.string().min(1).max(128) }),
    result: z.looseObject({ completion: outcome.optional(), deliveryUncertain: outcome.optional() }),
    cost: "read",
    doc: "What became of a setup code: used and delivered, used without certainty that its answer arrived, or nothing yet.",
    async handler({ setupId }, { tenant }) {
      const code = await setupCodes.find(tenant.tenantId, setupId);
      if (code === undefined || code.usedAtMs === null) return {};
      const shown = shownCompletion(code);
      return code.deliveredAtMs === null ? { deliveryUncertain: shown } : { completion: shown };
    },
  });
}
