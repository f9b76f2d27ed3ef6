/** The plain page before any tenant: mark, a sheet, nothing else. Owns: its looks. Refuses to know: what is on the sheet. */
import { Languages } from "lucide-react";
import type { ReactNode } from "react";
import { LANGUAGE_NAMES, type Language } from "../i18n/language.ts";
import { useSpeech } from "../i18n/words-context.tsx";
import { Mark } from "../parts/mark.tsx";

/** The frame of sign-in and of the choice of organization. */
export function FrontDoor(props: { children: ReactNode }) {
  const { words, language, setLanguage } = useSpeech();
  const other: Language = language === "en" ? "zh-CN" : "en";
  return (
    <div className="flex h-dvh flex-col overflow-y-auto bg-panel">
      <main className="mx-auto grid w-full max-w-md flex-1 content-center gap-8 px-4 py-10">
        <div className="grid justify-items-center gap-2 text-center">
          <Mark size={56} className="text-accent" />
          <p className="text-2xl font-semibold tracking-tight">{words.product.name}</p>
          <p className="text-m text-ink-2">{words.product.tagline}</p>
        </div>
        <div className="rounded-huge border border-line bg-card p-6 shadow-2 sm:p-8">{props.children}</div>
      </main>
      <footer className="flex justify-center pb-6">
        <button
          type="button"
          lang={other}
          onClick={() => setLanguage(other)}
          className="quick inline-flex h-10 items-center gap-2 rounded-medium px-3 text-s text-ink-2 hover:bg-hover hover:text-ink"
        >
          <Languages size={16} aria-hidden />
          {LANGUAGE_NAMES[other]}
        </button>
      </footer>
    </div>
  );
}

/** A command to copy into a terminal. */
export function CommandLine(props: { text: string }) {
  return (
    <code className="block overflow-x-auto rounded-medium bg-sunk px-4 py-3 font-mono text-s whitespace-nowrap select-all">
      {props.text}
    </code>
  );
}
