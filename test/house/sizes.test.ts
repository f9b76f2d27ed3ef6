/** Rooms, files and functions that a newcomer can hold in the head (ARCHITECTURE.md). */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { isTest, listFiles, ROOT, readSources } from "./tree.ts";

const FILE_LINES = 500;
const FUNCTION_LINES = 70;
const FOLDER_FILES = 12;
/** A component is a file of its own in the UI, so its rooms hold more and smaller ones. */
const UI_FOLDER_FILES = 20;

describe("sizes", () => {
  it("keep every file below its limit", () => {
    const files = ["src", "test", "scripts", "ui/src", "bin"]
      .flatMap((folder) => listFiles(folder))
      .filter((path) => /\.(?:ts|tsx|js|css)$/.test(path));
    expect(files.length).toBeGreaterThan(60);
    const long = files.flatMap((path) => {
      const lines = readFileSync(join(ROOT, path), "utf8").split("\n").length - 1;
      return lines > FILE_LINES ? [`${path} has ${lines} lines`] : [];
    });
    expect(long).toEqual([]);
  });

  it("keep every function below its limit", () => {
    // Suites are functions too, and are as long as what they tell.
    const files = readSources("src", "scripts", "test").filter((file) => !isTest(file.path));
    expect(files.length).toBeGreaterThan(40);
    const long = files.flatMap((file) =>
      file.longFunctions(FUNCTION_LINES).map(({ line, lines }) => `${file.path}:${line} has ${lines} lines`),
    );
    expect(long).toEqual([]);
  });

  it("keep every room walkable", () => {
    const sources = ["src", "ui/src"]
      .flatMap((folder) => listFiles(folder))
      .filter((path) => /\.tsx?$/.test(path) && !isTest(path));
    const rooms = Map.groupBy(sources, (path) => dirname(path));
    expect(rooms.size).toBeGreaterThan(8);
    const full = [...rooms].flatMap(([room, files]) =>
      files.length > (room.startsWith("ui/") ? UI_FOLDER_FILES : FOLDER_FILES)
        ? [`${room} holds ${files.length} files`]
        : [],
    );
    expect(full).toEqual([]);
  });
});
