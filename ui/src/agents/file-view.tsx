/** Shows one other file of a workspace as text. Owns: that view. Refuses to know: how it got there. */
import { useCall } from "../gateway/use-call.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Problem, Skeleton } from "../parts/states.tsx";

interface FileAnswer {
  file: { name: string; size: number; updatedAtMs: number; encoding: "utf8" | "base64"; content: string };
}

/** A file read-only; anything that is not text is only named. */
export function FileView(props: { agentId: string; path: string }) {
  const words = useWords();
  const formats = useFormats();
  const answer = useCall<FileAnswer>("agents.workspace.get", { agentId: props.agentId, path: props.path });
  if (answer.isError) {
    return (
      <div className="p-4">
        <Problem title={words.agents.fileFailed} error={answer.error} onRetry={() => void answer.refetch()} />
      </div>
    );
  }
  if (!answer.data) return <Skeleton lines={8} label={props.path} className="content-start p-6" />;
  const { file } = answer.data;
  return (
    <div className="flex min-w-0 flex-col">
      <div className="flex min-h-14 items-center gap-3 border-b border-line px-4">
        <h2 className="min-w-0 flex-1 truncate text-l font-semibold">{props.path}</h2>
        <span className="text-s text-ink-3">{formats.dayTime(new Date(file.updatedAtMs))}</span>
      </div>
      {file.encoding === "utf8" ? (
        <pre
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
          tabIndex={0}
          className="max-h-[70vh] overflow-auto p-4 font-mono text-s leading-6 break-words whitespace-pre-wrap"
        >
          {file.content}
        </pre>
      ) : (
        <p className="p-6 text-m text-ink-2">{words.agents.fileBinary}</p>
      )}
    </div>
  );
}
