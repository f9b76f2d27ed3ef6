/**
 * Build the Control UI into ui/dist. With --if-missing only when there is none or a source is newer.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ui = fileURLToPath(new URL("../ui", import.meta.url));
const built = join(ui, "dist", "index.html");

if (
  process.argv.includes("--if-missing") &&
  existsSync(built) &&
  newestSourceMs() <= statSync(built).mtimeMs
) {
  process.exit(0);
}
process.stdout.write("Building the web pages (once, some seconds)…\n");
// Only a build needs the tool; a start with pages in place must not ask for it.
const { build } = await import("vite");
await build({ configFile: join(ui, "vite.config.ts"), logLevel: "warn" });

function newestSourceMs(): number {
  const entries = readdirSync(join(ui, "src"), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Math.max(
    ...[...files, join(ui, "index.html"), join(ui, "vite.config.ts")].map((file) => statSync(file).mtimeMs),
  );
}
