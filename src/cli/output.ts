/**
 * What commands print. Owns: text for people or one JSON value for programs, on standard output.
 * Refuses to know: what is printed.
 */

/** Where a command's answer goes. */
export interface Output {
  isJson: boolean;
  /** Print the answer: `json` with --json, else the lines. */
  answer(json: unknown, lines: readonly string[]): void;
}

/** Output to standard output. */
export function standardOutput(isJson: boolean): Output {
  return {
    isJson,
    answer(json, lines) {
      const text = isJson ? JSON.stringify(json, null, 2) : lines.map(printable).join("\n");
      process.stdout.write(text.length === 0 ? "" : `${text}\n`);
    },
  };
}

/** SECURITY: names come from people; control characters could rewrite the operator's terminal. */
function printable(line: string): string {
  return line.replace(/[\p{Cc}\p{Bidi_Control}]/gu, "?");
}

/** Rows under headings, in columns as wide as their widest cell. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** A time as people and programs both read it, or a dash. */
export function showTime(ms: number | null): string {
  return ms === null ? "-" : new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}
