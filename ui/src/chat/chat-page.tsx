/** A conversation page, new or known. Owns: which session is shown and the keys of the page. Refuses to know: the parts' insides. */

import { BookOpen } from "lucide-react";
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { Link, useLocation } from "wouter";
import type { Attachment } from "../composer/attachments.ts";
import { Composer } from "../composer/composer.tsx";
import { AgentMenu, agentName, ModelMenu } from "../composer/model-menu.tsx";
import { useLink, useMayWrite, useScope, useTenant } from "../gateway/tenant-context.tsx";
import { useAgents, useModels } from "../gateway/use-call.ts";
import { DEMO_PROVIDER } from "../gateway/wire.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { Mark } from "../parts/mark.tsx";
import { Empty, Problem, Skeleton } from "../parts/states.tsx";
import { useToast } from "../parts/toasts.tsx";
import { joinKey, newSessionKey, sessionPath, titleOf } from "../sessions/session-key.ts";
import { useSidebar } from "../shell/sidebar-state.tsx";
import { TopBar } from "../shell/top-bar.tsx";
import { useTitle } from "../shell/use-title.ts";
import type { ChatRoom, RoomState } from "./chat-room.ts";
import { Conversation } from "./conversation.tsx";

interface RoomPageProps {
  room: ChatRoom;
  agentId: string;
  /** A conversation that has no address yet. */
  fresh?: { onAgent: (agentId: string) => void };
}

function useRoom(room: ChatRoom): RoomState {
  return useSyncExternalStore(room.subscribe, room.getState);
}

/** Esc stops the answer, and / goes to the composer, unless someone is typing elsewhere or a sheet is open. */
function useChatKeys(busy: boolean, stop: () => void, field: { current: HTMLTextAreaElement | null }) {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.isComposing || document.querySelector("[role=dialog],[role=menu]"))
        return;
      if (event.key === "Escape" && busy) {
        event.preventDefault();
        stop();
      }
      const target = event.target as HTMLElement;
      const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
      if (event.key === "/" && !typing && !event.metaKey && !event.ctrlKey) {
        event.preventDefault();
        field.current?.focus();
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [busy, stop, field]);
}

/** Opening an unread session reads it. */
function useReadMark(room: ChatRoom, state: RoomState, mayWrite: boolean) {
  const { shelf } = useTenant();
  const unread = state.session?.unread === true || shelf.find(room.key)?.unread === true;
  useEffect(() => {
    if (!unread || !mayWrite || document.visibilityState !== "visible") return;
    shelf.patch(room.key, { unread: false }, { unread: false }).catch(() => undefined);
  }, [unread, mayWrite, shelf, room.key]);
}

function Greeting(props: { demo: boolean; mayAdmin: boolean; onStart: (text: string) => void }) {
  const words = useWords();
  return (
    <div className="rise mx-auto grid w-full max-w-(--column) gap-6 px-4 pb-8 sm:px-6">
      <div className="grid justify-items-center gap-3 text-center">
        <Mark size={44} className="text-accent" />
        <h1 className="text-3xl font-semibold tracking-tight text-balance">{words.chat.greeting}</h1>
        <p className="text-l text-ink-2">{words.chat.greetingHint}</p>
      </div>
      <ul className="flex flex-wrap justify-center gap-2">
        {words.chat.starters.map((starter) => (
          <li key={starter}>
            <button
              type="button"
              onClick={() => props.onStart(starter)}
              className="quick min-h-9 rounded-full border border-line-strong bg-card px-4 py-1.5 text-s text-ink-2 hover:border-accent hover:text-ink"
            >
              {starter}
            </button>
          </li>
        ))}
      </ul>
      {props.demo ? (
        <p className="text-center text-s text-ink-3">
          {words.chat.demoHint}{" "}
          {props.mayAdmin ? (
            <Link href="/settings/providers" className="font-medium text-accent underline underline-offset-4">
              {words.chat.demoConnect}
            </Link>
          ) : null}
        </p>
      ) : null}
    </div>
  );
}

function Body(props: {
  room: ChatRoom;
  state: RoomState;
  mayWrite: boolean;
  onEdit: (text: string) => void;
}) {
  const { room, state } = props;
  const words = useWords();
  const bare = state.rows.length === 0 && state.outgoing.length === 0 && !state.run;
  if (state.phase === "error" && state.failure) {
    return (
      <div className="mx-auto w-full max-w-(--column) flex-1 px-4 py-8 sm:px-6">
        <Problem title={words.chat.failed} error={state.failure} onRetry={() => void room.sync()} />
      </div>
    );
  }
  if (state.phase === "loading" && bare) {
    return (
      <div className="mx-auto w-full max-w-(--column) flex-1 px-4 py-8 sm:px-6">
        <Skeleton lines={6} label={words.chat.loading} />
      </div>
    );
  }
  if (bare) {
    return (
      <div className="grid flex-1 content-center">
        <Empty title={words.chat.empty} hint={words.chat.emptyHint} />
      </div>
    );
  }
  return <Conversation room={room} state={state} mayWrite={props.mayWrite} onEdit={props.onEdit} />;
}

function useStop(room: ChatRoom): () => void {
  const words = useWords();
  const toast = useToast();
  return useCallback(() => {
    room.stop().catch(() => toast(words.problem.codes["UNAVAILABLE"] ?? ""));
  }, [room, toast, words]);
}

function RoomPage(props: RoomPageProps) {
  const { room, agentId, fresh } = props;
  const words = useWords();
  const { slug } = useTenant();
  const state = useRoom(room);
  const mayWrite = useMayWrite();
  const mayAdmin = useScope("operator.admin");
  const agents = useAgents().data?.agents;
  const fieldRef = useRef<HTMLTextAreaElement | null>(null);
  const [seed, setSeed] = useState<{ text: string }>();
  const onEdit = useCallback((text: string) => setSeed({ text }), []);
  const busy = state.run !== undefined && !state.run.ended;
  const stop = useStop(room);
  useChatKeys(busy, stop, fieldRef);
  useReadMark(room, state, mayWrite);
  const [, navigate] = useLocation();
  const send = (text: string, attachments: readonly Attachment[]) => {
    room.send(text, attachments);
    if (fresh) navigate(sessionPath(room.key));
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: each conversation begins with the composer focused
  useEffect(() => {
    if (window.matchMedia("(pointer: fine)").matches) fieldRef.current?.focus();
  }, [room]);
  const title = titleOf(state.session) ?? words.list.untitled;
  useTitle(fresh ? undefined : title);
  const demo = useDemo(state);
  return (
    <div className="flex h-full min-h-0 flex-col">
      <TopBar {...(fresh ? {} : { title })} badge={demo && !fresh} />
      {fresh ? (
        <div className="grid min-h-0 flex-1 content-center-safe overflow-y-auto py-6">
          <Greeting demo={demo} mayAdmin={mayAdmin} onStart={onEdit} />
        </div>
      ) : (
        <Body room={room} state={state} mayWrite={mayWrite} onEdit={onEdit} />
      )}
      <Composer
        slug={slug}
        sessionKey={fresh ? `new:${agentId}` : room.key}
        agentId={agentId}
        agentName={agentName(agents, agentId)}
        mayWrite={mayWrite}
        busy={busy}
        seed={seed}
        fieldRef={fieldRef}
        onSend={send}
        onStop={stop}
      >
        {fresh ? <AgentMenu agentId={agentId} onPick={fresh.onAgent} /> : null}
        {mayWrite ? (
          <ModelMenu
            provider={state.session?.modelProvider}
            model={state.session?.model}
            onPick={(model) => void room.chooseModel(model.provider, model.id).catch(() => undefined)}
          />
        ) : null}
      </Composer>
    </div>
  );
}

/** Whether this conversation is answered by the demo model. */
function useDemo(state: RoomState): boolean {
  const models = useDefaultProvider();
  return (state.session?.modelProvider ?? models) === DEMO_PROVIDER;
}

function useDefaultProvider(): string | undefined {
  const models = useModels().data?.models ?? [];
  return (
    models.find((model) => model.tags?.includes("default")) ?? (models.length === 1 ? models[0] : undefined)
  )?.provider;
}

/** The conversation named in the address. */
export function KnownChatPage(props: { agentId: string; session: string }) {
  const { rooms } = useTenant();
  const key = joinKey(props.agentId, props.session);
  const room = useMemo(() => rooms.enter(key), [rooms, key]);
  return <RoomPage key={key} room={room} agentId={props.agentId} />;
}

/** For those who may only read: there is nothing to begin, so they are shown the way to what is there. */
function ReaderPage() {
  const words = useWords();
  const { setOpen } = useSidebar();
  useTitle(undefined);
  return (
    <div className="flex h-full min-h-0 flex-col">
      <TopBar />
      <div className="grid flex-1 content-center pb-16">
        <Empty
          level={1}
          icon={<BookOpen size={28} aria-hidden />}
          title={words.reader.title}
          hint={words.reader.hint}
        >
          <Button className="lg:hidden" onClick={() => setOpen(true)}>
            {words.reader.open}
          </Button>
        </Empty>
      </div>
    </div>
  );
}

/** A conversation that begins with the first message. */
export function NewChatPage() {
  return useMayWrite() ? <BeginPage /> : <ReaderPage />;
}

function BeginPage() {
  const { rooms } = useTenant();
  const { defaultAgentId } = useLink();
  const asked = new URLSearchParams(location.search).get("agent");
  const [picked, setPicked] = useState<string | undefined>(asked ?? undefined);
  const agentId = picked ?? defaultAgentId;
  const room = useMemo(() => rooms.prepare(newSessionKey(agentId)), [rooms, agentId]);
  return <RoomPage key={room.key} room={room} agentId={agentId} fresh={{ onAgent: setPicked }} />;
}
