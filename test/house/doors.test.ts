/** Things that have one door: time, network, databases, the environment; and no state outside of objects. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { SourceFile } from "./source.ts";
import { ROOT, readProduct } from "./tree.ts";

interface Door {
  /** What only some files may do. */
  what: string;
  allowed: RegExp;
  code?: RegExp;
  packages?: RegExp;
  /** A file whose code has this was handed the thing by somebody else. */
  handed?: RegExp;
}

const DOORS: Door[] = [
  {
    what: "reads the time",
    allowed: /^src\/kernel\/clock\.ts$/,
    code: /\bDate\s*\.\s*now\b|\bperformance\s*[.,}]|\bnew\s+Date\s*(?:\(\s*\)|;)|\bhrtime\b|\bTemporal\s*\.\s*Now\b/g,
  },
  {
    what: "makes outbound requests",
    handed: /\bconst\s*\{[^}=]*\bfetch\b[^}=]*\}\s*=\s*(?!globalThis)/,
    allowed: /^src\/kernel\/egress\b/,
    code: /(?<![.\w$])fetch\s*\((?!\s*[\w$]+\s*[:)][^)]*\)\s*[:{])|\bglobalThis\s*\.\s*fetch\b|\bnew\s+(?:WebSocket|EventSource)\s*\(/g,
    packages: /^(?:undici|node:https|node:tls|node:dgram)$/,
  },
  {
    what: "opens databases",
    allowed: /^src\/storage\/(?:sqlite-[a-z-]+|[a-z-]+\.sqlite)\.ts$/,
    packages: /^(?:node:sqlite|better-sqlite3)$/,
  },
  {
    what: "reads the environment or the command line",
    allowed: /^src\/(?:main\.ts|app\.ts|cli\.ts|cli\/|config\/)/,
    code: /\bprocess\s*\.\s*(?:env|argv)\b/g,
  },
  {
    what: "ends the process",
    allowed: /^src\/(?:main\.ts|cli\.ts|cli\/)/,
    code: /\bprocess\s*\.\s*(?:exit|abort|kill)\b/g,
  },
  {
    what: "starts programs",
    allowed: /^src\/cli\b/,
    packages: /^node:(?:child_process|cluster|vm)$/,
  },
  { what: "makes code from text", allowed: /^$/, code: /(?<![.\w$])eval\s*\(|\bnew\s+Function\s*\(/g },
  {
    what: "keeps the bound tenant",
    allowed: /^src\/tenancy\/context\.ts$/,
    code: /\bnew\s+AsyncLocalStorage\b/g,
  },
];

function breaches(door: Door, files: readonly SourceFile[]): string[] {
  return files
    .filter((file) => !door.allowed.test(file.path))
    .flatMap((file) => {
      const isHanded = door.handed?.test(file.code) === true;
      const used = door.code === undefined || isHanded ? [] : file.find(door.code).map(({ line }) => line);
      const imported = file
        .imports()
        .filter((edge) => !edge.isTypeOnly && door.packages?.test(edge.specifier))
        .map((edge) => edge.line);
      return [...used, ...imported].map((line) => `${file.path}:${line} ${door.what}`);
    });
}

/** State that belongs to no object: it would be shared by all tenants, and by all tests. */
function mutableState(file: SourceFile): string[] {
  const pattern =
    /^(?:export\s+)?(?:let|var)\s+[\w$]+|^(?:export\s+)?const\s+[\w$]+[^=;]*=\s*new\s+(?:Map|Set|WeakMap|WeakSet|Array)\b[^(;]*\(\s*\)\s*;|^(?:export\s+)?const\s+[\w$]+[^=;]*=\s*\[\s*\]\s*;/gm;
  // Brackets that hold something at the top level must not look empty.
  const top = file
    .topLevel()
    .replaceAll(/([([])(\s+)([)\]])/g, (all, open: string, gap: string, close: string, at: number) => {
      const inside = file.code.slice(at + open.length, at + open.length + gap.length);
      return inside.trim() === "" ? all : `${open}${"x".repeat(gap.length)}${close}`;
    });
  return [...top.matchAll(pattern)].map(
    (match) => `${file.path}:${file.lineOf(match.index)} ${match[0].trim()}`,
  );
}

describe("doors", () => {
  const files = readProduct();

  it("sees the product", () => {
    expect(files.length).toBeGreaterThan(40);
  });

  it.each(DOORS.map((door) => [door.what, door] as const))("only the right file %s", (_what, door) => {
    expect(breaches(door, files)).toEqual([]);
  });

  it("are the only state outside of objects", () => {
    expect(files.flatMap(mutableState)).toEqual([]);
  });

  it("are not hidden behind barrels", () => {
    const barrels = files.flatMap((file) =>
      file
        .imports()
        .flatMap((edge) =>
          edge.isReExport ? [`${file.path}:${edge.line} passes on ${edge.specifier}`] : [],
        ),
    );
    expect(barrels).toEqual([]);
  });

  it("need nothing that a production install leaves out", () => {
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
    };
    const packages = files.flatMap((file) =>
      file
        .imports()
        .filter((edge) => !/^[.#]|^node:/.test(edge.specifier) && !edge.isTypeOnly)
        .map((edge) => ({
          where: `${file.path}:${edge.line} ${edge.specifier}`,
          name: edge.specifier
            .split("/")
            .slice(0, edge.specifier.startsWith("@") ? 2 : 1)
            .join("/"),
        })),
    );
    expect(packages.length).toBeGreaterThan(5);
    expect(packages.filter(({ name }) => dependencies[name] === undefined).map(({ where }) => where)).toEqual(
      [],
    );
  });
});

describe("the identity provider of development", () => {
  it("is no part of the product", () => {
    const { dependencies, devDependencies } = JSON.parse(
      readFileSync(join(ROOT, "package.json"), "utf8"),
    ) as Record<string, Record<string, string>>;
    expect(dependencies?.["oidc-provider"]).toBeUndefined();
    expect(devDependencies?.["oidc-provider"]).toBeDefined();
    const named = readProduct().filter((file) =>
      file.imports().some((edge) => /oidc-provider|identity-provider|dev-sign-in/.test(edge.specifier)),
    );
    expect(named.map((file) => file.path)).toEqual([]);
  });
});

describe("the doors test", () => {
  const plant = (text: string) => [new SourceFile("src/chat/x.ts", text)];
  const seen = (text: string) => DOORS.flatMap((door) => breaches(door, plant(text)));

  it("catches what goes around a door", () => {
    for (const text of [
      "const now = Date.now();",
      "const now = new Date();",
      'import { performance } from "node:perf_hooks";',
      'await fetch("https://example.com");',
      "const send = globalThis.fetch;",
      'import { request } from "undici";',
      'import Database from "better-sqlite3";',
      "const home = process.env.HOME;",
      "process.exit(1);",
      'import { spawn } from "node:child_process";',
      'eval("1");',
      "const store = new AsyncLocalStorage();",
    ]) {
      expect(seen(text), text).toHaveLength(1);
    }
  });

  it("lets pass what only looks like it", () => {
    for (const text of [
      "const day = new Date(atMs);",
      "await this.egress.fetch(url);",
      "const { fetch } = this.options; await fetch(url);",
      'import type { Dispatcher } from "undici";',
      "// Date.now() and fetch() are refused here",
      'const text = "process.env";',
    ]) {
      expect(seen(text), text).toEqual([]);
    }
  });

  it("catches state outside of objects", () => {
    const state = (text: string) => plant(text).flatMap(mutableState).length;
    expect(state("let count = 0;")).toBe(1);
    expect(state("export let count = 0;")).toBe(1);
    expect(state("const cache = new Map();")).toBe(1);
    expect(state("const cache = new Map<string, number[]>();")).toBe(1);
    expect(state("const queue: string[] = [];")).toBe(1);
    expect(state('const WORDS = new Set(["a"]);')).toBe(0);
    expect(state("const LIST = [1, 2];")).toBe(0);
    expect(state("function f() { let count = 0; const m = new Map(); }")).toBe(0);
  });
});
