/**
 * The version of the program, from package.json. Owns: that one fact.
 */
import { readFileSync } from "node:fs";

/** Semantic version, e.g. `0.1.0`. */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }
).version;
