/** A secret that is shown once. Owns: its looks and the copying. Refuses to know: what it opens. */

import { useWords } from "../i18n/words-context.tsx";
import { CopyButton } from "../parts/copy-button.tsx";

/** The secret in a box with a button to copy it. */
export function SecretBox(props: { text: string }) {
  const words = useWords();
  return (
    <div className="flex items-center gap-2 rounded-medium bg-sunk py-2 pr-2 pl-4">
      <code className="min-w-0 flex-1 font-mono text-s break-all select-all">{props.text}</code>
      <CopyButton text={props.text} label={words.act.copy} />
    </div>
  );
}
