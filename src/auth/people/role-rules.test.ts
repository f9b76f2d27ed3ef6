import { describe, expect, it } from "vitest";
import { type Actor, MACHINE, SYSTEM } from "../../tenancy/actor.ts";
import { ROLES, type Role, roleCovers } from "../../tenancy/scopes.ts";
import {
  type Authority,
  authorityOf,
  mayChange,
  mayDecide,
  mayGive,
  mayRemove,
  rankOf,
  weakerRole,
} from "./role-rules.ts";

const AUTHORITIES: readonly Authority[] = [...ROLES, "platform", "none"];

describe("whoever decides about people", () => {
  it("is an owner, an admin or the platform, and nobody else", () => {
    const may = AUTHORITIES.filter((by) => mayDecide(by).ok);
    expect(may).toEqual(["owner", "admin", "platform"]);
  });

  it("gives nothing above themselves and nothing above the ceiling, in every combination", () => {
    for (const by of AUTHORITIES) {
      for (const role of ROLES) {
        for (const ceiling of ROLES) {
          const expected =
            by === "platform" ||
            ((by === "owner" || by === "admin") && roleCovers(by, role) && roleCovers(ceiling, role));
          expect(mayGive(by, role, ceiling).ok, `${by} gives ${role} under ${ceiling}`).toBe(expected);
        }
      }
    }
  });

  it("touches an owner only as an owner, in every combination", () => {
    for (const by of AUTHORITIES) {
      expect(mayRemove(by, "owner").ok, by).toBe(by === "owner" || by === "platform");
      for (const to of ROLES) {
        expect(mayChange(by, "owner", to, "owner").ok, `${by} makes an owner ${to}`).toBe(
          by === "owner" || by === "platform",
        );
      }
    }
  });

  it("may make anybody weaker whatever the ceiling, and stronger only below it", () => {
    const strongest = (ceiling: Role) =>
      ROLES.filter((to) => mayChange("owner", "readonly", to, ceiling).ok).map(String);
    expect(strongest("member")).toEqual(["member", "readonly"]);
    expect(strongest("owner")).toEqual(["owner", "admin", "member", "readonly"]);
    expect(mayChange("admin", "admin", "readonly", "readonly").ok).toBe(true);
    expect(mayChange("admin", "member", "owner", "owner").ok).toBe(false);
    expect(mayChange("member", "readonly", "readonly", "owner").ok).toBe(false);
    expect(mayRemove("member", "readonly").ok).toBe(false);
    expect(mayRemove("admin", "admin").ok).toBe(true);
  });

  it("says why not", () => {
    expect(mayGive("admin", "owner", "owner")).toMatchObject({ reason: expect.stringContaining("your own") });
    expect(mayGive("owner", "admin", "member")).toMatchObject({ reason: expect.stringContaining("at most") });
  });
});

describe("an actor", () => {
  const person: Actor = { ...SYSTEM, kind: "person", id: "p", role: "admin" };
  it("decides with the role it came with, and without one with nothing", () => {
    expect(authorityOf(person)).toBe("admin");
    expect(authorityOf({ ...person, role: null })).toBe("none");
    expect(authorityOf({ ...person, kind: "token", role: "member" })).toBe("member");
    expect(authorityOf(MACHINE)).toBe("platform");
    expect(authorityOf(SYSTEM)).toBe("platform");
    expect(authorityOf({ ...person, kind: "operator", role: null })).toBe("platform");
  });
});

describe("roles", () => {
  it("have an order", () => {
    expect(ROLES.map(rankOf)).toEqual([4, 3, 2, 1]);
    expect(weakerRole("owner", "readonly")).toBe("readonly");
    expect(weakerRole("member", "admin")).toBe("member");
  });
});
