/** Form fields. Owns: label, hint and error around one control. Refuses to know: forms. */
import { type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes, useId } from "react";

const CONTROL =
  "quick h-10 w-full rounded-medium border border-control-line bg-card px-3 text-m text-ink hover:border-ink-3 aria-invalid:border-danger disabled:bg-sunk disabled:text-ink-3";

interface FieldProps {
  label: string;
  hint?: ReactNode;
  hideLabel?: boolean;
}

function Frame(props: FieldProps & { id: string; isWrong?: boolean; children: ReactNode }) {
  return (
    <div className="grid content-start gap-1.5">
      <label htmlFor={props.id} className={props.hideLabel ? "sr-only" : "text-s font-medium text-ink-2"}>
        {props.label}
      </label>
      {props.children}
      {props.hint ? (
        <p id={`${props.id}-hint`} className={`text-xs ${props.isWrong ? "text-danger" : "text-ink-3"}`}>
          {props.hint}
        </p>
      ) : null}
    </div>
  );
}

/** A labelled line of text. */
export function TextField({
  label,
  hint,
  hideLabel,
  className = "",
  ...rest
}: FieldProps & InputHTMLAttributes<HTMLInputElement>) {
  const id = useId();
  return (
    <Frame
      id={id}
      label={label}
      hint={hint}
      isWrong={rest["aria-invalid"] === true}
      {...(hideLabel ? { hideLabel } : {})}
    >
      <input
        id={id}
        className={`${CONTROL} ${className}`}
        autoComplete="off"
        aria-describedby={hint ? `${id}-hint` : undefined}
        {...rest}
      />
    </Frame>
  );
}

/** A labelled choice from a list. */
export function SelectField({
  label,
  hint,
  hideLabel,
  className = "",
  children,
  ...rest
}: FieldProps & SelectHTMLAttributes<HTMLSelectElement>) {
  const id = useId();
  return (
    <Frame id={id} label={label} hint={hint} {...(hideLabel ? { hideLabel } : {})}>
      <select
        id={id}
        className={`${CONTROL} ${className}`}
        aria-describedby={hint ? `${id}-hint` : undefined}
        {...rest}
      >
        {children}
      </select>
    </Frame>
  );
}

/** A labelled yes or no. */
export function CheckField(props: FieldProps & { checked: boolean; onChange: (checked: boolean) => void }) {
  const id = useId();
  return (
    <div className="flex gap-3">
      <input
        id={id}
        type="checkbox"
        checked={props.checked}
        aria-describedby={props.hint ? `${id}-hint` : undefined}
        onChange={(event) => props.onChange(event.target.checked)}
        className="mt-0.5 size-5 shrink-0 accent-(--accent)"
      />
      <div className="grid gap-0.5">
        <label htmlFor={id} className="text-m font-medium">
          {props.label}
        </label>
        {props.hint ? (
          <p id={`${id}-hint`} className="text-xs text-ink-3">
            {props.hint}
          </p>
        ) : null}
      </div>
    </div>
  );
}
