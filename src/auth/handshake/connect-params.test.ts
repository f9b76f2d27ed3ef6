import { describe, expect, it } from "vitest";
import { readConnectParams, readSecrets } from "./connect-params.ts";

const GOOD = {
  minProtocol: 4,
  maxProtocol: 4,
  client: { id: "gateway-client", version: "0.0.0", platform: "linux", mode: "backend" },
  role: "operator",
  scopes: ["operator.admin"],
};

/** Message and details of the refusal, as OpenClaw 2026.9.6 worded them on the wire. */
function refusalOf(raw: unknown) {
  const read = readConnectParams(raw);
  return read.ok ? "accepted" : { ...read.error, closeCode: read.closeCode };
}

describe("connect params", () => {
  it.each([
    [
      { ...GOOD, client: { ...GOOD.client, id: "nope" } },
      "at /client/id: must be equal to one of the allowed values",
    ],
    [
      { ...GOOD, client: { ...GOOD.client, mode: "nope" } },
      "at /client/mode: must be equal to one of the allowed values",
    ],
    [{ ...GOOD, minProtocol: 1.5 }, "at /minProtocol: must be integer"],
    [{ ...GOOD, minProtocol: "4" }, "at /minProtocol: must be integer"],
    [{ ...GOOD, client: undefined }, "must have required property 'client'"],
    [{}, "must have required property 'minProtocol'"],
    [
      { ...GOOD, device: { id: "a", publicKey: "b", signature: "c", signedAt: 1 } },
      "at /device: must have required property 'nonce'",
    ],
  ])("off the schema are refused by name: %#", (raw, problem) => {
    expect(refusalOf(raw)).toEqual({
      code: "INVALID_REQUEST",
      message: `invalid connect params: ${problem}`,
      closeCode: 1008,
    });
  });

  it.each([null, "text", 5, [], true])("that are no object are refused: %j", (raw) => {
    expect(refusalOf(raw)).toMatchObject({ code: "INVALID_REQUEST", closeCode: 1008 });
  });

  it("may hold what this version does not know", () => {
    const read = readConnectParams({ ...GOOD, modelCatalog: { sessionKey: "main" }, foo: 1 });
    expect(read).toMatchObject({ ok: true, protocol: 4 });
    expect(JSON.stringify(read)).not.toContain("modelCatalog");
  });

  it.each([
    [3, 3],
    [5, 6],
    [1, 2],
  ])("with the protocol range %i to %i are refused with 1002", (minProtocol, maxProtocol) => {
    expect(refusalOf({ ...GOOD, minProtocol, maxProtocol })).toEqual({
      code: "INVALID_REQUEST",
      message: "protocol mismatch",
      details: {
        code: "PROTOCOL_MISMATCH",
        clientMinProtocol: minProtocol,
        clientMaxProtocol: maxProtocol,
        expectedProtocol: 4,
        minimumProbeProtocol: 3,
      },
      closeCode: 1002,
    });
  });

  it("of a probe may speak 3, and settle on 4 when they can", () => {
    const probe = { ...GOOD, client: { ...GOOD.client, mode: "probe" } };
    expect(readConnectParams({ ...probe, minProtocol: 3, maxProtocol: 3 })).toMatchObject({
      ok: true,
      protocol: 3,
    });
    expect(readConnectParams({ ...probe, minProtocol: 3, maxProtocol: 4 })).toMatchObject({
      ok: true,
      protocol: 4,
    });
    expect(readConnectParams({ ...GOOD, minProtocol: 3, maxProtocol: 4 })).toMatchObject({
      ok: true,
      protocol: 4,
    });
    expect(refusalOf({ ...probe, minProtocol: 1, maxProtocol: 2 })).toMatchObject({ closeCode: 1002 });
  });

  it("with a role other than operator are refused", () => {
    for (const role of ["node", "admin", "worker"]) {
      expect(refusalOf({ ...GOOD, role })).toEqual({
        code: "INVALID_REQUEST",
        message: "invalid role",
        closeCode: 1008,
      });
    }
  });
});

describe("credentials", () => {
  it("come as token, as password, or as both if they are one", () => {
    expect(readSecrets({ token: "a" }).secret).toBe("a");
    expect(readSecrets({ password: "a" }).secret).toBe("a");
    expect(readSecrets({ token: "a", password: "a" })).toMatchObject({ secret: "a", isContradictory: false });
    expect(readSecrets({ token: "a", password: "b" }).isContradictory).toBe(true);
    expect(readSecrets({ token: "", password: "", deviceToken: "" })).toEqual({
      secret: undefined,
      deviceToken: undefined,
      bootstrapToken: undefined,
      isContradictory: false,
    });
    expect(readSecrets(undefined).secret).toBeUndefined();
  });
});
