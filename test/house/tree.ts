/**
 * The repository as the house tests see it. Owns: which files there are and how they import each other.
 * Refuses to know: rules.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, extname, join, normalize, relative, resolve } from "node:path";
import { SourceFile } from "./source.ts";

/** Absolute folder of the repository. */
export const ROOT = resolve(import.meta.dirname, "../..");

const PASSED_OVER = new Set([".git", "node_modules", "dist", "coverage", ".creel"]);
const TEXT = new Set(
  ".ts .tsx .js .mjs .json .json5 .jsonl .md .sql .css .html .yml .yaml .sh .txt .svg .example".split(" "),
);

/** Paths below a folder, relative to the repository, sorted; built and fetched things are passed over. */
export function listFiles(folder: string): string[] {
  const absolute = join(ROOT, folder);
  if (!existsSync(absolute)) return [];
  return readdirSync(absolute, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return PASSED_OVER.has(entry.name) ? [] : listFiles(path);
      return entry.isFile() ? [path] : [];
    })
    .sort();
}

/** Whether a file is text that people wrote. */
export function isText(path: string): boolean {
  return TEXT.has(extname(path)) || /(?:^|\/)(?:Dockerfile|run|\.[a-z]+)$/.test(path);
}

/** Whether a path is a suite of tests. */
export function isTest(path: string): boolean {
  return /\.(?:test|stock)\.tsx?$/.test(path);
}

/** Read the TypeScript files below some folders. */
export function readSources(...folders: string[]): SourceFile[] {
  return folders
    .flatMap((folder) => listFiles(folder))
    .filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"))
    .map((path) => new SourceFile(path, readFileSync(join(ROOT, path), "utf8")));
}

/** Source files of the product, tests left out. */
export function readProduct(): SourceFile[] {
  return readSources("src").filter((file) => !isTest(file.path));
}

/** The file that an import of ours names, relative to the repository; undefined for packages. */
export function resolveImport(from: string, specifier: string): string | undefined {
  if (specifier.startsWith("#src/")) return join("src", specifier.slice("#src/".length));
  if (specifier.startsWith("#test/")) return join("test", specifier.slice("#test/".length));
  if (!specifier.startsWith(".")) return undefined;
  return relative(ROOT, normalize(join(ROOT, dirname(from), specifier)));
}
