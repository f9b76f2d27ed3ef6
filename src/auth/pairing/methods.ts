/**
 * The protocol's methods device.pair.* and device.token.* (schema DevicePair*, DeviceToken*).
 * Owns: their shapes and the words OpenClaw's gateway refuses with. Refuses to know: how devices are stored.
 */
import { z } from "zod";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { defineMethod, type Method, type MethodCall } from "../../protocol/methods.ts";
import { allows } from "../../tenancy/scopes.ts";
import type { Devices } from "../devices.ts";
import type { AccessFeed } from "../guard/access-feed.ts";
import type { DeviceRecord } from "./device.ts";
import type { DeviceCare } from "./device-care.ts";
import { type PairingEvents, shownRequest } from "./pairing-events.ts";
import type { PairingRequests } from "./pairing-requests.ts";
import type { Pairings } from "./pairings.ts";

/** What the methods need. */
export interface PairingMethodDeps {
  clock: Clock;
  feed: AccessFeed;
  devices: Devices;
  requests: PairingRequests;
  pairings: Pairings;
  care: DeviceCare;
  events: PairingEvents;
}

const ID = z.string().min(1).max(256);
const SCOPE = "operator.pairing";

/** The methods, for the registry. */
export function makePairingMethods(deps: PairingMethodDeps): Method[] {
  return [
    list(deps),
    approve(deps),
    reject(deps),
    remove(deps),
    rename(deps),
    rotateToken(deps),
    revokeToken(deps),
  ];
}

function list({ devices, requests, care }: PairingMethodDeps): Method {
  return defineMethod({
    name: "device.pair.list",
    scope: SCOPE,
    params: z.object({}),
    result: z.looseObject({ pending: z.array(z.looseObject({})), paired: z.array(z.looseObject({})) }),
    cost: "read",
    doc: "Devices that wait to be let in, and devices that are in, in this tenant.",
    async handler(_params, { tenant, principal }) {
      const own = allows(principal.scopes, "operator.admin") ? null : await care.deviceOf(principal);
      const isShown = ({ deviceId }: { deviceId: string }) => own === null || own.deviceId === deviceId;
      const pending = (await requests.listWaiting(tenant.tenantId)).filter(isShown);
      const records = (await devices.listOfTenant(tenant.tenantId)).filter(isShown);
      const byDevice = Map.groupBy(records, (record) => record.deviceId);
      return { pending: pending.map(shownRequest), paired: [...byDevice.values()].map(shownDevice) };
    },
  });
}

function approve({ clock, feed, pairings, requests, devices, care, events }: PairingMethodDeps): Method {
  return defineMethod({
    name: "device.pair.approve",
    scope: SCOPE,
    params: z.object({ requestId: ID }),
    result: z.looseObject({ requestId: z.string(), device: z.looseObject({ deviceId: z.string() }) }),
    cost: "write",
    doc: "Let a waiting device in. It acts for the caller, with what it asked for as far as the caller holds it.",
    async handler({ requestId }, { tenant, principal, actor }) {
      const waiting = await requests.findWaiting(tenant.tenantId, requestId);
      if (waiting === undefined) throw unknown("requestId");
      if (!(await care.mayCareFor(principal, waiting.deviceId))) throw denied("device pairing approval");
      const approval = await pairings.approve(principal, requestId, actor);
      if (approval === "unknown") throw unknown("requestId");
      await feed.refresh(0);
      events.resolved(tenant.tenantId, approval.request, "approved", clock.nowMs());
      const { deviceId } = approval.request;
      const records = await devices.listOfTenant(tenant.tenantId);
      const device = shownDevice(records.filter((record) => record.deviceId === deviceId));
      return { requestId, device: { ...device, deviceId } };
    },
  });
}

function reject({ clock, requests, care, events }: PairingMethodDeps): Method {
  return defineMethod({
    name: "device.pair.reject",
    scope: SCOPE,
    params: z.object({ requestId: ID }),
    result: z.looseObject({ requestId: z.string(), deviceId: z.string() }),
    cost: "write",
    doc: "Turn a waiting device away; it is not told, and asking the same again within the hour changes nothing.",
    async handler({ requestId }, { tenant, principal, actor }) {
      const waiting = await requests.findWaiting(tenant.tenantId, requestId);
      if (waiting === undefined) throw unknown("requestId");
      if (!(await care.mayCareFor(principal, waiting.deviceId))) throw denied("device pairing rejection");
      const rejected = await requests.reject(tenant.tenantId, requestId, actor);
      if (rejected === undefined) throw unknown("requestId");
      events.resolved(tenant.tenantId, rejected, "rejected", clock.nowMs());
      return { requestId, deviceId: rejected.deviceId };
    },
  });
}

function remove({ clock, feed, care, events }: PairingMethodDeps): Method {
  return defineMethod({
    name: "device.pair.remove",
    scope: SCOPE,
    params: z.object({ deviceId: ID }),
    result: z.looseObject({ deviceId: z.string(), removedAtMs: z.number() }),
    cost: "write",
    doc: "Put a device out: its tokens end at once, and it must ask again unless it holds a credential of its own.",
    async handler({ deviceId }, { tenant, principal, actor }) {
      if (!(await care.mayCareFor(principal, deviceId))) throw denied("device pairing removal");
      if (!(await care.remove(tenant.tenantId, deviceId, actor))) throw unknown("deviceId");
      await feed.refresh(0);
      events.changed(tenant.tenantId);
      return { deviceId, removedAtMs: clock.nowMs() };
    },
  });
}

function rename({ care, events }: PairingMethodDeps): Method {
  return defineMethod({
    name: "device.pair.rename",
    scope: SCOPE,
    params: z.object({
      deviceId: ID,
      label: z
        .string()
        .min(1)
        .max(64)
        .refine((text) => !/[\p{Cc}\p{Cf}]/u.test(text), "must not hold control characters"),
    }),
    result: z.looseObject({ deviceId: z.string(), label: z.string() }),
    cost: "write",
    doc: "Give a device a name; it survives a new pairing.",
    async handler(params, { tenant, principal, actor }) {
      const label = params.label.trim();
      if (label.length === 0) throw new AppError("invalid_request", "label required");
      const { deviceId } = params;
      if (!(await care.mayCareFor(principal, deviceId))) throw denied("device pairing rename");
      if (!(await care.rename(tenant.tenantId, deviceId, label, actor))) throw unknown("deviceId");
      events.changed(tenant.tenantId);
      return { deviceId, label };
    },
  });
}

function rotateToken({ feed, care, events }: PairingMethodDeps): Method {
  return defineMethod({
    name: "device.token.rotate",
    scope: SCOPE,
    params: z.object({ deviceId: ID, role: ID, scopes: z.array(ID).max(64).optional() }),
    result: z.looseObject({
      deviceId: z.string(),
      role: z.string(),
      token: z.string().optional(),
      scopes: z.array(z.string()),
      rotatedAtMs: z.number(),
      tokenDelivery: z.enum(["in-band", "withheld-cross-device"]),
    }),
    cost: "write",
    doc: "Replace a device's tokens, within what was approved and the caller holds; the new one is told to the device itself only.",
    async handler({ deviceId, role, scopes }, call) {
      const isAllowed = await mayHandleToken(care, call, deviceId, role);
      const rotated = isAllowed ? await care.rotate(call.principal, deviceId, scopes, call.actor) : undefined;
      if (rotated === undefined) throw denied("device token rotation");
      const { ownSecret, rotatedAtMs } = rotated;
      // ORDER: a caller that replaced its own token must have the new one before its socket closes.
      if (ownSecret === null) await feed.refresh(0);
      events.changed(call.tenant.tenantId);
      return {
        ...{ deviceId, role, rotatedAtMs, scopes: [...rotated.scopes] },
        ...(ownSecret === null
          ? { tokenDelivery: "withheld-cross-device" as const }
          : { token: ownSecret, tokenDelivery: "in-band" as const }),
      };
    },
  });
}

function revokeToken({ feed, care, events }: PairingMethodDeps): Method {
  return defineMethod({
    name: "device.token.revoke",
    scope: SCOPE,
    params: z.object({ deviceId: ID, role: ID }),
    result: z.looseObject({ deviceId: z.string(), role: z.string(), revokedAtMs: z.number() }),
    cost: "write",
    doc: "Revoke a device's tokens and its pairing; it is told at its next connect, and open sockets close at once.",
    async handler({ deviceId, role }, call) {
      const isAllowed = await mayHandleToken(care, call, deviceId, role);
      const revokedAtMs = isAllowed ? await care.revoke(call.principal, deviceId, call.actor) : undefined;
      if (revokedAtMs === undefined) throw denied("device token revocation");
      await feed.refresh(0);
      events.changed(call.tenant.tenantId);
      return { deviceId, role, revokedAtMs };
    },
  });
}

/** No other role than `operator` is served, so no device was ever approved for one. */
async function mayHandleToken(
  care: DeviceCare,
  { principal }: MethodCall,
  deviceId: string,
  role: string,
): Promise<boolean> {
  return role === "operator" && (await care.mayCareFor(principal, deviceId));
}

function unknown(what: "requestId" | "deviceId"): AppError {
  return new AppError("invalid_request", `unknown ${what}`);
}

function denied(what: string): AppError {
  return new AppError("invalid_request", `${what} denied`);
}

/** One device, all whom it acts for taken together. */
function shownDevice(records: readonly DeviceRecord[]) {
  const [first] = records;
  if (first === undefined) return { deviceId: "", tokens: [] };
  const scopes = [...new Set(records.flatMap((record) => record.scopes))];
  const createdAtMs = Math.min(...records.map((record) => record.createdAtMs));
  const pairedAtMs = records.find((record) => record.pairedAtMs !== null)?.pairedAtMs ?? createdAtMs;
  return {
    deviceId: first.deviceId,
    ...present("publicKey", first.publicKey),
    ...present("operatorLabel", first.label),
    ...present("displayName", first.deviceName),
    ...present("platform", first.platform),
    ...present("deviceFamily", first.deviceFamily),
    clientId: first.clientId,
    ...present("clientMode", first.clientMode),
    ...present("remoteIp", first.address),
    role: "operator",
    roles: ["operator"],
    scopes,
    createdAtMs,
    approvedAtMs: pairedAtMs,
    approvedVia: records.some((record) => record.pairedAtMs !== null) ? "owner" : "silent",
    lastSeenAtMs: first.lastUsedAtMs,
    actsFor: records.map(({ userId, displayName }) => ({ id: userId, name: displayName })),
    tokens: [
      {
        ...{ role: "operator", scopes, createdAtMs, lastUsedAtMs: first.lastUsedAtMs },
        ...present("rotatedAtMs", first.rotatedAtMs),
      },
    ],
  };
}

function present<Name extends string, Value>(name: Name, value: Value | null): Partial<Record<Name, Value>> {
  return value === null ? {} : ({ [name]: value } as Partial<Record<Name, Value>>);
}
