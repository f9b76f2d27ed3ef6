/** Small marks of state. Owns: their looks. Refuses to know: what they mark. */
import type { ReactNode } from "react";

const TONES = {
  plain: "bg-sunk text-ink-2",
  accent: "bg-accent-soft text-accent",
  willow: "bg-willow-soft text-willow",
  danger: "bg-danger-soft text-danger",
} as const;

/** A word in a pill. */
export function Badge(props: { tone?: keyof typeof TONES; children: ReactNode; title?: string }) {
  return (
    <span
      title={props.title}
      className={`inline-flex h-5 shrink-0 items-center rounded-full px-2 text-xs font-medium whitespace-nowrap ${TONES[props.tone ?? "plain"]}`}
    >
      {props.children}
    </span>
  );
}

/** A round plate with the first letter of a name. */
export function Plate(props: { name: string; size?: number; className?: string }) {
  const size = props.size ?? 28;
  const letter = Array.from(props.name.trim())[0]?.toLocaleUpperCase() ?? "·";
  return (
    <span
      aria-hidden="true"
      style={{ width: size, height: size, fontSize: size * 0.44 }}
      className={`inline-flex shrink-0 items-center justify-center rounded-full bg-accent-soft font-semibold text-accent ${props.className ?? ""}`}
    >
      {letter}
    </span>
  );
}
