/** Imports go down. The one rule that never bends (ARCHITECTURE.md). */
import { describe, expect, it } from "vitest";
import { SourceFile } from "./source.ts";
import { readProduct, resolveImport } from "./tree.ts";

const FLOORS: Record<string, number> = {
  ...{ kernel: 0, config: 1, storage: 1, tenancy: 2, protocol: 3, events: 4, audit: 4, jobs: 4 },
  ...{ auth: 5, sessions: 5, agents: 5, billing: 5, mesh: 5, chat: 6, channels: 7, mission: 7, admin: 7 },
  ...{ gateway: 8, app: 9, main: 10, cli: 11 },
};

/** The module of a file: the folder below src, or the name of a file directly in it. */
function moduleOf(path: string): string {
  return path.split("/")[1]!.replace(/\.ts$/, "");
}

interface Edge {
  from: string;
  to: string;
  line: number;
}

function edgesOf(files: readonly SourceFile[]): Edge[] {
  return files.flatMap((file) =>
    file.imports().flatMap((edge) => {
      const to = resolveImport(file.path, edge.specifier);
      return to === undefined ? [] : [{ from: file.path, to, line: edge.line }];
    }),
  );
}

function floorBreaches(files: readonly SourceFile[]): string[] {
  return edgesOf(files).flatMap(({ from, to, line }) => {
    const where = `${from}:${line} imports ${to}`;
    // Files that are no code, such as migrations, are named by their place.
    if (!to.startsWith("src/"))
      return /^(?:test|scripts|ui)\//.test(to) ? [`${where}, which is no part of the product`] : [];
    const [own, other] = [moduleOf(from), moduleOf(to)];
    if (own === other) return [];
    const [ownFloor, otherFloor] = [FLOORS[own], FLOORS[other]];
    if (ownFloor === undefined || otherFloor === undefined) return [`${where}: a module without a floor`];
    return otherFloor < ownFloor ? [] : [`${where}: floor ${ownFloor} may not reach floor ${otherFloor}`];
  });
}

/** Rings of files, each named once by its members. */
function findRings(edges: readonly Edge[]): string[] {
  const targets = Map.groupBy(edges, (edge) => edge.from);
  const state = new Map<string, "open" | "done">();
  const rings = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === "done") return;
    if (state.get(file) === "open") {
      rings.add([...path.slice(path.indexOf(file))].sort().join(" <-> "));
      return;
    }
    state.set(file, "open");
    for (const edge of targets.get(file) ?? []) visit(edge.to, [...path, file]);
    state.set(file, "done");
  };
  for (const file of targets.keys()) visit(file, []);
  return [...rings];
}

describe("floors", () => {
  const files = readProduct();
  const edges = edgesOf(files);

  it("sees the house", () => {
    expect(files.length).toBeGreaterThan(40);
    expect(edges.length).toBeGreaterThan(files.length);
    expect(new Set(files.map((file) => moduleOf(file.path))).size).toBeGreaterThan(8);
  });

  it("are only imported downwards", () => {
    expect(floorBreaches(files)).toEqual([]);
  });

  it("hold no ring of files, type-only imports included", () => {
    expect(findRings(edges)).toEqual([]);
  });

  it("import files that exist", () => {
    const known = new Set(files.map((file) => file.path));
    const missing = edges.filter(({ to }) => to.endsWith(".ts") && !known.has(to));
    expect(missing).toEqual([]);
  });

  it("are known by app.ts alone", () => {
    const importers = edges.filter(({ to }) => to === "src/app.ts").map(({ from }) => moduleOf(from));
    expect(importers.filter((name) => name !== "main" && name !== "cli")).toEqual([]);
  });
});

describe("the floors test", () => {
  const planted = (path: string, text: string) => new SourceFile(path, text);

  it("catches imports up, sideways, out of the product, and of unknown modules", () => {
    const breaches = floorBreaches([
      planted("src/kernel/a.ts", 'import type { T } from "#src/tenancy/tenant.ts";'),
      planted("src/billing/b.ts", 'import { s } from "../sessions/sessions.ts";'),
      planted("src/storage/c.ts", 'const c = await import("#test/support/x.ts");'),
      planted("src/attic/d.ts", 'import { e } from "../kernel/errors.ts";'),
      planted("src/gateway/e.ts", 'new Worker(new URL("../app.ts", import.meta.url));'),
      planted("src/chat/fine.ts", 'import { e } from "../kernel/errors.ts"; import { f } from "./other.ts";'),
    ]);
    expect(breaches).toHaveLength(5);
  });

  it("catches a ring through a type", () => {
    const rings = findRings(
      edgesOf([
        planted("src/chat/a.ts", 'import { b } from "./b.ts";'),
        planted("src/chat/b.ts", 'import type { C } from "./c.ts";'),
        planted("src/chat/c.ts", 'import { a } from "./a.ts";'),
      ]),
    );
    expect(rings).toEqual(["src/chat/a.ts <-> src/chat/b.ts <-> src/chat/c.ts"]);
  });
});
