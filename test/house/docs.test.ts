/** Pages written by hand say what is there: files, links, commands, scripts, modules, decisions. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, it } from "vitest";
import { AUDIT_COMMANDS } from "#src/cli/audit-commands.ts";
import { DOCTOR } from "#src/cli/doctor.ts";
import { OPERATOR_COMMANDS } from "#src/cli/operator-commands.ts";
import { PEOPLE_COMMANDS } from "#src/cli/people-commands.ts";
import { LIFECYCLE_COMMANDS } from "#src/cli/tenants/lifecycle-commands.ts";
import { TENANT_COMMANDS } from "#src/cli/tenants/tenant-commands.ts";
import { listFiles, ROOT } from "./tree.ts";

interface Page {
  path: string;
  text: string;
}

const PAGES: readonly Page[] = [
  "README.md",
  "ARCHITECTURE.md",
  "GLOSSARY.md",
  "CHANGELOG.md",
  ...listFiles("docs").filter((path) => path.endsWith(".md")),
].map((path) => ({ path, text: read(path) }));

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** Places named in code marks that are not there; patterns such as `NNNN-name.sql` name none. */
function missingPlaces(pages: readonly Page[]): string[] {
  const place = /`((?:src|test|docs|ui|migrations|scripts|bin)\/[\w./-]+)`/g;
  return pages.flatMap(({ path, text }) =>
    [...text.matchAll(place)]
      .map((match) => match[1]!)
      .filter((named) => !/NNNN|\/dist$/.test(named) && !existsSync(join(ROOT, named)))
      .map((named) => `${path} names ${named}`),
  );
}

/** Links within the repository that lead nowhere: no such file, or no such heading in it. */
function brokenLinks(pages: readonly Page[]): string[] {
  return pages.flatMap(({ path, text }) =>
    [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map((match) => match[1]!)
      .filter((target) => !/^[a-z]+:/.test(target) && !leadsSomewhere(path, target))
      .map((target) => `${path} links to ${target}`),
  );
}

function leadsSomewhere(path: string, target: string): boolean {
  const [file = "", anchor] = target.split("#");
  const found = file === "" ? path : normalize(join(dirname(path), file));
  if (!existsSync(join(ROOT, found))) return false;
  if (anchor === undefined) return true;
  const headings = [...read(found).matchAll(/^#+ (.+)$/gm)].map((match) => anchorOf(match[1]!));
  return headings.includes(anchor);
}

function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^a-z0-9 _-]/g, "")
    .replaceAll(" ", "-");
}

/** `npm run x` for scripts that package.json does not have. */
function unknownScripts(pages: readonly Page[]): string[] {
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  return pages.flatMap(({ path, text }) =>
    [...text.matchAll(/\bnpm run ([\w:]+)/g)]
      .filter((match) => scripts[match[1]!] === undefined)
      .map((match) => `${path} runs ${match[1]}`),
  );
}

describe("pages", () => {
  it("are there", () => {
    expect(PAGES.length).toBeGreaterThan(20);
  });

  it("name files that exist", () => {
    expect(missingPlaces(PAGES)).toEqual([]);
  });

  it("link to pages and headings that exist", () => {
    expect(brokenLinks(PAGES)).toEqual([]);
  });

  it("run scripts that exist", () => {
    expect(unknownScripts(PAGES)).toEqual([]);
  });

  it("list every command, with the flags that it has", () => {
    const readme = read("README.md").replaceAll("\\|", "|");
    const commands = [
      ...TENANT_COMMANDS,
      ...LIFECYCLE_COMMANDS,
      ...OPERATOR_COMMANDS,
      ...PEOPLE_COMMANDS,
      ...AUDIT_COMMANDS,
      DOCTOR,
    ];
    expect(commands.length).toBeGreaterThan(10);
    const missing = commands
      .map(({ name, usage }) => `\`creel ${name} ${usage}`.trim())
      .filter((line) => {
        return !readme.includes(`${line}\``);
      });
    expect(missing).toEqual([]);
  });

  it("place every module of the product on a floor", () => {
    const block = /```\n(11 {2}cli[\s\S]*?)```/.exec(read("ARCHITECTURE.md"))?.[1] ?? "";
    const placed = block.split("\n").flatMap((line) => line.slice(4, 37).trim().split(/\s+/));
    const modules = listFiles("src").map((path) => path.split("/")[1]!.replace(/\.ts$/, ""));
    expect(placed.length).toBeGreaterThan(12);
    expect([...new Set(modules)].filter((name) => !placed.includes(name))).toEqual([]);
  });
});

describe("decisions", () => {
  const decisions = PAGES.filter(({ path }) => path.startsWith("docs/decisions/"));

  it("are numbered without a gap", () => {
    const numbers = decisions.map(({ path }) => Number(/\/(\d{4})-/.exec(path)?.[1]));
    expect(numbers.length).toBeGreaterThan(10);
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  });

  it("have a status, a context, a decision and consequences, on one page", () => {
    const odd = decisions.filter(({ path, text }) => {
      const number = /\/(\d{4})-/.exec(path)?.[1] ?? "";
      const isWhole =
        text.startsWith(`# ${number} `) &&
        /^Status: (?:accepted|superseded|proposed)/m.test(text) &&
        ["Context", "Decision", "Consequences"].every((part) => text.includes(`**${part}.**`));
      return !isWhole || text.split(/\s+/).length > 400;
    });
    expect(odd.map(({ path }) => path)).toEqual([]);
  });
});

describe("the pages test", () => {
  it("catches what is not there", () => {
    const page = (text: string): Page[] => [{ path: "docs/x.md", text }];
    expect(missingPlaces(page("see `src/nowhere.ts` and `src/app.ts`"))).toHaveLength(1);
    expect(
      brokenLinks(page("[a](nowhere.md) [b](config.md) [c](config.md#nowhere) [d](https://x.example)")),
    ).toHaveLength(2);
    expect(unknownScripts(page("`npm run nothing`, `npm run dev`"))).toEqual(["docs/x.md runs nothing"]);
  });
});
