/**
 * What was hoped for, and the table that shows it beside what was measured. Owns: targets, formatting, the marked part of
 * docs/benchmarks.md. Refuses to know: how anything was measured.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";

/** One line of a table. */
export type Row = {
  measure: string;
  unit: string;
  ours: number;
  /** The server it is compared with, where there is one. */
  theirs?: number;
  /** What is hoped for; `undefined` rows are for information. */
  target?: Target;
};

/** A bound on the value itself, or on the value divided by the other server's. */
export type Target = { of: "value" | "ratio"; atMost?: number; atLeast?: number };

const DOC = join(import.meta.dirname, "../../docs/benchmarks.md");

const NEW_DOC = `# Benchmarks

\`npm run bench\` compares Creel with a bare WebSocket server that sends the same frames (\`test/bench/bare-server.ts\`);
\`npm run bench:peer\` compares it with the stock OpenClaw gateway. Both use the same mock model, the same driver and one run, so
the ratios travel between machines better than the numbers do. Add \`-- --write\` to replace the tables below.
`;

/** The table in markdown. */
export function toMarkdown(rows: Row[], otherName: string): string {
  const head = [
    `| Measure | Creel | ${otherName} | Creel ÷ ${otherName} | Target | Met |`,
    "|---|--:|--:|--:|---|---|",
  ];
  const lines = rows.map((row) => {
    const theirs = row.theirs === undefined ? "" : show(row.theirs, row.unit);
    const ratio = row.theirs === undefined ? "" : round(row.ours / row.theirs);
    return `| ${row.measure} | ${show(row.ours, row.unit)} | ${theirs} | ${ratio} | ${targetText(row)} | ${metText(row)} |`;
  });
  return [...head, ...lines].join("\n");
}

/** Prints the table, and writes it between its markers when `--write` was given. */
export function publish(name: "bench" | "bench:peer", rows: Row[], otherName: string): void {
  const when = new Date().toISOString().slice(0, 10);
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? "CPU"}, Node ${process.versions.node}`;
  const text = `${toMarkdown(rows, otherName)}\n\n\`npm run ${name}\`, ${when}, ${machine}.`;
  process.stdout.write(`\n${text}\n`);
  const missed = rows.filter((row) => row.target && !isMet(row));
  for (const row of missed) process.stdout.write(`falls short: ${row.measure}\n`);
  if (process.argv.includes("--write")) writeBetween(name, text);
}

/** Whether the row reached its target; rows without one always do. */
export function isMet(row: Row): boolean {
  if (!row.target) return true;
  const value = row.target.of === "ratio" ? row.ours / (row.theirs ?? Number.NaN) : row.ours;
  const { atMost = Number.POSITIVE_INFINITY, atLeast = Number.NEGATIVE_INFINITY } = row.target;
  return value <= atMost && value >= atLeast;
}

function writeBetween(name: string, text: string): void {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  let page = existsSync(DOC) ? readFileSync(DOC, "utf8") : NEW_DOC;
  if (!page.includes(open)) page = `${page.trimEnd()}\n\n## npm run ${name}\n\n${open}\n${close}\n`;
  const [before = "", rest = ""] = page.split(open);
  const after = rest.split(close)[1] ?? "";
  writeFileSync(DOC, `${before}${open}\n${text}\n${close}${after}`);
}

function targetText(row: Row): string {
  if (!row.target) return "";
  const { of, atMost, atLeast } = row.target;
  const bound = atMost === undefined ? `≥ ${atLeast}` : `≤ ${atMost}`;
  return of === "ratio" ? `${bound} ×` : `${bound} ${row.unit}`;
}

function metText(row: Row): string {
  if (!row.target) return "";
  return isMet(row) ? "yes" : "**no**";
}

function show(value: number, unit: string): string {
  return `${round(value)} ${unit}`.trim();
}

function round(value: number): string {
  if (!Number.isFinite(value)) return "not measured";
  if (value >= 1000) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}
