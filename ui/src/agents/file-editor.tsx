/** Edits one of the files that shape an agent. Owns: the text being edited. Refuses to know: the other files. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { useTenant } from "../gateway/tenant-context.tsx";
import { useCall } from "../gateway/use-call.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { Problem, Skeleton } from "../parts/states.tsx";

interface FileAnswer {
  file: { name: string; missing: boolean; content?: string };
}

/** Lets the browser ask before unsaved words are lost with the page. */
function useLeaveWarning(dirty: boolean) {
  useEffect(() => {
    if (!dirty) return;
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", warn);
    return () => window.removeEventListener("beforeunload", warn);
  }, [dirty]);
}

/** An editor with save (also Ctrl/Cmd-S); reports whether there is something unsaved. */
export function FileEditor(props: { agentId: string; name: string; onDirty: (dirty: boolean) => void }) {
  const words = useWords();
  const { slug, connection } = useTenant();
  const queries = useQueryClient();
  const { agentId, name, onDirty } = props;
  const answer = useCall<FileAnswer>("agents.files.get", { agentId, name });
  const [text, setText] = useState<string>();
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const stored = answer.data?.file.content ?? "";
  const dirty = text !== undefined && text !== stored;
  useEffect(() => onDirty(dirty), [dirty, onDirty]);
  useLeaveWarning(dirty);
  if (answer.isError) {
    return (
      <div className="p-4">
        <Problem title={words.agents.fileFailed} error={answer.error} onRetry={() => void answer.refetch()} />
      </div>
    );
  }
  if (!answer.data) return <Skeleton lines={8} label={name} className="content-start p-6" />;
  const save = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      await connection.call("agents.files.set", { agentId, name, content: text ?? stored });
      await queries.invalidateQueries({ queryKey: ["tenant", slug, "agents.files.get"] });
      await queries.invalidateQueries({ queryKey: ["tenant", slug, "agents.files.list"] });
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
    } finally {
      setBusy(false);
    }
  };
  return (
    <div className="flex min-w-0 flex-col">
      <div className="flex min-h-14 items-center gap-3 border-b border-line px-4">
        <h2 className="min-w-0 flex-1 truncate text-l font-semibold">{name}</h2>
        <span className="text-s text-ink-3" role="status">
          {dirty ? words.agents.unsaved : ""}
        </span>
        <Button small tone="primary" disabled={!dirty || busy} onClick={() => void save()}>
          {busy ? words.act.saving : words.act.save}
        </Button>
      </div>
      {failure ? (
        <div className="p-4 pb-0">
          <Problem compact title={words.agents.saveFailed} error={failure} />
        </div>
      ) : null}
      <textarea
        aria-label={words.agents.editing(name)}
        value={text ?? stored}
        spellCheck={false}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if ((event.ctrlKey || event.metaKey) && event.key === "s") {
            event.preventDefault();
            if (dirty && !busy) void save();
          }
        }}
        className="min-h-[52vh] w-full flex-1 resize-y bg-transparent p-4 font-mono text-s leading-6 outline-offset-[-2px]"
      />
    </div>
  );
}
