/** Colours code lightly: words, texts, numbers, notes. Owns: one small scanner. Refuses to know: any language in depth. */

/** A run of characters of one kind. */
export interface Span {
  kind: "plain" | "word" | "text" | "note" | "number";
  text: string;
}

const WORDS = new Set(
  `abstract and as assert async await bool boolean break case catch char class const continue def default del delete do
double elif else end enum except export extends extern false final finally float fn for from func function global go if
impl implements import in instanceof int interface is lambda let long loop match mod module mut namespace new nil none
None not null or package pass print private protected pub public raise readonly ref return select self short static
string struct super switch template then this throw throws trait true True False try type typeof undefined union unless
until use using var virtual void where while with yield SELECT FROM WHERE INSERT UPDATE DELETE CREATE TABLE AND OR NOT
NULL JOIN LEFT GROUP BY ORDER LIMIT VALUES INTO SET echo fi esac done export sudo`.split(/\s+/),
);

const HASH_NOTES = new Set(
  "sh bash shell zsh python py ruby rb yaml yml toml dockerfile make r perl ini conf".split(" "),
);
const PLAIN = new Set(["", "text", "txt", "plain", "md", "markdown", "log", "csv"]);
const MAX_CHARS = 20_000;

function scanner(language: string): RegExp {
  const note = HASH_NOTES.has(language)
    ? "#[^\\n]*"
    : language === "sql" || language === "lua"
      ? "--[^\\n]*"
      : "\\/\\/[^\\n]*|\\/\\*[\\s\\S]*?\\*\\/";
  const text = `"(?:\\\\.|[^"\\\\\\n])*"|'(?:\\\\.|[^'\\\\\\n])*'|\`(?:\\\\.|[^\`\\\\])*\``;
  return new RegExp(`(${note})|(${text})|(\\b\\d[\\w.]*\\b)|([A-Za-z_$][\\w$]*)`, "g");
}

/** The code in coloured runs; long or unknown text stays plain. */
export function highlight(code: string, language: string): Span[] {
  const name = language.toLowerCase();
  if (PLAIN.has(name) || code.length > MAX_CHARS) return [{ kind: "plain", text: code }];
  const spans: Span[] = [];
  let from = 0;
  for (const match of code.matchAll(scanner(name))) {
    const kind = match[1]
      ? "note"
      : match[2]
        ? "text"
        : match[3]
          ? "number"
          : WORDS.has(match[0])
            ? "word"
            : undefined;
    if (!kind) continue;
    if (match.index > from) spans.push({ kind: "plain", text: code.slice(from, match.index) });
    spans.push({ kind, text: match[0] });
    from = match.index + match[0].length;
  }
  if (from < code.length) spans.push({ kind: "plain", text: code.slice(from) });
  return spans;
}
