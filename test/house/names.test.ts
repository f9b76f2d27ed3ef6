/** Names say things, not storage rooms (ARCHITECTURE.md 5). */
import { basename } from "node:path";
import { describe, expect, it } from "vitest";
import { listFiles, readProduct } from "./tree.ts";

const REFUSED = new Set(
  "util utils helper helpers common misc manager managers impl base data info v2".split(" "),
);
const FILE_NAME = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9]+(?:-[a-z0-9]+)*)*$/;

/** The words of a name: `makeHTTPUtil` has make, http and util. */
function wordsOf(name: string): string[] {
  return name
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replaceAll(/([A-Z]+)([A-Z][a-z])/g, "$1 $2")
    .split(/[^A-Za-z0-9]+/)
    .map((word) => word.toLowerCase());
}

function refusedWords(name: string): string[] {
  return wordsOf(name).filter((word) => REFUSED.has(word));
}

describe("names", () => {
  it("of files are lower-case nouns with dashes, without refused words", () => {
    const files = ["src", "test", "scripts", "migrations", "ui/src"].flatMap((folder) => listFiles(folder));
    expect(files.length).toBeGreaterThan(80);
    const code = files.filter((path) => !path.endsWith(".md"));
    const wrong = code.filter((path) => !FILE_NAME.test(basename(path)) || refusedWords(path).length > 0);
    expect(wrong).toEqual([]);
  });

  it("of exported things hold no refused words", () => {
    const names = readProduct().flatMap((file) =>
      file.exports().map(({ name, line }) => ({ name, where: `${file.path}:${line} ${name}` })),
    );
    expect(names.length).toBeGreaterThan(100);
    expect(names.filter(({ name }) => refusedWords(name).length > 0).map(({ where }) => where)).toEqual([]);
  });

  it("are taken apart as people read them", () => {
    expect(refusedWords("makeHTTPUtil")).toEqual(["util"]);
    expect(refusedWords("session-manager.ts")).toEqual(["manager"]);
    expect(refusedWords("UserInfo")).toEqual(["info"]);
    expect(refusedWords("RecordV2")).toEqual(["v2"]);
    expect(refusedWords("database.sqlite.ts")).toEqual([]);
    expect(refusedWords("informed")).toEqual([]);
  });
});
