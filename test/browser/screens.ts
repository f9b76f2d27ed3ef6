/**
 * Photographs every page of the Control UI in every look: `npm run screens [-- folder [--few] [part of a name …]]`.
 * Owns: the round and what it prints. Refuses to know: pages (screens/pictures.ts) and their contents.
 *
 * One PNG for each page and look, one contact sheet for each page and width, and a list of what looks wrong to a
 * machine: pages wider than their window, errors on the console, states that could not be reached.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Browser, chromium } from "playwright-core";
import { openHarbour } from "./screens/harbour.ts";
import type { Picture } from "./screens/picture.ts";
import { PICTURES } from "./screens/pictures.ts";
import { drawSheet } from "./screens/sheets.ts";
import { Booth, LOOKS, type Look, type Stage } from "./screens/stage.ts";
import { findChromium } from "./world.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PATIENCE_MS = 10_000;

const args = process.argv.slice(2);
/** One look for each theme and width, instead of every language in each. */
const looks = args.includes("--few")
  ? LOOKS.filter(({ theme, language }) => (theme === "dark") === (language === "zh-CN"))
  : LOOKS;
const [folderGiven, ...wanted] = args.filter((arg) => arg !== "--few");
const folder = resolve(folderGiven ?? (await mkdtemp(join(tmpdir(), "creel-screens-"))));
const pictures = PICTURES.filter(
  ({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)),
);
const faults: string[] = [];
await mkdir(join(folder, "single"), { recursive: true });
await promisify(execFile)(process.execPath, ["scripts/build-ui.ts", "--if-missing"], { cwd: ROOT });
const harbour = await openHarbour(join(ROOT, "ui", "dist"));
const executablePath = findChromium();
const browser = await chromium.launch({
  ...(executablePath === undefined ? {} : { executablePath }),
  args: ["--no-sandbox"],
});
try {
  const booth = new Booth(browser, harbour);
  for (const picture of pictures) await takeAll(browser, booth, picture);
} finally {
  await browser.close();
  await harbour.close();
}
process.stdout.write(faults.length === 0 ? "No faults found.\n" : `Faults:\n${faults.join("\n")}\n`);

/** One page in every look, and its two sheets. */
async function takeAll(browser: Browser, booth: Booth, picture: Picture): Promise<void> {
  const taken = [];
  for (const look of looks) taken.push({ look, file: await take(booth, picture, look) });
  for (const width of [1400, 360] as const) {
    const tiles = taken
      .filter(({ look }) => look.width === width)
      .map(({ look, file }) => ({ file, label: `${look.theme} · ${look.language}` }));
    const file = join(folder, `${picture.name}-${width}.png`);
    await drawSheet(browser, { title: `${picture.name} · ${width} px`, width, tiles, file });
    process.stdout.write(`${file}\n`);
  }
}

/** One picture; a state that cannot be reached is photographed as far as it came. */
async function take(booth: Booth, picture: Picture, look: Look): Promise<string> {
  const name = `${picture.name}-${look.width}-${look.theme}-${look.language}`;
  const file = join(folder, "single", `${name}.png`);
  const stage = await booth.open(picture.who ?? "owner", look);
  const { page } = stage;
  page.setDefaultTimeout(PATIENCE_MS);
  page.on("pageerror", (error) => faults.push(`${name}: ${error.message}`));
  await attempt(name, async () => {
    await picture.open(stage);
    if (picture.whole === true) await stage.grow();
  });
  await page.waitForTimeout(150);
  await page.screenshot({ path: file, animations: "disabled" });
  await noteOverflow(name, stage);
  await attempt(name, async () => picture.leave?.(stage));
  await page.close();
  return file;
}

async function attempt(name: string, step: () => Promise<unknown>): Promise<void> {
  try {
    await step();
  } catch (error) {
    faults.push(`${name}: ${String(error).split("\n").slice(0, 3).join(" ")}`);
  }
}

async function noteOverflow(name: string, stage: Stage): Promise<void> {
  const px = await stage.overflowPx();
  if (px > 0) faults.push(`${name}: ${px} px wider than its window`);
}
