/** Letting devices in: who may ask, and codes for one device. Owns: those shapes. Refuses to know: devices that are in. */
import { requestJson } from "./request.ts";

/** A device that waits to be let in, from `device.pair.list`. */
export interface WaitingDevice {
  requestId: string;
  deviceId: string;
  displayName?: string;
  platform?: string | null;
  clientId: string;
  scopes: string[];
  remoteIp?: string;
  /** It was in before. */
  isRepair: boolean;
  /** When it asked, wall-clock. */
  ts: number;
}

/** Answer of `device.pair.setupCode`; the code is in it only. */
export interface SetupCode {
  setupId: string;
  setupCode: string;
  gatewayUrl: string;
  access: "full" | "limited";
  accessDowngraded?: true;
  expiresAtMs: number;
}

const path = (slug: string): string => `/t/${encodeURIComponent(slug)}/api/pairing`;

/** Whether devices nobody knows may ask. */
export async function devicesMayAsk(slug: string): Promise<boolean> {
  return (await requestJson<{ devicesMayAsk: boolean }>("GET", path(slug))).devicesMayAsk;
}

/** Lets devices nobody knows ask, or not. */
export function letDevicesAsk(slug: string, may: boolean): Promise<unknown> {
  return requestJson("PATCH", path(slug), { devicesMayAsk: may });
}
