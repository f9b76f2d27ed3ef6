/**
 * An app with two tenants and devices that ask. Owns: its start, operators' sockets, a device that was let in.
 * Refuses to know: what is asserted.
 */
import { authOf, connectDevice, newTestDevice, refusedDevice } from "./paired-device.ts";
import { RpcError, SocketClient } from "./socket-client.ts";
import { startApp } from "./start-app.ts";
import { SteeredClock } from "./world.ts";

/** A request as approvers see it. */
export type Pending = {
  requestId: string;
  deviceId: string;
  scopes: string[];
  remoteIp: string;
  displayName?: string;
};

/** A device that is in, as approvers see it. */
export type Paired = { deviceId: string; scopes: string[]; operatorLabel?: string; approvedVia: string };

/** Start one; close it after the tests. Time passes when `clock` is told to. */
export async function startPairingWorld() {
  const clock = new SteeredClock();
  const world = await startApp({ config: { trustedProxies: ["127.0.0.1"] }, app: { clock } });
  await world.tenant("acme");
  await world.tenant("beta");
  let address = 0;
  const at = (slug: string) => `${world.wsUrl}/t/${slug}`;
  /** Another address for each asker, as a proxy would say it: one address may ask only so often. */
  const elsewhere = () => ({
    "x-forwarded-for": `198.51.${Math.floor(++address / 250)}.${(address % 250) + 1}`,
  });
  const operator = async (
    slug: string,
    overrides: Record<string, unknown> = {},
    role: "owner" | "admin" = "owner",
  ) => {
    const client = new SocketClient(world.wsUrl);
    await client.connect(await world.token(slug, role), overrides);
    return client;
  };
  return {
    ...{ world, clock, at, elsewhere, operator },
    /** A device that asked and was let in. */
    async paired(slug: string, approver: SocketClient, scopes = ["operator.read", "operator.write"]) {
      const device = newTestDevice();
      const { requestId } = await refusedDevice(at(slug), device, { scopes, headers: elsewhere() });
      await approver.call("device.pair.approve", { requestId });
      const { client, hello } = await connectDevice(at(slug), device, { scopes });
      return { device, client, hello, deviceToken: authOf(hello).deviceToken ?? "" };
    },
  };
}

/** What an operator is shown. */
export async function listed(client: SocketClient) {
  return (await client.call("device.pair.list", {})) as { pending: Pending[]; paired: Paired[] };
}

/** The refusal of a call, in one line. */
export async function failure(call: Promise<unknown>): Promise<string> {
  const thrown = await call.then(
    () => new Error("was done"),
    (one: unknown) => one,
  );
  if (!(thrown instanceof RpcError)) throw thrown;
  return `${thrown.error.code} ${thrown.error.message}`;
}
