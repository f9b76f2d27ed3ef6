/** Theme and language. Owns: those two choices. Refuses to know: what they change. */
import { useState } from "react";
import { patchPerson } from "../http/account.ts";
import { LANGUAGE_NAMES, type Language } from "../i18n/language.ts";
import { useSpeech } from "../i18n/words-context.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Segmented } from "../parts/segmented.tsx";
import { chooseTheme, currentTheme, type Theme } from "./theme.ts";

/** The appearance tab. */
export function AppearanceTab() {
  const { words, language, setLanguage } = useSpeech();
  const [theme, setTheme] = useState<Theme>(currentTheme);
  const pickLanguage = (next: Language) => {
    setLanguage(next);
    // The choice already holds in this browser; the account follows when the server is there.
    patchPerson({ language: next }).catch(() => undefined);
  };
  const pickTheme = (next: Theme) => {
    setTheme(next);
    chooseTheme(next);
  };
  return (
    <Sheet className="grid max-w-2xl divide-y divide-line px-4 sm:px-6">
      <div className="flex flex-wrap items-center justify-between gap-3 py-5">
        <h2 className="text-m font-medium">{words.settings.theme}</h2>
        <Segmented
          label={words.settings.theme}
          value={theme}
          onChange={pickTheme}
          options={[
            { value: "system", label: words.settings.themeSystem },
            { value: "light", label: words.settings.themeLight },
            { value: "dark", label: words.settings.themeDark },
          ]}
        />
      </div>
      <div className="flex flex-wrap items-center justify-between gap-3 py-5">
        <h2 className="text-m font-medium">{words.settings.language}</h2>
        <Segmented
          label={words.settings.language}
          value={language}
          onChange={pickLanguage}
          options={(Object.keys(LANGUAGE_NAMES) as Language[]).map((value) => ({
            value,
            label: LANGUAGE_NAMES[value],
          }))}
        />
      </div>
    </Sheet>
  );
}
