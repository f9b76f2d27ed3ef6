/** Every file says what it owns; every exported thing says what it means. */
import { describe, expect, it } from "vitest";
import { readProduct, readSources } from "./tree.ts";

describe("comments", () => {
  it("open every file of the product", () => {
    const files = [...readProduct(), ...readSources("scripts")];
    expect(files.length).toBeGreaterThan(40);
    const silent = files.filter((file) => {
      const [first] = file.comments;
      const begins = file.text.startsWith("#!") ? file.text.indexOf("\n") + 1 : 0;
      return first === undefined || first.start !== begins || !first.text.startsWith("/**");
    });
    expect(silent.map((file) => file.path)).toEqual([]);
  });

  it("say what a file of the product owns", () => {
    const mute = readProduct().filter((file) => !/\b(?:own|owns|only)\b/i.test(file.comments[0]?.text ?? ""));
    expect(mute.map((file) => file.path)).toEqual([]);
  });

  it("stand before every exported thing", () => {
    const exported = readProduct().flatMap((file) => {
      const documented = new Set(
        file.exports().flatMap(({ name, doc }) => (doc === undefined ? [] : [name])),
      );
      return file.exports().map(({ name, line }) => ({
        where: `${file.path}:${line} ${name}`,
        isDocumented: documented.has(name),
      }));
    });
    expect(exported.length).toBeGreaterThan(100);
    expect(exported.filter((found) => !found.isDocumented).map((found) => found.where)).toEqual([]);
  });
});
