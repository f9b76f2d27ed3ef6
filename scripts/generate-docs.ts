/**
 * Writes the pages that are made from declarations; with `--check` only says whether they are fresh.
 * Owns: which pages there are. Refuses to know: how they look.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { OPTIONS, type Option } from "#src/config/options.ts";
import type { Method } from "#src/protocol/methods.ts";
import { renderConfig, renderEnvExample } from "./config-page.ts";
import { renderMethods } from "./methods-page.ts";

const ROOT = resolve(import.meta.dirname, "..");

/** A generated file, its path relative to the repository. */
export interface Page {
  path: string;
  text: string;
}

/** All generated files, as they should be. */
export async function renderPages(): Promise<Page[]> {
  const app = (await import(pathToFileURL(join(ROOT, "src/app/surface.ts")).href)) as {
    describeMethods(): readonly Method[];
  };
  const options: readonly Option[] = Object.values(OPTIONS);
  return [
    { path: "docs/methods.md", text: renderMethods(app.describeMethods()) },
    { path: "docs/config.md", text: renderConfig(options) },
    { path: ".env.example", text: renderEnvExample(options) },
  ];
}

/** Paths of the pages that are not what they should be. */
export function listStale(pages: readonly Page[]): string[] {
  return pages.filter((page) => readPage(page.path) !== page.text).map((page) => page.path);
}

function readPage(path: string): string | undefined {
  try {
    return readFileSync(join(ROOT, path), "utf8");
  } catch {
    return undefined;
  }
}

async function main(isCheck: boolean): Promise<number> {
  const pages = await renderPages();
  const stale = listStale(pages);
  if (isCheck) {
    for (const path of stale) console.error(`${path} is stale; run npm run docs`);
    return stale.length === 0 ? 0 : 1;
  }
  for (const page of pages) {
    if (stale.includes(page.path)) writeFileSync(join(ROOT, page.path), page.text);
  }
  console.log(stale.length === 0 ? "all pages are fresh" : `written: ${stale.join(", ")}`);
  return 0;
}

if (process.argv[1] === import.meta.filename) {
  process.exitCode = await main(process.argv.includes("--check"));
}
