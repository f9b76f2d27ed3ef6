/** The scanner itself: a house test that reads code wrongly would pass while the house falls. */
import { describe, expect, it } from "vitest";
import { SourceFile } from "./source.ts";
import { readSources } from "./tree.ts";

function scan(text: string): SourceFile {
  return new SourceFile("src/x/y.ts", text);
}

describe("the scanner", () => {
  it("tells code from comments, strings, templates and patterns", () => {
    const file = scan(
      [
        "const a = 1; // Date.now() in a comment",
        "/* Date.now() */ const b = 'Date.now()' + \"it's Date.now()\";",
        // biome-ignore lint/suspicious/noTemplateCurlyInString: the text of a template is what is tested
        "const c = `Date.now() ${ f(`${Date.now()} Date.now()`) } Date.now()`;",
        "const d = /Date.now()['\"`/]/.test(x) ? 1 / 2 : a / b; // '",
        "const e = Date.now();",
      ].join("\n"),
    );
    expect(file.find(/Date\.now\(/g).map((found) => found.line)).toEqual([3, 5]);
    expect(file.code).toHaveLength(file.text.length);
  });

  it("keeps the length and the lines of every file of the product", () => {
    const files = readSources("src", "test", "scripts");
    expect(files.length).toBeGreaterThan(30);
    for (const file of files) {
      expect(file.code.length, file.path).toBe(file.text.length);
      expect(file.code.split("\n").length, file.path).toBe(file.text.split("\n").length);
      const brackets = [..."(){}[]"].map((char) => file.code.split(char).length);
      expect([brackets[0], brackets[2], brackets[4]], file.path).toEqual([
        brackets[1],
        brackets[3],
        brackets[5],
      ]);
    }
  });

  it("finds every kind of import", () => {
    const file = scan(`
      import { a,
        b } from "./a.ts";
      import type { C } from "#src/c.ts";
      import "./side-effect.ts";
      import table from "./t.json" with { type: "json" };
      export { d } from "./d.ts";
      export type { E } from "./e.ts";
      const f = await import("./f.ts");
      let g: import("./g.ts").G;
      new Worker(new URL("./h.ts", import.meta.url));
      const no = { from: "x" }; const text = "from './no.ts'"; new URL("https://no.example");
      const template = \`\${entry.from} no\`;
    `);
    expect(file.imports().map((edge) => edge.specifier)).toEqual([
      "./a.ts",
      "#src/c.ts",
      "./side-effect.ts",
      "./t.json",
      "./d.ts",
      "./e.ts",
      "./f.ts",
      "./g.ts",
      "./h.ts",
    ]);
    expect(file.imports().filter((edge) => edge.isTypeOnly)).toHaveLength(2);
    expect(file.imports().filter((edge) => edge.isReExport)).toHaveLength(2);
  });

  it("finds exported names and whether they are documented", () => {
    const file = scan(`
/** Documented. */
export async function one(): Promise<void> {}

// not a doc
export class Two {}
/** Documented. */
export const three = 3;
export interface Four {}
const five = "export const six = 6";
`);
    expect(file.exports().map(({ name, doc }) => [name, doc !== undefined])).toEqual([
      ["one", true],
      ["Two", false],
      ["three", true],
      ["Four", false],
    ]);
  });

  it("measures functions, but not classes, types or tables", () => {
    const body = "  x;\n".repeat(8);
    const long = (head: string, tail = "}") => scan(`${head}\n${body}${tail}`).longFunctions(8).length;
    expect(long("function f(a: string): Promise<{ b: string }> {")).toBe(1);
    expect(long("const f = async (a) => {")).toBe(1);
    expect(long("function f(\n  a: string,\n) {")).toBe(1);
    expect(long("class A {\n  private f(): void {", "}}")).toBe(1);
    expect(long("class A extends B<C> implements D {")).toBe(0);
    expect(long("export interface A {")).toBe(0);
    expect(long("const table = {")).toBe(0);
    expect(long("const table = freeze({", "})")).toBe(0);
    expect(scan(`function f() {\n${body}}`).longFunctions(10)).toEqual([]);
  });

  it("sees what stands at the top level only", () => {
    const template = ["`$", "{(() => { let d = 1; })()}`"].join("");
    const file = scan(`let a = 1;\nfunction f() { let b = 2; }\nexport let c = ${template};\n`);
    expect([...file.topLevel().matchAll(/\blet (\w)/g)].map((match) => match[1])).toEqual(["a", "c"]);
  });
});
