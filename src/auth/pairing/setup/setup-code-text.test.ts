import { describe, expect, it } from "vitest";
import type { Tenant } from "#src/tenancy/tenant.ts";
import { encodeSetupCode, setupAddress } from "./setup-code-text.ts";

const tenant = { slug: "acme", hosts: ["acme.example"] } as unknown as Tenant;

describe("the address in a setup code", () => {
  it("is the one asked for, else the operator's, else where the caller sees us", () => {
    const all = {
      asked: "https://asked.example/x?y",
      configured: "https://set.example",
      seen: "http://seen.example",
    };
    expect(setupAddress(tenant, all)).toEqual({
      ...{ url: "wss://asked.example/t/acme", source: "request.publicUrl", isPrivate: true },
    });
    expect(setupAddress(tenant, { ...all, asked: undefined })).toMatchObject({
      ...{ url: "wss://set.example/t/acme", source: "gateway.publicUrl" },
    });
    expect(setupAddress(tenant, { seen: all.seen })).toEqual({
      ...{ url: "ws://seen.example/t/acme", source: "request.origin", isPrivate: false },
    });
    expect(() => setupAddress(tenant, {})).toThrow("Say with publicUrl");
  });

  it("needs no path on the tenant's own host, and keeps a port", () => {
    expect(setupAddress(tenant, { asked: "wss://acme.example:8443" }).url).toBe("wss://acme.example:8443");
    const seen = "https://acme.example";
    expect(setupAddress(tenant, { configured: "https://set.example", seen }).url).toBe("wss://acme.example");
  });

  it("is private with TLS or on this machine only", () => {
    const isPrivate = (asked: string) => setupAddress(tenant, { asked }).isPrivate;
    for (const one of [
      "wss://a.example",
      "https://10.0.0.1",
      "ws://127.0.0.1:1",
      "http://localhost",
      "ws://[::1]:2",
    ])
      expect(isPrivate(one), one).toBe(true);
    for (const one of [
      "ws://10.0.0.1",
      "http://127.0.0.1.evil.test",
      "ws://localhost.evil.test",
      "ws://[fe80::1]",
    ])
      expect(isPrivate(one), one).toBe(false);
  });

  it("is refused when it is no web address or holds credentials", () => {
    for (const asked of [
      "",
      "x",
      "ftp://a",
      "javascript:1",
      "https://u@a.example",
      "wss://u:p@a.example",
      "//a",
    ])
      expect(() => setupAddress(tenant, { asked }), asked).toThrow("publicUrl must be");
  });
});

describe("a setup code", () => {
  it("is base64url of what OpenClaw's clients decode", () => {
    const payload = { url: "wss://a.example/t/acme", bootstrapToken: "creelp_x", expiresAtMs: 7 };
    const code = encodeSetupCode(payload);
    expect(code).toMatch(/^[A-Za-z0-9_-]+$/);
    expect(JSON.parse(Buffer.from(code, "base64url").toString())).toEqual(payload);
  });
});
