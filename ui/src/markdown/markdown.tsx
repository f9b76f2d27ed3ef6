/** An answer in Markdown. Owns: blocks on the page, code sheets. Refuses to know: who wrote it and when. */
import { memo, useRef } from "react";
import { useWords } from "../i18n/words-context.tsx";
import { CopyButton } from "../parts/copy-button.tsx";
import { highlight } from "./highlight.ts";
import { type Block, BlockReader } from "./markdown-blocks.ts";

const CodeSheet = memo(function CodeSheet(props: { code: string; language: string; open: boolean }) {
  const words = useWords();
  const spans = props.open
    ? [{ kind: "plain" as const, text: props.code }]
    : highlight(props.code, props.language);
  return (
    <div className="code-sheet">
      <div className="flex h-9 items-center justify-between border-b border-line pr-1 pl-4 text-xs text-ink-3">
        <span className="font-mono">{props.language || "text"}</span>
        <CopyButton text={props.code} label={words.chat.copyCode} />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard */}
      <pre tabIndex={0}>
        <code>
          {spans.map((span, index) =>
            span.kind === "plain" ? (
              span.text
            ) : (
              // biome-ignore lint/suspicious/noArrayIndexKey: spans have no identity but their place
              <span key={index} className={`tok-${span.kind}`}>
                {span.text}
              </span>
            ),
          )}
        </code>
      </pre>
    </div>
  );
});

const HtmlBlock = memo(function HtmlBlock(props: { html: string }) {
  const table = props.html.startsWith("<table");
  return (
    <div
      className={`prose-block ${table ? "table-scroll" : ""}`}
      {...(table ? { tabIndex: 0 } : {})}
      // biome-ignore lint/security/noDangerouslySetInnerHtml: sanitised against an allowlist in markdown-blocks.ts
      dangerouslySetInnerHTML={{ __html: props.html }}
    />
  );
});

function BlockView(props: { block: Block; open: boolean }) {
  const { block } = props;
  if (block.kind === "html") return <HtmlBlock html={block.html} />;
  return (
    <div className="prose-block">
      <CodeSheet code={block.code} language={block.language} open={props.open} />
    </div>
  );
}

/** Markdown that may still be growing; only its last block is parsed and drawn again. */
export const Markdown = memo(function Markdown(props: { text: string; growing?: boolean }) {
  const reader = useRef<BlockReader>(undefined);
  reader.current ??= new BlockReader();
  const blocks = reader.current.read(props.text);
  return (
    <div className="prose">
      {blocks.map((block, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: blocks only ever grow at the end
        <BlockView key={index} block={block} open={props.growing === true && index === blocks.length - 1} />
      ))}
    </div>
  );
});
