/**
 * One TypeScript file as the house tests see it. Owns: telling code from comments, strings, templates and patterns,
 * so that a word in a text is never taken for code. Refuses to know: rules. (TypeScript 7 has no compiler API.)
 */

/** A piece of the text that is no code. */
export interface Piece {
  start: number;
  end: number;
  /** Content, without quotes or comment marks for strings, with them for comments. */
  text: string;
}

/** A declaration that leaves its file. */
export interface ExportedName {
  kind: string;
  name: string;
  line: number;
  /** The doc comment right before it, if there is one. */
  doc: string | undefined;
}

/** An import, a re-export, a dynamic import, or a file named for a worker. */
export interface ImportEdge {
  specifier: string;
  isTypeOnly: boolean;
  isReExport: boolean;
  line: number;
}

/** A function and its length in lines, braces included. */
export interface LongBlock {
  line: number;
  lines: number;
}

const BEFORE_PATTERN = new Set(
  "return typeof instanceof in of new delete void throw case do else yield await".split(" "),
);

/** See the head of this file. */
export class SourceFile {
  readonly path: string;
  readonly text: string;
  /** The text with all that is no code turned into spaces; same length, same lines. Strings keep their quotes. */
  readonly code: string;
  readonly comments: Piece[] = [];
  readonly strings: Piece[] = [];

  constructor(path: string, text: string) {
    this.path = path;
    this.text = text;
    this.code = new Masker(text, this.comments, this.strings).run();
  }

  /** Lines of the file; the end of the last line does not begin another. */
  get lines(): number {
    return this.text.split("\n").length - (this.text.endsWith("\n") ? 1 : 0);
  }

  lineOf(offset: number): number {
    let line = 1;
    for (let at = this.text.indexOf("\n"); at !== -1 && at < offset; at = this.text.indexOf("\n", at + 1))
      line++;
    return line;
  }

  /** Every place in the code that matches; the pattern needs the flag g. */
  find(pattern: RegExp): { line: number; match: RegExpExecArray }[] {
    return [...this.code.matchAll(pattern)].map((match) => ({ line: this.lineOf(match.index), match }));
  }

  /** What stands outside of all brackets, the rest turned into spaces. */
  topLevel(): string {
    const out: string[] = [];
    let depth = 0;
    for (const char of this.code) {
      if ("})]".includes(char)) depth--;
      out.push(depth === 0 || char === "\n" ? char : " ");
      if ("{([".includes(char)) depth++;
    }
    return out.join("");
  }

  imports(): ImportEdge[] {
    return this.strings.flatMap((piece) => {
      if (this.code[piece.start - 1] !== '"') return [];
      const before = this.code.slice(Math.max(0, piece.start - 4_000), piece.start - 1).trimEnd();
      if (!/(?:(?<!\.)\bfrom|\bimport|\bimport\s*\(|\brequire\s*\(|\bnew\s+URL\s*\()$/.test(before))
        return [];
      if (/URL\s*\($/.test(before) && !piece.text.startsWith(".")) return [];
      const head = /\b(import|export)\b[^;]*$/.exec(before.slice(before.lastIndexOf(";") + 1))?.[0] ?? "";
      return {
        specifier: piece.text,
        isTypeOnly: /^(?:import|export)\s+type\b/.test(head),
        isReExport: head.startsWith("export") && /\bfrom$/.test(before),
        line: this.lineOf(piece.start),
      };
    });
  }

  exports(): ExportedName[] {
    const pattern =
      /^export\s+(?:default\s+)?(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?(function\*?|class|const|let|var|interface|type|enum)\s+([\w$]+)/gm;
    return this.find(pattern).map(({ line, match }) => {
      const before = this.text.slice(0, match.index).trimEnd().length;
      const comment = this.comments.find((piece) => piece.end === before);
      const doc = comment?.text.startsWith("/**") ? comment.text : undefined;
      return { kind: match[1]!, name: match[2]!, line, doc };
    });
  }

  /** Functions longer than `limit` lines. A block is a function unless its head says otherwise. */
  longFunctions(limit: number): LongBlock[] {
    const open: number[] = [];
    const found: LongBlock[] = [];
    for (let at = 0; at < this.code.length; at++) {
      if (this.code[at] === "{") open.push(at);
      if (this.code[at] !== "}") continue;
      const start = open.pop();
      if (start === undefined) continue;
      const lines = this.lineOf(at) - this.lineOf(this.headStart(start)) + 1;
      if (lines > limit && this.isFunctionHead(start)) found.push({ line: this.lineOf(start), lines });
    }
    return found;
  }

  private headBefore(brace: number): string {
    const before = this.code.slice(0, brace);
    const cut = Math.max(before.lastIndexOf(";"), before.lastIndexOf("{"), before.lastIndexOf("}"));
    return before.slice(cut + 1).trim();
  }

  private isFunctionHead(brace: number): boolean {
    const head = this.headBefore(brace);
    if (/=>$/.test(head)) return true;
    if (/\b(?:class|interface|enum|satisfies|return)\b[^()]*$/.test(head)) return false;
    return head !== "" && !/[=([,:?&|]$/.test(head);
  }

  /** Where the parameters before the brace open, so that a long parameter list counts. */
  private headStart(brace: number): number {
    let depth = 0;
    const close = this.code.lastIndexOf(")", brace);
    if (close === -1 || !/^[^;{}]*$/.test(this.code.slice(close + 1, brace))) return brace;
    for (let at = close; at >= 0; at--) {
      if (this.code[at] === ")") depth++;
      if (this.code[at] === "(" && --depth === 0) return at;
    }
    return brace;
  }
}

/** One pass over the text. */
class Masker {
  private readonly text: string;
  private readonly comments: Piece[];
  private readonly strings: Piece[];
  private readonly out: string[] = [];
  /** For each open template expression, how many braces are open inside of it. */
  private readonly templates: number[] = [];
  private at = 0;
  private lastWord = "";
  private lastChar = "";

  constructor(text: string, comments: Piece[], strings: Piece[]) {
    this.text = text;
    this.comments = comments;
    this.strings = strings;
  }

  run(): string {
    if (this.text.startsWith("#!")) this.blank(this.text.indexOf("\n"));
    while (this.at < this.text.length) this.step();
    return this.out.join("");
  }

  private step(): void {
    const char = this.text[this.at]!;
    const next = this.text[this.at + 1];
    if (char === "/" && next === "/") this.comment("\n", 0);
    else if (char === "/" && next === "*") this.comment("*/", 2);
    else if (char === '"' || char === "'") this.string(char);
    else if (char === "`") this.template();
    else if (char === "/" && this.mayBePattern()) this.pattern();
    else if (char === "}" && this.templates.at(-1) === 0) this.endExpression();
    else this.plain(char);
  }

  private plain(char: string): void {
    const depth = this.templates.length - 1;
    if (depth >= 0 && char === "{") this.templates[depth]!++;
    if (depth >= 0 && char === "}") this.templates[depth]!--;
    const word = /[\w$]/.test(char) ? (/[\w$]+/y.exec(this.text.slice(this.at))?.[0] ?? char) : char;
    this.out.push(word);
    this.at += word.length;
    if (/\s/.test(char)) return;
    this.lastChar = char;
    this.lastWord = word;
  }

  private mayBePattern(): boolean {
    if (BEFORE_PATTERN.has(this.lastWord)) return true;
    return this.lastChar === "" || !/[\w$)\]}"]/.test(this.lastChar);
  }

  private comment(end: string, keep: number): void {
    const found = this.text.indexOf(end, this.at + 2);
    const stop = found === -1 ? this.text.length : found + keep;
    this.comments.push({ start: this.at, end: stop, text: this.text.slice(this.at, stop) });
    this.blank(stop);
  }

  private string(quote: string): void {
    let stop = this.at + 1;
    while (stop < this.text.length && this.text[stop] !== quote && this.text[stop] !== "\n") {
      stop += this.text[stop] === "\\" ? 2 : 1;
    }
    this.quoted(stop);
    this.at++;
  }

  private template(): void {
    this.chunk(this.at + 1);
  }

  private endExpression(): void {
    this.templates.pop();
    this.out.push(")");
    this.chunk(this.at + 1, true);
  }

  /** A piece of a template, to its end or to the next expression. */
  private chunk(from: number, isContinued = false): void {
    let stop = from;
    while (stop < this.text.length && this.text[stop] !== "`" && !this.text.startsWith("${", stop)) {
      stop += this.text[stop] === "\\" ? 2 : 1;
    }
    this.strings.push({ start: from, end: stop, text: this.text.slice(from, stop) });
    if (!isContinued) this.out.push('"');
    this.at = from;
    this.blank(stop);
    if (this.text[stop] === "`") {
      this.out.push('"');
      this.at++;
      this.lastChar = '"';
      this.lastWord = "";
      return;
    }
    // Brackets of their own kind, so that an expression nests as code does.
    this.out.push(this.at + 1 < this.text.length ? " (" : "");
    this.at += 2;
    this.templates.push(0);
    this.lastChar = "(";
    this.lastWord = "(";
  }

  private pattern(): void {
    let stop = this.at + 1;
    let isClass = false;
    while (stop < this.text.length && this.text[stop] !== "\n") {
      const char = this.text[stop]!;
      if (char === "/" && !isClass) break;
      if (char === "[") isClass = true;
      if (char === "]") isClass = false;
      stop += char === "\\" ? 2 : 1;
    }
    this.out.push('"');
    this.at++;
    this.blank(stop);
    this.out.push('"');
    this.at++;
    this.lastChar = '"';
    this.lastWord = "";
  }

  private quoted(stop: number): void {
    this.strings.push({ start: this.at + 1, end: stop, text: this.text.slice(this.at + 1, stop) });
    this.out.push('"');
    this.at++;
    this.blank(stop);
    this.out.push('"');
    this.lastChar = '"';
    this.lastWord = "";
  }

  private blank(stop: number): void {
    this.out.push(this.text.slice(this.at, stop).replaceAll(/[^\n]/g, " "));
    this.at = stop;
  }
}
