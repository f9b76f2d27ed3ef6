/** A line above the pages and what can be answered to it. Owns: their looks. Refuses to know: what it is about. */
import type { ReactNode } from "react";

const TONES = { willow: "bg-willow-soft text-willow", danger: "bg-danger-soft text-danger" } as const;

/** One line. */
export function NoticeLine(props: {
  icon: ReactNode;
  text: string;
  tone?: keyof typeof TONES;
  children?: ReactNode;
}) {
  return (
    <div
      role="status"
      className={`no-print flex min-h-9 flex-wrap items-center justify-center gap-x-3 gap-y-1 px-4 py-1.5 text-s ${TONES[props.tone ?? "willow"]}`}
    >
      <span className="flex min-w-0 items-start gap-2 text-left">
        {props.icon}
        <span className="min-w-0 break-words">{props.text}</span>
      </span>
      {props.children}
    </div>
  );
}

/** What can be done about it. */
export function NoticeAnswer(props: { text: string; onClick: () => void }) {
  return (
    <button
      type="button"
      className="shrink-0 font-semibold underline underline-offset-4"
      onClick={props.onClick}
    >
      {props.text}
    </button>
  );
}
