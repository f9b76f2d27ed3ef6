/**
 * The readable text of a web page. Owns: leaving out markup, in one pass and linear time whatever the page does.
 * Refuses to know: where the page came from.
 */

const DROPPED = new Set(["script", "style", "noscript", "template", "svg", "iframe", "object", "head"]);
const BLOCKS = new Set(
  "p div br li ul ol tr table h1 h2 h3 h4 h5 h6 section article header footer nav aside pre blockquote hr dt dd".split(
    " ",
  ),
);
const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: " ",
  mdash: "—",
  ndash: "–",
  hellip: "…",
  copy: "©",
};

/** Turn HTML into plain text; the title comes first. */
export function pageText(html: string): string {
  const title = between(html, "<title", "</title");
  const body = visibleText(html);
  return tidy(title === "" ? body : `${decode(title)}\n\n${body}`);
}

function visibleText(html: string): string {
  const lower = lowerAscii(html);
  const parts: string[] = [];
  let at = 0;
  while (at < html.length) {
    const open = html.indexOf("<", at);
    if (open === -1) {
      parts.push(html.slice(at));
      break;
    }
    if (open > at) parts.push(html.slice(at, open));
    if (lower.startsWith("<!--", open)) {
      at = after(lower, "-->", open + 4);
      continue;
    }
    if (lower[open + 1] === "!" || lower[open + 1] === "?") {
      at = after(lower, ">", open);
      continue;
    }
    const name = /^<\/?([a-z][a-z0-9]{0,20})/.exec(lower.slice(open, open + 24))?.[1];
    if (name === undefined) {
      parts.push("<");
      at = open + 1;
      continue;
    }
    const isClosing = lower[open + 1] === "/";
    at = after(lower, ">", open);
    if (!isClosing && DROPPED.has(name)) at = after(lower, ">", after(lower, `</${name}`, at) - 1);
    if (BLOCKS.has(name)) parts.push("\n");
  }
  return decode(parts.join(""));
}

/** The place behind the next `mark`, or the end: a mark that never comes ends the work, not the time. */
function after(text: string, mark: string, from: number): number {
  const found = text.indexOf(mark, from);
  return found === -1 ? text.length : found + mark.length;
}

/** Other letters may change their length when lowered, and every index after them would be off. */
function lowerAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

function between(html: string, open: string, close: string): string {
  const lower = lowerAscii(html.slice(0, 100_000));
  const start = lower.indexOf(open);
  if (start === -1) return "";
  const begin = after(lower, ">", start);
  const end = lower.indexOf(close, begin);
  return end === -1 ? "" : html.slice(begin, Math.min(end, begin + 300));
}

function decode(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}));/gi, (whole, decimal, hex, name) => {
    if (name !== undefined) return ENTITIES[String(name).toLowerCase()] ?? whole;
    const code = decimal === undefined ? Number.parseInt(String(hex), 16) : Number(decimal);
    return code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? String.fromCodePoint(code) : "";
  });
}

function tidy(text: string): string {
  const lines = text.split("\n").map((line) =>
    line
      .split(/[\s\u00a0]+/)
      .join(" ")
      .trim(),
  );
  return lines
    .filter((line, index) => line !== "" || (lines[index - 1] ?? "") !== "")
    .join("\n")
    .trim();
}
