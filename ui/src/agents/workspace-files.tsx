/** An agent's files: the four that shape it, and the rest of its folder. Owns: which one is open. Refuses to know: editing. */
import { ChevronLeft, FileText, Folder } from "lucide-react";
import { useState } from "react";
import { useCall } from "../gateway/use-call.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Problem, Skeleton } from "../parts/states.tsx";
import { FileEditor } from "./file-editor.tsx";
import { FileView } from "./file-view.tsx";

interface CoreFile {
  name: string;
  missing: boolean;
  size?: number;
}

interface FolderEntry {
  path: string;
  name: string;
  kind: "file" | "directory";
  size?: number;
}

type OpenFile = { kind: "core"; name: string } | { kind: "other"; path: string };

const ROW = "quick flex min-h-10 w-full items-center gap-3 rounded-medium px-3 py-1.5 text-left text-m";

function FileButton(props: {
  name: string;
  hint?: string;
  open: boolean;
  folder?: boolean;
  onOpen: () => void;
}) {
  const Icon = props.folder ? Folder : FileText;
  return (
    <button
      type="button"
      aria-current={props.open ? "true" : undefined}
      className={`${ROW} ${props.open ? "bg-accent-soft" : "hover:bg-hover"}`}
      onClick={props.onOpen}
    >
      <Icon size={16} aria-hidden className="shrink-0 text-ink-3" />
      <span className="grid min-w-0">
        <span className="truncate font-medium">{props.name}</span>
        {props.hint ? <span className="text-xs text-ink-3">{props.hint}</span> : null}
      </span>
    </button>
  );
}

function CoreFiles(props: { agentId: string; open: OpenFile; onOpen: (name: string) => boolean }) {
  const words = useWords();
  const answer = useCall<{ files: CoreFile[] }>("agents.files.list", { agentId: props.agentId });
  if (answer.isError) return <Problem compact error={answer.error} onRetry={() => void answer.refetch()} />;
  if (!answer.data) return <Skeleton lines={4} label={words.agents.files} className="p-3" />;
  return answer.data.files.map((file) => (
    <FileButton
      key={file.name}
      name={file.name}
      hint={file.missing ? words.agents.fileMissing : (words.agents.file[file.name] ?? "")}
      open={props.open.kind === "core" && props.open.name === file.name}
      onOpen={() => props.onOpen(file.name)}
    />
  ));
}

function OtherFiles(props: {
  agentId: string;
  core: boolean;
  open: OpenFile;
  onOpen: (path: string) => boolean;
}) {
  const words = useWords();
  const [folder, setFolder] = useState("");
  const params = { agentId: props.agentId, ...(folder ? { path: folder } : {}), limit: 200 };
  const answer = useCall<{ entries: FolderEntry[] }>("agents.workspace.list", params);
  if (answer.isError) return <Problem compact error={answer.error} onRetry={() => void answer.refetch()} />;
  if (!answer.data) return <Skeleton lines={2} label={words.agents.otherFiles} className="p-3" />;
  const entries = answer.data.entries.filter((entry) => folder || !(entry.name in words.agents.file));
  return (
    <>
      {folder ? (
        <button
          type="button"
          className={`${ROW} hover:bg-hover`}
          onClick={() => setFolder(folder.split("/").slice(0, -1).join("/"))}
        >
          <ChevronLeft size={16} aria-hidden className="text-ink-3" />
          <span className="truncate">{folder}</span>
        </button>
      ) : null}
      {entries.map((entry) => (
        <FileButton
          key={entry.path}
          name={entry.name}
          folder={entry.kind === "directory"}
          open={props.open.kind === "other" && props.open.path === entry.path}
          onOpen={() => (entry.kind === "directory" ? setFolder(entry.path) : props.onOpen(entry.path))}
        />
      ))}
      {entries.length === 0 ? (
        <p className="px-3 py-2 text-s text-ink-3">{words.agents.fileEmptyFolder}</p>
      ) : null}
    </>
  );
}

/** The workspace of one agent. */
export function WorkspaceFiles(props: { agentId: string }) {
  const words = useWords();
  const [open, setOpen] = useState<OpenFile>({ kind: "core", name: "AGENTS.md" });
  const [dirty, setDirty] = useState(false);
  const leave = (next: OpenFile): boolean => {
    if (dirty && !window.confirm(words.agents.leaveUnsaved)) return false;
    setDirty(false);
    setOpen(next);
    return true;
  };
  return (
    <Sheet className="grid grid-cols-1 overflow-hidden md:grid-cols-[260px_minmax(0,1fr)]">
      <nav
        aria-label={words.agents.files}
        className="grid content-start gap-1 border-b border-line p-3 md:border-r md:border-b-0"
      >
        <p className="px-3 pb-1 text-xs text-ink-3">{words.agents.filesHint}</p>
        <CoreFiles agentId={props.agentId} open={open} onOpen={(name) => leave({ kind: "core", name })} />
        <p className="px-3 pt-3 pb-1 text-xs text-ink-3">{words.agents.otherFiles}</p>
        <OtherFiles
          core
          agentId={props.agentId}
          open={open}
          onOpen={(path) => leave({ kind: "other", path })}
        />
      </nav>
      {open.kind === "core" ? (
        <FileEditor key={open.name} agentId={props.agentId} name={open.name} onDirty={setDirty} />
      ) : (
        <FileView key={open.path} agentId={props.agentId} path={open.path} />
      )}
    </Sheet>
  );
}
