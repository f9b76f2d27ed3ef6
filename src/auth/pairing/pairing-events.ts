/**
 * Telling a tenant's approvers what happens to devices (schema DevicePair*Event). Owns: the events' payloads.
 * Refuses to know: connections; the hub delivers to those with operator.pairing in this tenant only.
 */
import type { EventHub } from "../../events/hub.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { EventName } from "../../protocol/events.ts";
import type { PairingRequest } from "./pairing-requests.ts";
import type { SetupCode } from "./setup/setup-codes.ts";

/** See the head of this file. */
export class PairingEvents {
  private readonly hub: EventHub;

  constructor(hub: EventHub) {
    this.hub = hub;
  }

  /** A device asks to be let in. */
  requested(tenantId: TenantId, request: PairingRequest): void {
    this.publish(tenantId, "device.pair.requested", shownRequest(request));
  }

  /** A request is decided; one that was replaced by a newer one counts as rejected, as in OpenClaw's gateway. */
  resolved(
    tenantId: TenantId,
    request: { requestId: string; deviceId: string },
    decision: "approved" | "rejected",
    ts: number,
  ): void {
    const { requestId, deviceId } = request;
    this.publish(tenantId, "device.pair.resolved", { requestId, deviceId, decision, ts });
  }

  /** Something about known devices changed; lists should be read again. */
  changed(tenantId: TenantId): void {
    this.publish(tenantId, "device.pair.changed", {});
  }

  /** A device used a setup code and has its token. */
  setupCompleted(code: SetupCode): void {
    this.publish(code.tenantId, "device.pair.setup.completed", shownCompletion(code));
  }

  private publish(tenantId: TenantId, event: EventName, payload: Record<string, unknown>): void {
    this.hub.publish(tenantId, { event, payload, delivery: "pairing", isDroppable: true });
  }
}

/** A waiting request as lists and events show it. */
export function shownRequest(request: PairingRequest) {
  return {
    requestId: request.requestId,
    deviceId: request.deviceId,
    publicKey: request.publicKey,
    ...(request.displayName === null ? {} : { displayName: request.displayName }),
    platform: request.platform,
    ...(request.deviceFamily === null ? {} : { deviceFamily: request.deviceFamily }),
    clientId: request.clientId,
    clientMode: request.clientMode,
    role: "operator",
    roles: ["operator"],
    scopes: [...request.scopes],
    remoteIp: request.address,
    silent: false,
    isRepair: request.isRepair,
    ts: request.requestedAtMs,
  };
}

/** What became of a setup code that was used. */
export function shownCompletion(code: SetupCode) {
  return {
    setupId: code.id,
    deviceId: code.deviceId ?? "",
    ...(code.deviceName === null ? {} : { deviceName: code.deviceName }),
    access: code.access,
    ts: code.deliveredAtMs ?? code.usedAtMs ?? 0,
  };
}
