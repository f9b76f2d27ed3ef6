/**
 * HTTP routes about devices. Owns: their shapes. Refuses to know: frames; lists of credentials (credentials/ shows them).
 */
import { z } from "zod";
import { AppError } from "../../kernel/errors.ts";
import { defineTenantRoute, type Route } from "../../protocol/routes.ts";
import type { Devices } from "../devices.ts";
import type { AccessFeed } from "../guard/access-feed.ts";
import type { DeviceRecord } from "./device.ts";
import type { DeviceCare } from "./device-care.ts";
import type { PairingEvents } from "./pairing-events.ts";
import type { PairingRequests } from "./pairing-requests.ts";

/** What the routes need. */
export interface PairingRouteDeps {
  devices: Devices;
  requests: PairingRequests;
  care: DeviceCare;
  events: PairingEvents;
  feed: AccessFeed;
}

/** The routes, for the gateway. */
export function makePairingRoutes(deps: PairingRouteDeps): Route[] {
  return [deleteDevice(deps), getMine(deps), deleteMine(deps), getPairing(deps), patchPairing(deps)];
}

function deleteDevice({ care, events, feed }: PairingRouteDeps): Route {
  return defineTenantRoute({
    method: "DELETE",
    path: "/api/devices/:deviceId",
    scope: "operator.admin",
    body: null,
    doc: "Put a device out of this tenant, whomever it acts for.",
    async handler({ tenant, params, actor }) {
      if (!(await care.remove(tenant.tenantId, params["deviceId"] ?? "", actor))) throw noDevice();
      await feed.refresh(0);
      events.changed(tenant.tenantId);
      return { status: 204 };
    },
  });
}

function getMine({ devices }: PairingRouteDeps): Route {
  return defineTenantRoute({
    method: "GET",
    path: "/api/my/devices",
    scope: "operator.read",
    body: null,
    doc: "Devices that act for the caller in this tenant.",
    async handler({ tenant, principal }) {
      const found = await devices.listOfUser(tenant.tenantId, principal.userId);
      return { status: 200, body: { devices: found.map(shownDeviceRecord) } };
    },
  });
}

function deleteMine({ care, events, feed }: PairingRouteDeps): Route {
  return defineTenantRoute({
    method: "DELETE",
    path: "/api/my/devices/:deviceId",
    scope: "operator.read",
    body: null,
    doc: "End what one of the caller's own devices may do for them in this tenant.",
    async handler({ tenant, principal, params, actor }) {
      const deviceId = params["deviceId"] ?? "";
      if (!(await care.remove(tenant.tenantId, deviceId, actor, principal.userId))) throw noDevice();
      await feed.refresh(0);
      events.changed(tenant.tenantId);
      return { status: 204 };
    },
  });
}

function getPairing({ requests }: PairingRouteDeps): Route {
  return defineTenantRoute({
    method: "GET",
    path: "/api/pairing",
    scope: "operator.admin",
    body: null,
    doc: "Whether devices nobody knows may ask to be let into this tenant.",
    async handler({ tenant }) {
      return { status: 200, body: { devicesMayAsk: await requests.isOpen(tenant.tenantId) } };
    },
  });
}

function patchPairing({ requests }: PairingRouteDeps): Route {
  return defineTenantRoute({
    method: "PATCH",
    path: "/api/pairing",
    scope: "operator.admin",
    body: z.object({ devicesMayAsk: z.boolean() }),
    doc: "Let devices nobody knows ask, or not; strangers are answered alike in both cases.",
    async handler({ tenant, body, actor }) {
      await requests.setOpen(tenant.tenantId, body.devicesMayAsk, actor);
      return { status: 200, body: { devicesMayAsk: body.devicesMayAsk } };
    },
  });
}

/** A device as HTTP shows it. */
export function shownDeviceRecord(record: DeviceRecord) {
  const { id, deviceId, userId, displayName, label, deviceName, clientId, platform } = record;
  return {
    ...{ id, deviceId, userId, displayName, label, deviceName, clientId, platform },
    scopes: [...record.scopes],
    createdAtMs: record.createdAtMs,
    lastUsedAtMs: record.lastUsedAtMs,
    address: record.address,
    pairedAtMs: record.pairedAtMs,
  };
}

function noDevice(): AppError {
  return new AppError("not_found", "There is no such device.");
}
