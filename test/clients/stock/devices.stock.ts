/** `openclaw devices …` of the stock command line, against devices that wait and devices that are in. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connect, newDevice } from "../client.ts";
import { type Finished, openclaw } from "../openclaw.ts";
import { openWorld, type Seat, type World } from "./world.ts";

let world: World;
let seat: Seat;

beforeAll(async () => {
  world = await openWorld();
  seat = world.seat(0) as Seat;
});
afterAll(() => world?.close());

const devices = (...args: string[]) =>
  openclaw(seat.home, ["devices", ...args, "--url", seat.wsUrl, "--token", seat.token]);

function said(done: Finished): string {
  expect(done, `${done.stdout}\n${done.stderr}\n${world.gateway.output()}`).toMatchObject({ code: 0 });
  return done.stdout;
}

/** A device without a token, refused and waiting. */
async function waiting() {
  const { identity, hostDeps } = newDevice();
  const target = { ...seat, wsUrl: `${seat.wsUrl}/t/${seat.name}` };
  const options = { token: "", deviceIdentity: identity, hostDeps, scopes: ["operator.read"] };
  const attempt = () => connect(target, options);
  const refusal = (await attempt().catch((thrown: unknown) => thrown)) as {
    details: Record<string, string>;
  };
  expect(refusal.details["code"]).toBe("PAIRING_REQUIRED");
  return { deviceId: identity.deviceId, requestId: refusal.details["requestId"] ?? "", attempt };
}

describe("openclaw devices", () => {
  it("lists, approves, names, rotates, revokes, rejects and removes", async (context) => {
    if (world.gateway.kind !== "creel") return context.skip("the stock gateway pairs loopback by itself");
    const [device, other] = [await waiting(), await waiting()];
    expect(said(await devices("list"))).toContain(device.requestId);
    const preview = await devices("approve", "--latest");
    expect(preview.stderr).toContain("Approve this exact request with");
    expect(said(await devices("approve", device.requestId))).toContain(device.deviceId);
    const inside = await device.attempt();
    await inside.request("sessions.list", {});
    said(await devices("rename", "--device", device.deviceId, "--name", "Kitchen Mac"));
    expect(said(await devices("list"))).toContain("Kitchen Mac");
    const role = ["--device", device.deviceId, "--role", "operator"];
    expect(said(await devices("rotate", ...role))).toContain("withheld-cross-device");
    expect(said(await devices("reject", other.requestId))).toContain(other.deviceId);
    said(await devices("revoke", ...role));
    await inside.close();
    const again = (await device.attempt().catch((thrown: unknown) => thrown)) as {
      details: Record<string, string>;
    };
    expect(again.details["code"]).toBe("PAIRING_REQUIRED");
    said(await devices("approve", again.details["requestId"] ?? ""));
    await (await device.attempt()).close();
    said(await devices("remove", device.deviceId));
    expect(said(await devices("list", "--json"))).not.toContain(device.deviceId);
  }, 240_000);

  it("and a code made by gateway call lets a device in", async (context) => {
    if (world.gateway.kind !== "creel") return context.skip("the stock gateway gives codes to nodes");
    const call = ["gateway", "call", "device.pair.setupCode", "--params", "{}", "--json"];
    const made = await openclaw(seat.home, [...call, "--url", seat.wsUrl, "--token", seat.token]);
    const { setupCode } = JSON.parse(said(made)) as { setupCode: string };
    const inner = JSON.parse(Buffer.from(setupCode, "base64url").toString()) as Record<string, string>;
    const { identity, hostDeps } = newDevice();
    const target = { ...seat, wsUrl: inner["url"] ?? "" };
    const options = { token: "", bootstrapToken: inner["bootstrapToken"] ?? "" };
    const inside = await connect(target, { ...options, deviceIdentity: identity, hostDeps });
    expect(inside.hello().auth?.scopes).toContain("operator.admin");
    await inside.close();
  }, 120_000);
});
