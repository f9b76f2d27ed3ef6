/** Light, dark, or like the system. Owns: that choice in this browser. Refuses to know: colours. */

/** A choice of theme. */
export type Theme = "system" | "light" | "dark";

const STORED = "creel:theme";

/** The stored choice. */
export function currentTheme(): Theme {
  try {
    const stored = localStorage.getItem(STORED);
    return stored === "light" || stored === "dark" ? stored : "system";
  } catch {
    return "system";
  }
}

/** Puts a theme on the page. */
export function applyTheme(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}

/** Puts a theme on the page and keeps it. */
export function chooseTheme(theme: Theme): void {
  applyTheme(theme);
  try {
    localStorage.setItem(STORED, theme);
  } catch {
    // The choice then lasts as long as the tab.
  }
  window.dispatchEvent(new Event("creel:theme"));
}
