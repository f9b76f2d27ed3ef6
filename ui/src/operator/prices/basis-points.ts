/** Percentages as people type them. Owns: reading them without fractions in binary. Refuses to know: what they are of. */

const PERCENT = /^\s*(-)?(\d{1,4})(?:[.](\d{1,2}))?\s*%?\s*$/;

/** A percentage that somebody typed as hundredths of a percent; undefined when it is none, or out of bounds. */
export function parseBasisPoints(text: string): number | undefined {
  const [, minus, whole, part = ""] = PERCENT.exec(text.replace("\u2212", "-")) ?? [];
  if (whole === undefined) return undefined;
  const points = Number(whole) * 100 + Number(part.padEnd(2, "0"));
  const signed = minus === undefined || points === 0 ? points : -points;
  return signed >= -10_000 && signed <= 100_000 ? signed : undefined;
}
