/** Contact sheets: the looks of one page side by side. Owns: their layout. Refuses to know: what is on the pictures. */
import { readFile } from "node:fs/promises";
import type { Browser } from "playwright-core";

/** One picture and the words below it. */
export interface Tile {
  file: string;
  label: string;
}

/** A sheet is as wide as a person's screen; narrow pages stand in one row, wide ones in two. */
const TILE_PX = { 1400: 790, 360: 360 } as const;

const asHtml = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

/** Draws one sheet into `file`. */
export async function drawSheet(
  browser: Browser,
  sheet: { title: string; width: 1400 | 360; tiles: readonly Tile[]; file: string },
): Promise<void> {
  const tilePx = TILE_PX[sheet.width];
  const columns = sheet.width === 1400 ? 2 : 4;
  const figures = await Promise.all(
    sheet.tiles.map(async ({ file, label }) => {
      const source = `data:image/png;base64,${await readFile(file, "base64")}`;
      return `<figure><figcaption>${asHtml(label)}</figcaption><img src="${source}" width="${tilePx}"></figure>`;
    }),
  );
  const page = await browser.newPage({ viewport: { width: columns * (tilePx + 12) + 12, height: 400 } });
  await page.setContent(`<style>
    body { margin: 12px; background: #777; font: 13px sans-serif; color: #fff }
    h1 { font-size: 16px; margin: 0 0 8px }
    main { display: grid; grid-template-columns: repeat(${columns}, ${tilePx}px); gap: 12px; align-items: start }
    figure { margin: 0 } figcaption { margin-bottom: 3px } img { display: block }
  </style><h1>${asHtml(sheet.title)}</h1><main>${figures.join("")}</main>`);
  await page.screenshot({ path: sheet.file, fullPage: true });
  await page.close();
}
