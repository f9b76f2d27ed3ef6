/**
 * A statement as a page to print. Owns: its markup, its style, its words in two languages.
 * Refuses to know: the rest of the UI; the page loads nothing and runs nothing.
 */
import { createHash } from "node:crypto";
import { type Statement, type StatementLine, showMicros } from "./statement.ts";

/** Languages that the page speaks. */
export type PageLanguage = "en" | "zh-CN";

const WORDS = {
  en: {
    title: "Statement",
    open: "Provisional: the month is not closed yet.",
    closed: "Closed",
    days: "Days in time zone",
    plan: "Plan",
    kind: "Kind",
    usage: "Usage",
    adjustment: "Adjustment of",
    what: "Model or tool",
    storage: "Storage (by day)",
    price: "Price",
    key: "Key",
    platform: "platform",
    tenant: "your own",
    none: "none",
    calls: "Calls",
    input: "Input",
    output: "Output",
    cache: "Cache read / write",
    charged: "Charged",
    total: "Total",
    prices: "Price versions",
    estimated: "calls whose tokens the provider did not tell; estimated",
    empty: "Nothing was used in this month.",
  },
  "zh-CN": {
    title: "账单",
    open: "暂计：本月尚未结账。",
    closed: "结账时间",
    days: "日期所用时区",
    plan: "套餐",
    kind: "类别",
    usage: "用量",
    adjustment: "补记",
    what: "模型或工具",
    storage: "存储（按天）",
    price: "价格",
    key: "密钥",
    platform: "平台",
    tenant: "自有",
    none: "无",
    calls: "调用次数",
    input: "输入",
    output: "输出",
    cache: "缓存读 / 写",
    charged: "应付",
    total: "合计",
    prices: "价格版本",
    estimated: "次调用的提供方未报告用量，按估算计",
    empty: "本月没有用量。",
  },
} as const satisfies Record<PageLanguage, Record<string, string>>;

const STYLE = `
:root { color-scheme: light dark; }
body { font: 14px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; }
table { border-collapse: collapse; width: 100%; margin: 1.5rem 0; }
th, td { text-align: start; padding: .35rem .5rem; border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
td.n, th.n { text-align: end; font-variant-numeric: tabular-nums; white-space: nowrap; }
tfoot td { font-weight: 600; border-bottom: 0; }
small, .note { opacity: .75; }
@media print {
  :root { color-scheme: light; }
  @page { size: A4; margin: 15mm; }
  body { margin: 0; max-width: none; font-size: 10pt; }
  thead { display: table-header-group; }
  tr { break-inside: avoid; }
}`;

/** SECURITY: nothing but this page's own style is let in, whatever a model's name contains. */
export const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** The page. */
export function statementPage(statement: Statement, language: PageLanguage): string {
  const words = WORDS[language];
  const { tenant, month, currency } = statement;
  const state =
    statement.closedAtMs === null
      ? words.open
      : `${words.closed} ${new Date(statement.closedAtMs).toISOString().slice(0, 16).replace("T", " ")} UTC`;
  const estimated = statement.lines.reduce((sum, line) => sum + line.estimatedCalls, 0);
  const notes = [
    `${words.days}: ${statement.timeZone}`,
    `${words.plan}: ${statement.plan}`,
    `${words.prices}: ${statement.priceVersions.join(", ") || "-"}`,
    ...(estimated === 0 ? [] : [`${estimated} ${words.estimated}`]),
  ];
  return `<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(`${words.title} ${month} · ${tenant.name}`)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escaped(`${words.title} ${month}`)}</h1>
<p>${escaped(tenant.name)} <small>${escaped(`${tenant.slug} · ${tenant.id}`)}</small><br>${escaped(state)}</p>
${statement.lines.length === 0 ? `<p>${words.empty}</p>` : table(statement, words)}
<p><strong>${words.total}: ${showMicros(statement.totalMicros)} ${escaped(currency)}</strong></p>
<p class="note">${notes.map(escaped).join("<br>")}</p>
</body>
</html>
`;
}

type Words = Readonly<Record<keyof (typeof WORDS)["en"], string>>;

function table(statement: Statement, words: Words): string {
  const head = [words.kind, words.what, words.price, words.key];
  const numbers = [words.calls, words.input, words.output, words.cache, words.charged];
  const { totals } = statement;
  return `<table>
<thead><tr>${head.map((text) => `<th scope="col">${text}</th>`).join("")}${numbers.map((text) => `<th scope="col" class="n">${text}</th>`).join("")}</tr></thead>
<tbody>
${statement.lines.map((line) => row(line, words)).join("\n")}
</tbody>
<tfoot><tr><td colspan="4">${words.total}</td><td class="n">${totals.calls}</td><td colspan="3"></td><td class="n">${showMicros(totals.chargedMicros)}</td></tr></tfoot>
</table>`;
}

function row(line: StatementLine, words: Words): string {
  const kind = line.kind === "usage" ? words.usage : `${words.adjustment} ${line.forMonth}`;
  const tool = line.toolName === "storage" ? words.storage : line.toolName;
  const what = tool === "" ? `${line.provider}/${line.model}` : tool;
  const owner = line.keyOwner === "platform" || line.keyOwner === "tenant" ? line.keyOwner : "none";
  const texts = [kind, what, line.priceVersion, words[owner]];
  const numbers = [
    ...[line.calls, line.inputTokens, line.outputTokens],
    `${line.cacheReadTokens} / ${line.cacheWriteTokens}`,
    showMicros(line.chargedMicros),
  ];
  return `<tr>${texts.map((text) => `<td>${escaped(text)}</td>`).join("")}${numbers.map((value) => `<td class="n">${value}</td>`).join("")}</tr>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  ...{ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" },
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ENTITIES[char] ?? char);
}
