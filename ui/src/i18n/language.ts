/** The languages of the Control UI and which one to begin with. Owns: that choice. Refuses to know: words. */

/** A language the Control UI speaks. */
export type Language = "en" | "zh-CN";

/** Each language in its own words. */
export const LANGUAGE_NAMES: Readonly<Record<Language, string>> = { en: "English", "zh-CN": "简体中文" };

const STORED = "creel:language";

/** The language last chosen in this browser, else the browser's own, else English. */
export function startLanguage(): Language {
  try {
    const stored = localStorage.getItem(STORED);
    if (stored === "en" || stored === "zh-CN") return stored;
  } catch {
    // Storage is forbidden: fall through to the browser's language.
  }
  return navigator.language.toLowerCase().startsWith("zh") ? "zh-CN" : "en";
}

/** Keeps the choice for the next visit and tells the page. */
export function keepLanguage(language: Language): void {
  document.documentElement.lang = language;
  try {
    localStorage.setItem(STORED, language);
  } catch {
    // The choice then lasts as long as the tab.
  }
}
