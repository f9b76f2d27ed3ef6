/** A choice among a few, side by side. Owns: looks and arrow keys (radio group). Refuses to know: what is chosen. */
import { useId } from "react";

interface SegmentedProps<T extends string> {
  label: string;
  value: T;
  options: readonly { value: T; label: string }[];
  onChange: (value: T) => void;
  className?: string;
}

/** Radio buttons drawn as one bar. */
export function Segmented<T extends string>(props: SegmentedProps<T>) {
  const name = useId();
  return (
    <fieldset className={`inline-flex max-w-full rounded-medium bg-sunk p-1 ${props.className ?? ""}`}>
      <legend className="sr-only">{props.label}</legend>
      {props.options.map((option) => (
        <label
          key={option.value}
          className={`quick flex h-8 flex-1 cursor-pointer items-center justify-center rounded-small px-3 text-s font-medium whitespace-nowrap has-focus-visible:outline-2 has-focus-visible:outline-focus ${option.value === props.value ? "bg-thumb text-ink shadow-1" : "text-ink-2 hover:text-ink"}`}
        >
          <input
            type="radio"
            name={name}
            className="sr-only"
            checked={option.value === props.value}
            onChange={() => props.onChange(option.value)}
          />
          {option.label}
        </label>
      ))}
    </fieldset>
  );
}
