/** Buttons. Owns: their looks and sizes. Refuses to know: what they do. */
import { Tooltip } from "radix-ui";
import type { ButtonHTMLAttributes, ReactNode, Ref } from "react";

/** How loud a button is. */
export type ButtonTone = "primary" | "outline" | "quiet" | "danger";

const TONES: Readonly<Record<ButtonTone, string>> = {
  primary: "bg-accent text-accent-ink hover:bg-accent-strong disabled:bg-sunk disabled:text-ink-3",
  outline: "border border-line-strong bg-card text-ink hover:bg-hover disabled:text-ink-3",
  quiet: "text-ink-2 hover:bg-hover hover:text-ink disabled:text-ink-3 disabled:hover:bg-transparent",
  danger: "bg-danger text-danger-ink hover:opacity-90 disabled:bg-sunk disabled:text-ink-3",
};

type ButtonProps = ButtonHTMLAttributes<HTMLButtonElement> & {
  tone?: ButtonTone;
  small?: boolean;
  ref?: Ref<HTMLButtonElement>;
};

/** A button with words in it. */
export function Button({
  tone = "outline",
  small = false,
  className = "",
  type = "button",
  ...rest
}: ButtonProps) {
  const size = small ? "h-8 px-3 text-s" : "h-10 px-4 text-m";
  return (
    <button
      type={type}
      className={`quick inline-flex shrink-0 items-center justify-center gap-2 rounded-medium font-medium whitespace-nowrap ${size} ${TONES[tone]} ${className}`}
      {...rest}
    />
  );
}

type IconButtonProps = ButtonProps & {
  label: string;
  hint?: string;
  children: ReactNode;
  bare?: boolean;
  round?: boolean;
};

/** A square button with an icon; `label` names it for screen readers and in a tooltip. */
export function IconButton({
  label,
  hint,
  tone = "quiet",
  small = false,
  className = "",
  type = "button",
  bare = false,
  round = false,
  ...rest
}: IconButtonProps) {
  const size = `${small ? "size-8" : "size-10"} ${round ? "rounded-full" : "rounded-medium"}`;
  const button = (
    <button
      type={type}
      aria-label={label}
      className={`quick inline-flex shrink-0 items-center justify-center ${size} ${TONES[tone]} ${className}`}
      {...rest}
    />
  );
  if (bare) return button;
  return <Hint text={hint ?? label}>{button}</Hint>;
}

/** A tooltip around one control. */
export function Hint(props: { text: string; children: ReactNode }) {
  return (
    <Tooltip.Root delayDuration={500}>
      <Tooltip.Trigger asChild>{props.children}</Tooltip.Trigger>
      <Tooltip.Portal>
        <Tooltip.Content
          sideOffset={6}
          collisionPadding={8}
          className="rise z-60 max-w-72 rounded-small bg-ink px-2 py-1 text-xs text-paper shadow-2"
        >
          {props.text}
        </Tooltip.Content>
      </Tooltip.Portal>
    </Tooltip.Root>
  );
}
