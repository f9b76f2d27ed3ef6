/** The words in use on this page. Owns: the React context of language. Refuses to know: who chose it. */
import { createContext, type ReactNode, useContext, useMemo, useState } from "react";
import { en, type Words } from "./en.ts";
import { keepLanguage, type Language, startLanguage } from "./language.ts";
import { zhCN } from "./zh-cn.ts";

interface Speech {
  language: Language;
  words: Words;
  setLanguage: (language: Language) => void;
}

const DICTIONARIES: Readonly<Record<Language, Words>> = { en, "zh-CN": zhCN };
const SpeechContext = createContext<Speech | undefined>(undefined);

/** Gives the page its words. */
export function WordsProvider(props: { children: ReactNode }) {
  const [language, setLanguage] = useState<Language>(() => {
    const start = startLanguage();
    keepLanguage(start);
    return start;
  });
  const speech = useMemo<Speech>(
    () => ({
      language,
      words: DICTIONARIES[language],
      setLanguage: (next) => {
        keepLanguage(next);
        setLanguage(next);
      },
    }),
    [language],
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
