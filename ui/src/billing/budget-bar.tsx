/** How far a budget is used, as a bar. Owns: its parts and warning marks. Refuses to know: whose budget it is. */

const MARKS = [50, 80, 95] as const;

/** Spent, then reserved, of a limit; all of it is full. */
export function BudgetBar(props: {
  label: string;
  spentMicros: number;
  reservedMicros: number;
  limitMicros: number;
  marks?: boolean;
}) {
  const { limitMicros, marks = false } = props;
  const part = (micros: number) =>
    limitMicros === 0 ? 100 : Math.min(100, Math.max(0, (micros / limitMicros) * 100));
  const spent = part(props.spentMicros);
  const all = part(props.spentMicros + props.reservedMicros);
  const tone = all >= 95 ? "bg-danger" : all >= 80 ? "bg-willow" : "bg-accent";
  return (
    <div className="grid gap-1">
      <div
        role="img"
        aria-label={props.label}
        className={`relative overflow-hidden rounded-full bg-sunk ${marks ? "h-4" : "h-2"}`}
      >
        <div
          className={`absolute inset-y-0 left-0 opacity-40 ${tone}`}
          style={{ width: `${all}%` }}
          aria-hidden
        />
        <div className={`absolute inset-y-0 left-0 ${tone}`} style={{ width: `${spent}%` }} aria-hidden />
        {marks
          ? MARKS.map((mark) => (
              <div
                key={mark}
                aria-hidden
                className="absolute inset-y-0 w-px bg-ink/50"
                style={{ left: `${mark}%` }}
              />
            ))
          : null}
      </div>
      {marks ? (
        <div aria-hidden className="relative h-4 text-xs text-ink-3">
          {MARKS.map((mark) => (
            <span key={mark} className="absolute -translate-x-1/2" style={{ left: `${mark}%` }}>
              {mark}
            </span>
          ))}
        </div>
      ) : null}
    </div>
  );
}
