import { describe, expect, it } from "vitest";
import { callbackOrigin, checkReturnPath } from "./return-path.ts";

describe("the way back", () => {
  it("is one of our own pages", () => {
    for (const path of ["/", "/t/acme/", "/t/acme/settings?tab=tokens#x", "/join#invite=abc-_", "/account"]) {
      expect(checkReturnPath(path, null)).toBe(path);
    }
  });

  it("is never another site, nor what is no page", () => {
    for (const path of [
      "//evil.example",
      "/\\evil.example",
      "/\t/evil.example",
      "https://evil.example",
      "javascript:alert(1)",
      "evil",
      "",
      "/a\nb",
      "/a b",
      "/%2e%2e/x",
      "/x%2f..%2f",
      "/x/..//evil.example",
      "/./\t/evil.example",
      "/.//evil.example",
      "/auth/callback/x?code=1",
      "/t/../auth/logout",
      "/<script>",
      `/${"x".repeat(600)}`,
      undefined,
    ]) {
      expect(checkReturnPath(path, null), String(path)).toBeNull();
    }
  });

  it("stays in the tenant where it began", () => {
    for (const path of ["/t/acme/chat", "/", "/join#invite=x"])
      expect(checkReturnPath(path, "acme")).toBe(path);
    for (const path of ["/t/acme-corp/", "/t/beta/", "/t/acme/../beta/", "/x/../t/beta"]) {
      expect(checkReturnPath(path, "acme"), path).toBeNull();
    }
  });
});

describe("the origin of the callback", () => {
  it("is the one the operator gave wherever that is meant", () => {
    const own = "https://creel.example";
    expect(callbackOrigin("https://creel.example:9999", own)).toBe(own);
    expect(callbackOrigin("http://creel.example", own)).toBe(own);
    expect(callbackOrigin("https://203.0.113.9", own)).toBe(own);
    expect(callbackOrigin("https://[2001:db8::1]:8443", own)).toBe(own);
  });

  it("is the host that was checked elsewhere", () => {
    expect(callbackOrigin("http://127.0.0.1:5173", "https://creel.example")).toBe("http://127.0.0.1:5173");
    expect(callbackOrigin("https://acme.example", "https://creel.example")).toBe("https://acme.example");
    expect(callbackOrigin("http://localhost:1", undefined)).toBe("http://localhost:1");
  });
});
