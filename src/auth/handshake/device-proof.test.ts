import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { describe, expect, it } from "vitest";
import { readConnectParams } from "./connect-params.ts";
import { checkDeviceProof, PROOF_SKEW_MS, signedTexts } from "./device-proof.ts";

type Params = Parameters<typeof checkDeviceProof>[0];

function paramsOf(raw: unknown): Params {
  const read = readConnectParams(raw);
  if (!read.ok || read.params.device === undefined) throw new Error(JSON.stringify(read));
  return { ...read.params, device: read.params.device };
}

/** Frames that real clients sent to OpenClaw 2026.9.6, which accepted them. */
const RECORDED: Record<string, unknown> = {
  "GatewayClient with a token": {
    minProtocol: 4,
    maxProtocol: 4,
    client: { id: "cli", version: "0.0.0", platform: "linux", mode: "cli" },
    caps: [],
    auth: { token: "testtoken" },
    role: "operator",
    scopes: ["operator.admin"],
    device: {
      id: "59726d3dedf18fe42be0e970ecf95f7290fd2d2d426a72ca8cac7ff659576b63",
      publicKey: "RtQHDeidhG24wJ-pQ4W4mRGDvHgF7gAtR1ubFGdBM84",
      signature: "uNIH-mbmi4TzvG0bVQjQv7gv_AESALWcRfqVZW8UtyoWx2OZEq_PQIkU6T4XpP_Fl3eqWlh82WlCVtzWwSCNCw",
      signedAt: 1795336094559,
      nonce: "abd9231b-a342-48e4-bc2e-406905a9bfbc",
    },
  },
  "GatewayClient with its device token": {
    minProtocol: 4,
    maxProtocol: 4,
    client: { id: "cli", version: "0.0.0", platform: "linux", mode: "cli" },
    caps: [],
    auth: {
      token: "1900uzL-twVGJgyJgsMzBjpIuDgpb2AZGYjmSHfKm0o",
      deviceToken: "1900uzL-twVGJgyJgsMzBjpIuDgpb2AZGYjmSHfKm0o",
    },
    role: "operator",
    scopes: ["operator.admin"],
    device: {
      id: "59726d3dedf18fe42be0e970ecf95f7290fd2d2d426a72ca8cac7ff659576b63",
      publicKey: "RtQHDeidhG24wJ-pQ4W4mRGDvHgF7gAtR1ubFGdBM84",
      signature: "PaiM1pGtHt0MTUIRphnnyQRbEmS4GQFeJqOpoUDaNOxuXBPTM2Q-J_2MRdVti_r-1dyYfrZT4ynPwPDk4S17CQ",
      signedAt: 1795336099911,
      nonce: "3b87b3fe-5137-432f-8395-8bcb8402677e",
    },
  },
  "the TUI, which tells its device family": {
    minProtocol: 4,
    maxProtocol: 4,
    client: {
      id: "openclaw-tui",
      displayName: "openclaw-tui",
      version: "2026.9.6",
      platform: "linux",
      deviceFamily: "Linux",
      mode: "ui",
      instanceId: "d34bfc32-4c4b-45a7-9b0d-a1df4f0d9ed5",
    },
    auth: { token: "testtoken" },
    role: "operator",
    scopes: ["operator.admin", "operator.read", "operator.write", "operator.approvals"],
    device: {
      id: "44d7dcb603ecc9dfb27877f639ac9ccc52f7461e3cb4158381f6560adac9f736",
      publicKey: "Rk796ut_wxH8dLo6hLABFd4PAnQXXNF8FxxH8rA4DhQ",
      signature: "VRHNK-O09WntEapAGihJZcRWoyQ6_mBCgf4eCWX4OHqfy2hWAqw7dqAjgcV7iGADOn57WIB5cA0Ms4qC_gKGBg",
      signedAt: 1795336257335,
      nonce: "5d256605-5406-477f-856f-3ce96812e441",
    },
  },
};

describe("a recorded proof", () => {
  for (const [name, raw] of Object.entries(RECORDED)) {
    it(`of ${name} holds for its own socket and moment, and for nothing else`, () => {
      const params = paramsOf(raw);
      const { nonce, signedAt } = params.device;
      expect(checkDeviceProof(params, nonce, signedAt)).toBeUndefined();
      expect(checkDeviceProof(params, nonce, signedAt + PROOF_SKEW_MS)).toBeUndefined();
      expect(checkDeviceProof(params, nonce, signedAt + PROOF_SKEW_MS + 1)).toBe("stale");
      expect(checkDeviceProof(params, nonce, signedAt - PROOF_SKEW_MS - 1)).toBe("stale");
      expect(checkDeviceProof(params, "another-nonce", signedAt)).toBe("nonce");
      const changes: Partial<Params>[] = [
        { scopes: [...(params.scopes ?? []), "operator.pairing"] },
        { auth: { token: "another" } },
        { client: { ...params.client, id: "test" } },
        { client: { ...params.client, mode: "backend" } },
        { client: { ...params.client, platform: "darwin" } },
        { device: { ...params.device, signature: `${params.device.signature.slice(0, -2)}AA` } },
        { device: { ...params.device, signature: `${params.device.signature} ` } },
        { device: { ...params.device, signature: "" } },
        { device: { ...params.device, signedAt: signedAt + 1 } },
      ];
      for (const change of changes) {
        expect(checkDeviceProof({ ...params, ...change }, nonce, signedAt), JSON.stringify(change)).toBe(
          "signature",
        );
      }
      const otherId = { ...params.device, id: "0".repeat(64) };
      expect(checkDeviceProof({ ...params, device: otherId }, nonce, signedAt)).toBe("id");
      const notAKey = { ...params.device, publicKey: "AAAA" };
      expect(checkDeviceProof({ ...params, device: notAKey }, nonce, signedAt)).toBe("id");
    });
  }
});

describe("the signed text", () => {
  it("is the one of PROTOCOL 3.2, version 3 and version 2", () => {
    const pair = generateKeyPairSync("ed25519");
    const raw = pair.publicKey.export({ format: "der", type: "spki" }).subarray(-32);
    const id = createHash("sha256").update(raw).digest("hex");
    const make = (text: string): Params =>
      paramsOf({
        minProtocol: 4,
        maxProtocol: 4,
        client: { id: "cli", version: "1", platform: " Linux X ", deviceFamily: "Mac", mode: "cli" },
        scopes: ["operator.read", "operator.write"],
        auth: { password: "pw" },
        device: {
          id,
          publicKey: raw.toString("base64url"),
          signature: sign(null, Buffer.from(text), pair.privateKey).toString("base64url"),
          signedAt: 5,
          nonce: "n",
        },
      });
    const v2 = `v2|${id}|cli|cli|operator|operator.read,operator.write|5||n`;
    const v3 = `v3|${id}|cli|cli|operator|operator.read,operator.write|5||n|linux x|mac`;
    expect(signedTexts(make(v3))).toEqual([v3, v2]);
    expect(checkDeviceProof(make(v3), "n", 5)).toBeUndefined();
    expect(checkDeviceProof(make(v2), "n", 5)).toBeUndefined();
    expect(checkDeviceProof(make(v3.replace("v3", "v4")), "n", 5)).toBe("signature");
  });
});
