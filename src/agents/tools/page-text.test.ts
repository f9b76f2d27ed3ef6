import { describe, expect, it } from "vitest";
import { pageText } from "./page-text.ts";

describe("the text of a page", () => {
  it("has the title and what people read, without markup, scripts and styles", () => {
    const html = `<!doctype html><html><head><title>Tea &amp; more</title><style>p{}</style></head>
      <body><script>if (a < b) alert("canary")</script><h1>Hello</h1><p>One <b>bold</b>&nbsp;word.<br>Next&#33;</p>
      <!-- canary --><ul><li>a<li>b</ul><SCRIPT SRC=x>canary</SCRIPT ><noscript>canary</noscript></body></html>`;
    expect(pageText(html)).toBe("Tea & more\n\nHello\n\nOne bold word.\nNext!\n\na\nb");
  });

  it("keeps its place behind letters that grow when lowered", () => {
    expect(pageText("İİİİ<script>canary</script>fine")).toBe("İİİİfine");
  });

  it("leaves lone signs and odd entities as they are", () => {
    expect(pageText("1 < 2 &amp; 3 > 2 &bogus; &#0;&#xD800;&#x1F600;")).toBe("1 < 2 & 3 > 2 &bogus; 😀");
  });

  it.each(["<script>", "<!--", "<a ", "</", "<", "&#", "<p>"])(
    "is made in one pass of a page that is nothing but %s",
    (piece) => {
      const html = piece.repeat(200_000);
      expect(pageText(html).length).toBeLessThanOrEqual(html.length);
    },
  );
});
