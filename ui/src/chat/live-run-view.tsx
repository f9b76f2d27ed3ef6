/** The answer being written right now. Owns: its looks while it grows. Refuses to know: the socket. */
import { DEMO_PROVIDER } from "../gateway/wire.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Badge } from "../parts/badge.tsx";
import type { TurnPart } from "./fold-transcript.ts";
import { type LiveRun, runParts } from "./live-run.ts";
import { Dots } from "./tool-line.tsx";
import { Parts, RunFailure } from "./turn-view.tsx";

function phaseWords(run: LiveRun, words: ReturnType<typeof useWords>): string {
  if (run.phase === "starting_model") return words.chat.startingModel;
  return run.phase ? words.chat.preparing : words.chat.thinking;
}

/** The live run; announces itself politely to screen readers when it is complete. */
export function LiveRunView(props: { run: LiveRun; onAgain: (() => void) | undefined }) {
  const { run } = props;
  const words = useWords();
  const parts: TurnPart[] = runParts(run);
  if (run.thinking) parts.unshift({ kind: "thinking", text: run.thinking });
  const busy = run.ended === undefined;
  const toolRuns = run.tools.some((tool) => tool.status === "running");
  return (
    <article className="grid grid-cols-1 gap-2" aria-busy={busy}>
      <h2 className="sr-only">{words.chat.assistant}</h2>
      <Parts parts={parts} growing={busy} />
      {busy && !toolRuns ? (
        <p className="flex h-6 items-center gap-2 text-s text-ink-3">
          <Dots label={words.list.running} />
          {parts.length === 0 ? phaseWords(run, words) : null}
        </p>
      ) : null}
      {run.ended === "error" ? <RunFailure text={run.errorMessage ?? ""} onAgain={props.onAgain} /> : null}
      {run.ended === "aborted" ? <p className="text-s text-ink-3">{words.chat.stopped}</p> : null}
      {run.provider === DEMO_PROVIDER ? (
        <div>
          <Badge tone="willow" title={words.chat.demoHint}>
            {words.chat.demoBadge}
          </Badge>
        </div>
      ) : null}
    </article>
  );
}
