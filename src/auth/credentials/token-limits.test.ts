import { describe, expect, it } from "vitest";
import { AppError } from "../../kernel/errors.ts";
import type { Role } from "../../tenancy/scopes.ts";
import { type AskedLimits, inheritLimits, isFromAllowed, readLimits, readList } from "./token-limits.ts";

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return "ok";
  } catch (thrown) {
    return thrown instanceof AppError ? thrown.code : String(thrown);
  }
};
const ask = (asked: AskedLimits, role: Role = "admin") => codeOf(() => readLimits(asked, role));

describe("limits of a token", () => {
  it("are none when nothing is asked for, and what is asked for is meant", () => {
    expect(readLimits({}, "owner")).toEqual({ scopes: null, addresses: null, agents: null });
    expect(readLimits({ scopes: [] }, "owner").scopes).toEqual([]);
    expect(readLimits({ scopes: ["operator.read"] }, "member").scopes).toEqual(["operator.read"]);
  });

  it("hold no scope that the role lacks, nor one that does not exist", () => {
    expect(ask({ scopes: ["operator.admin"] }, "member")).toBe("forbidden");
    for (const scope of [
      "*",
      "operator.*",
      "operator.root",
      "",
      "OPERATOR.READ",
      "operator.read ",
      "__proto__",
    ])
      expect(ask({ scopes: [scope] }), scope).toBe("invalid_request");
  });

  it("refuse empty lists, blanks and wildcards instead of reading them as all (RO-16)", () => {
    for (const list of [
      [],
      ["*"],
      [""],
      [" "],
      ["\t"],
      ["192.0.2.1", ""],
      ["0.0.0.0/0"],
      ["::/0"],
      ["any"],
      ["1"],
    ])
      expect(ask({ addresses: list }), JSON.stringify(list)).toBe("invalid_request");
    for (const list of [[], ["*"], [""], [" main"], ["main", "*"], ["agent:main:*"], ["Main"], ["../x"]])
      expect(ask({ agents: list }), JSON.stringify(list)).toBe("invalid_request");
  });

  it("know an address in every way it can be written", () => {
    const { addresses } = readLimits(
      { addresses: ["::ffff:192.0.2.7", "198.51.100.9/24", "2001:DB8::1/32", "::ffff:203.0.113.0/120"] },
      "owner",
    );
    expect(addresses).toEqual(["192.0.2.7", "198.51.100.0/24", "2001:db8::/32", "203.0.113.0/24"]);
    const may = [
      "192.0.2.7",
      "::ffff:192.0.2.7",
      "::ffff:c000:207",
      "198.51.100.200",
      "2001:db8:9::1",
      "203.0.113.5",
    ];
    for (const address of may) expect(isFromAllowed(addresses, address), address).toBe(true);
    const mayNot = ["192.0.2.8", "198.51.101.1", "2001:db9::1", "", "unknown", "::ffff:192.0.2.8"];
    for (const address of mayNot) expect(isFromAllowed(addresses, address), address).toBe(false);
    expect(isFromAllowed(null, "")).toBe(true);
    expect(isFromAllowed([], "192.0.2.7")).toBe(false);
  });

  it("pass on to what a limited token makes, and never widen", () => {
    const maker = readLimits(
      { scopes: ["operator.read"], addresses: ["192.0.2.1"], agents: ["main"] },
      "admin",
    );
    const none = readLimits({}, "admin");
    expect(inheritLimits(none, maker, "admin")).toEqual(maker);
    expect(inheritLimits(none, none, "admin")).toEqual(none);
    const wider: AskedLimits[] = [
      { scopes: ["operator.write"] },
      { scopes: ["operator.admin"] },
      { addresses: ["192.0.2.0/24"] },
      { addresses: ["192.0.2.1", "192.0.2.2"] },
      { agents: ["main", "other"] },
    ];
    for (const asked of wider) {
      const child = readLimits(asked, "admin");
      expect(
        codeOf(() => inheritLimits(child, maker, "admin")),
        JSON.stringify(asked),
      ).toBe("forbidden");
    }
    const narrower = readLimits({ scopes: [] }, "admin");
    expect(inheritLimits(narrower, maker, "admin").scopes).toEqual([]);
  });

  it("grant nothing when the stored list cannot be read", () => {
    expect(readList("not json")).toEqual([]);
    expect(readList("{}")).toEqual([]);
    expect(readList("null")).toEqual([]);
    expect(readList(null)).toBeNull();
  });
});
