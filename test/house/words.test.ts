/** What may stand in no text of the repository: places of one machine, hosts of one registry. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { isText, listFiles, ROOT } from "./tree.ts";

// Put together from parts, so that this file does not hold what it refuses.
const slash = "/";
const REFUSED: { what: string; pattern: RegExp }[] = [
  {
    what: "a path of one machine",
    pattern: new RegExp(`${slash}work/(?:main|shared)|${slash}tmp/creel/|${slash}root/`),
  },
  {
    what: "a home folder",
    pattern: new RegExp(`(?<![\\w>])${slash}home/(?!user\\b|node\\b|creel\\b|<)[a-z]|${slash}Users/[a-z]`),
  },
  {
    what: "a registry host",
    pattern:
      /\b(?:registry\.(?:npm|yarn)[a-z]*\.\w+|(?:artifactory|nexus|verdaccio|npmmirror)\.[a-z]|npm\.pkg\.)/i,
  },
  {
    what: "a private address with a port",
    pattern: /\b(?:10|172\.(?:1[6-9]|2\d|3[01])|192\.168)(?:\.\d{1,3}){2,3}:\d{2,5}\//i,
  },
];

function breaches(path: string, text: string): string[] {
  return text
    .split("\n")
    .flatMap((line, index) =>
      REFUSED.filter(({ pattern }) => pattern.test(line)).map(
        ({ what }) => `${path}:${index + 1} holds ${what}`,
      ),
    );
}

describe("texts", () => {
  it("hold no path of one machine and no registry host", () => {
    const files = listFiles(".").filter(isText);
    expect(files.length).toBeGreaterThan(100);
    expect(files).toContain("package-lock.json");
    expect(files.flatMap((path) => breaches(path, readFileSync(join(ROOT, path), "utf8")))).toEqual([]);
  });

  it("are really searched", () => {
    expect(breaches("x", `see ${slash}work/main/src`)).toHaveLength(1);
    expect(breaches("x", `from ${slash}home/jane/creel`)).toHaveLength(1);
    expect(breaches("x", `https://${"registry"}.npmjs.org/a`)).toHaveLength(1);
    expect(breaches("x", "the registry.find of methods, /home/user, work/main")).toEqual([]);
  });
});
