/** Wishes any part of the page may utter: open the palette, open the list of keys. Owns: their names. Refuses to know: who answers. */

/** Event name of the palette wish. */
export const PALETTE_EVENT = "creel:palette";
/** Event name of the shortcuts wish. */
export const SHORTCUTS_EVENT = "creel:shortcuts";

/** Opens the palette. */
export function openPalette(): void {
  window.dispatchEvent(new Event(PALETTE_EVENT));
}

/** Opens the list of keys. */
export function openShortcuts(): void {
  window.dispatchEvent(new Event(SHORTCUTS_EVENT));
}
