/** Markdown to blocks of safe HTML. Owns: parsing, sanitising, links and images. Refuses to know: React. */
import DOMPurify from "dompurify";
import { Marked, type Token, type Tokens, type TokensList } from "marked";

/** One top-level piece of a message; unchanged pieces keep the same `source`. */
export type Block =
  | { kind: "code"; source: string; code: string; language: string }
  | { kind: "html"; source: string; html: string };

const escapeHtml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

const SAFE_LINK = /^(?:https?:|mailto:|tel:)/i;

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    // SECURITY: raw HTML of a model or a user is shown as text, never as markup; the sanitiser below is the second wall.
    html: ({ text }) => escapeHtml(text),
    heading({ tokens, depth }) {
      return `<h3 data-depth="${depth}">${this.parser.parseInline(tokens)}</h3>`;
    },
    link({ href, title, tokens }) {
      const inner = this.parser.parseInline(tokens);
      if (!SAFE_LINK.test(href)) return inner;
      const hint = title ? ` title="${escapeHtml(title)}"` : "";
      return `<a href="${escapeHtml(href)}"${hint}>${inner}</a>`;
    },
    // SECURITY: an image would tell its host who reads this and when; it becomes a link instead.
    image({ href, text }) {
      const name = escapeHtml(text || href);
      return SAFE_LINK.test(href) ? `<a href="${escapeHtml(href)}">${name} ↗</a>` : name;
    },
    listitem(item) {
      return `<li${item.task ? " data-task" : ""}>${this.parser.parse(item.tokens)}</li>\n`;
    },
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

const ALLOWED_TAGS = [
  ..."p br strong em del code pre blockquote ul ol li a h3 table thead tbody tr th td hr sup sub kbd".split(
    " ",
  ),
];

function isLink(node: Element): node is HTMLAnchorElement {
  return node.tagName === "A";
}

const purifier = DOMPurify(window);
purifier.addHook("afterSanitizeAttributes", (node) => {
  if (!isLink(node)) return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

/** HTML that may be put into the page: only the listed tags and attributes, only web, mail and phone links. */
export function sanitise(html: string): string {
  return purifier.sanitize(html, {
    ALLOWED_TAGS,
    ALLOWED_ATTR: ["href", "title", "start", "align", "data-depth", "data-task", "target", "rel"],
    ALLOWED_URI_REGEXP: SAFE_LINK,
    // Without this every value, also "right" or "2", would have to look like a link.
    ADD_URI_SAFE_ATTR: ["align", "start", "data-depth"],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    KEEP_CONTENT: true,
  });
}

function toBlock(token: Token, links: TokensList["links"]): Block | undefined {
  if (token.type === "space" || token.type === "def") return undefined;
  if (token.type === "code") {
    const code = token as Tokens.Code;
    return {
      kind: "code",
      source: token.raw,
      code: code.text,
      language: (code.lang ?? "").split(/\s/)[0] ?? "",
    };
  }
  const list = Object.assign([token], { links }) as TokensList;
  return { kind: "html", source: token.raw, html: sanitise(marked.parser(list)) };
}

/**
 * Parses a growing text. Everything before the last block is kept from one call to the next, so that a stream of
 * deltas costs the last block only.
 */
export class BlockReader {
  private stableSource = "";
  private stableBlocks: Block[] = [];
  private lastText = "";
  private lastBlocks: Block[] = [];

  /** The blocks of `text`; cheap when it continues the text of the call before. */
  read(text: string): Block[] {
    if (text === this.lastText) return this.lastBlocks;
    if (!text.startsWith(this.stableSource)) this.reset();
    const tokens = marked.lexer(text.slice(this.stableSource.length));
    const lastIndex = tokens.findLastIndex((token) => token.type !== "space");
    const fresh: Block[] = [];
    tokens.forEach((token, index) => {
      const block = toBlock(token, tokens.links);
      if (index < lastIndex) {
        this.stableSource += token.raw;
        if (block) this.stableBlocks.push(block);
      } else if (block) fresh.push(block);
    });
    // Normalised line ends can make raw text differ from the input; then nothing is safe to keep.
    if (!text.startsWith(this.stableSource)) this.reset();
    this.lastText = text;
    this.lastBlocks = [...this.stableBlocks, ...fresh];
    return this.lastBlocks;
  }

  private reset(): void {
    this.stableSource = "";
    this.stableBlocks = [];
  }
}
