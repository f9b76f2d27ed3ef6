/** The words in use on this page. Owns: the React context of language, loading one language at a time. Refuses to know: who chose it. */
import { createContext, type ReactNode, useContext, useMemo, useRef, useState } from "react";
import type { Words } from "./en.ts";
import { keepLanguage, type Language, startLanguage } from "./language.ts";

interface Speech {
  language: Language;
  words: Words;
  setLanguage: (language: Language) => void;
}

/** A language with its words. */
export interface Spoken {
  language: Language;
  words: Words;
}

const DICTIONARIES: Readonly<Record<Language, () => Promise<Words>>> = {
  en: async () => (await import("./en.ts")).en,
  "zh-CN": async () => (await import("./zh-cn.ts")).zhCN,
};
const SpeechContext = createContext<Speech | undefined>(undefined);

/** The words to begin with. */
export async function loadSpoken(): Promise<Spoken> {
  const language = startLanguage();
  keepLanguage(language);
  return { language, words: await DICTIONARIES[language]() };
}

/** Gives the page its words. */
export function WordsProvider(props: { start: Spoken; children: ReactNode }) {
  const [spoken, setSpoken] = useState(props.start);
  const wanted = useRef(spoken.language);
  const speech = useMemo<Speech>(
    () => ({
      ...spoken,
      setLanguage: (language) => {
        wanted.current = language;
        keepLanguage(language);
        // The last wish counts, whichever words arrive first.
        const speak = (words: Words) => wanted.current === language && setSpoken({ language, words });
        void DICTIONARIES[language]().then(speak, () => keepLanguage(spoken.language));
      },
    }),
    [spoken],
  );
  return <SpeechContext value={speech}>{props.children}</SpeechContext>;
}

/** The language and how to change it. */
export function useSpeech(): Speech {
  const speech = useContext(SpeechContext);
  if (!speech) throw new Error("no words on this page");
  return speech;
}

/** The words of the current language. */
export function useWords(): Words {
  return useSpeech().words;
}
