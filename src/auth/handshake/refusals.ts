/**
 * How a connect is refused, in OpenClaw's exact words (PROTOCOL.md 4; clients act on `details.code`).
 * Owns: error objects and close codes. Refuses to know: when to refuse.
 */
import { PROBE_VERSION, PROTOCOL_VERSION, type WireError } from "../../protocol/frames.ts";

/** A refused connect: the answer to send, then the code to close with. */
export interface Refusal {
  ok: false;
  error: WireError;
  closeCode: 1002 | 1008;
  /** Said at closing; the error's message when absent. */
  closeReason?: string;
}

function refuse(code: string, message: string, details?: Record<string, unknown>): Refusal {
  return {
    ok: false,
    error: { code, message, ...(details === undefined ? {} : { details }) },
    closeCode: 1008,
  };
}

function unauthorized(message: string, code: string, authReason: string, nextStep: string): Refusal {
  return refuse("INVALID_REQUEST", `unauthorized: ${message}`, {
    code,
    authReason,
    canRetryWithDeviceToken: false,
    recommendedNextStep: nextStep,
  });
}

/** Params off the schema; `problem` as `describeIssues` words it. */
export function invalidParams(problem: string): Refusal {
  return refuse("INVALID_REQUEST", `invalid connect params: ${problem}`);
}

/** A role that is not served. */
export function invalidRole(): Refusal {
  return refuse("INVALID_REQUEST", "invalid role");
}

/** No common protocol version. */
export function protocolMismatch(clientMinProtocol: number, clientMaxProtocol: number): Refusal {
  const details = {
    code: "PROTOCOL_MISMATCH",
    clientMinProtocol,
    clientMaxProtocol,
    expectedProtocol: PROTOCOL_VERSION,
    minimumProbeProtocol: PROBE_VERSION,
  };
  return { ...refuse("INVALID_REQUEST", "protocol mismatch", details), closeCode: 1002 };
}

/** A page of another origin, or a browser client that names none. */
export function originRefused(origin: string | undefined): Refusal {
  return refuse(
    "INVALID_REQUEST",
    "origin not allowed (open the Control UI from the gateway host or allow its origin)",
    {
      code: "CONTROL_UI_ORIGIN_NOT_ALLOWED",
      reason:
        origin === undefined || !URL.canParse(origin) ? "origin missing or invalid" : "origin not allowed",
    },
  );
}

/** The one answer for a wrong, foreign, expired or revoked token and for an unknown or suspended tenant. */
export function tokenMismatch(): Refusal {
  return unauthorized(
    "gateway token mismatch (provide gateway auth token)",
    "AUTH_TOKEN_MISMATCH",
    "token_mismatch",
    "update_auth_credentials",
  );
}

/** No credential at all, from a client that has somebody to ask. */
export function tokenMissing(): Refusal {
  return unauthorized(
    "gateway token missing (provide gateway auth token)",
    "AUTH_TOKEN_MISSING",
    "token_missing",
    "update_auth_configuration",
  );
}

/** A device token that is not good here; clients forget it. */
export function deviceTokenMismatch(): Refusal {
  return unauthorized(
    "device token mismatch (rotate/reissue device token)",
    "AUTH_DEVICE_TOKEN_MISMATCH",
    "device_token_mismatch",
    "update_auth_credentials",
  );
}

/** Too many failures from this address or with this credential. */
export function rateLimited(retryAfterMs: number): Refusal {
  const refusal = unauthorized(
    "too many failed authentication attempts (retry later)",
    "AUTH_RATE_LIMITED",
    "rate_limited",
    "wait_then_retry",
  );
  return { ...refusal, error: { ...refusal.error, retryable: true, retryAfterMs } };
}

/** Neither a credential nor a device. */
export function deviceRequired(): Refusal {
  return refuse("NOT_PAIRED", "device identity required", { code: "DEVICE_IDENTITY_REQUIRED" });
}

/** The stock Control UI without a device. */
export function controlUiDeviceRequired(): Refusal {
  return refuse(
    "INVALID_REQUEST",
    "control ui requires device identity (use HTTPS or localhost secure context)",
    { code: "CONTROL_UI_DEVICE_IDENTITY_REQUIRED" },
  );
}

/** A setup code that is wrong, used, ended or not for this tenant: all alike. */
export function setupCodeRefused(): Refusal {
  return unauthorized(
    "setup code invalid, expired, revoked, or already used (create a new code; review `openclaw devices list`)",
    "AUTH_BOOTSTRAP_TOKEN_INVALID",
    "bootstrap_token_invalid",
    "update_auth_credentials",
  );
}

/** A device that shows nothing but its key and is not let in; the same words whether its tenant exists or not. */
export function pairingRequired(request: {
  requestId: string;
  deviceId: string;
  /** Known scope words it asked for. */
  scopes: readonly string[];
}): Refusal {
  const { requestId, deviceId, scopes } = request;
  const message = "pairing required: device is not approved yet";
  const refusal = refuse("NOT_PAIRED", message, {
    code: "PAIRING_REQUIRED",
    reason: "not-paired",
    requestId,
    remediationHint: "Approve this device from the pending pairing requests.",
    deviceId,
    requestedRole: "operator",
    ...(scopes.length === 0 ? {} : { requestedScopes: scopes }),
  });
  return { ...refusal, closeReason: `${message} (requestId: ${requestId})` };
}

/** What can be wrong with a device's proof. */
export type ProofFault = "id" | "stale" | "nonce" | "signature";

const PROOF_FAULTS: Readonly<Record<ProofFault, readonly [message: string, code: string, reason: string]>> = {
  id: ["device identity mismatch", "DEVICE_AUTH_DEVICE_ID_MISMATCH", "device-id-mismatch"],
  stale: ["device signature expired", "DEVICE_AUTH_SIGNATURE_EXPIRED", "device-signature-stale"],
  nonce: ["device nonce mismatch", "DEVICE_AUTH_NONCE_MISMATCH", "device-nonce-mismatch"],
  signature: ["device signature invalid", "DEVICE_AUTH_SIGNATURE_INVALID", "device-signature"],
};

/** A device that did not prove its key. */
export function proofRefused(fault: ProofFault): Refusal {
  const [message, code, reason] = PROOF_FAULTS[fault];
  return refuse("INVALID_REQUEST", message, { code, reason });
}
