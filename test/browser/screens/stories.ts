/** What the model of the pictures says: everything an answer can hold, in both languages. Owns: those texts. */
import type { Stories } from "./story-model.ts";

/** What people ask, each the start of a story. */
export const QUESTIONS = {
  rich: {
    en: "Compare this week's landings with last week's and tell me which boats fell behind",
    "zh-CN": "比较本周和上周的上岸量，看看哪些船落后了",
  },
  live: { en: "Write the harbour notice for tomorrow", "zh-CN": "写一份明天的港口通知" },
  fails: { en: "Translate the notice into Portuguese", "zh-CN": "把通知翻译成葡萄牙语" },
} as const;

const CODE = `\`\`\`ts
// Landed weight by boat, in kilograms; a boat that did not go out is absent, not zero.
export function landedByBoat(rows: readonly Landing[]): Map<string, number> {
  return rows.reduce((sum, row) => sum.set(row.boat, (sum.get(row.boat) ?? 0) + row.kilograms), new Map<string, number>());
}
\`\`\``;

const RICH_EN = `## Landings, week 47

Three boats fell behind. The whole fleet landed **41.2 t**, which is *6 %* less than in week 46 ([how it is counted](https://example.com/landings)).

| Boat | Skipper | Week 46 (kg) | Week 47 (kg) | Change | Weather days lost | Remark |
|---|---|---:|---:|---:|---:|---|
| Aurora | M. Okafor | 12,400 | 13,050 | +5 % | 0 | New trawl since Tuesday |
| Breiðfjörð | S. Jónsdóttir | 9,800 | 7,120 | −27 % | 2 | Engine in repair |
| Sea Lavender | T. Baker | 8,300 | 6,900 | −17 % | 2 | |
| Mare Nostrum | R. Santos | 13,300 | 14,130 | +6 % | 1 | Landed in two ports |

What I would do next:

1. Ask the skipper of *Breiðfjörð* when the engine is back.
   - The workshop promised \`2026-11-24\`.
   - Until then two berths are free.
2. Move the Thursday auction to 06:30.

> Weather days are counted by the harbour master, not by the boats.

This is how I added it up:

${CODE}

- [x] Figures checked against the auction sheets
- [ ] Prices still missing for Friday

A very long word, as they occur in file names: \`landings-2026-week-47-all-boats-final-checked-by-harbour-master-and-auction-house-version-3.csv\`.`;

const RICH_ZH = `## 第 47 周上岸量

有三条船落后。整个船队上岸 **41.2 吨**，比第 46 周少 *6 %*（[统计方法](https://example.com/landings)）。

| 船名 | 船长 | 第 46 周（公斤） | 第 47 周（公斤） | 变化 | 因天气损失的天数 | 备注 |
|---|---|---:|---:|---:|---:|---|
| 曙光号 | 陈梅 | 12,400 | 13,050 | +5 % | 0 | 周二起使用新渔网 |
| 北湾号 | 林海 | 9,800 | 7,120 | −27 % | 2 | 发动机维修中 |
| 薰衣草号 | 王涛 | 8,300 | 6,900 | −17 % | 2 | |
| 远洋号 | 李锐 | 13,300 | 14,130 | +6 % | 1 | 在两个港口上岸 |

建议接下来这样做：

1. 询问*北湾号*船长发动机何时修好。
   - 修理厂承诺的日期是 \`2026-11-24\`。
   - 在此之前有两个泊位空闲。
2. 把周四的拍卖提前到 06:30。

> 因天气损失的天数由港口负责人统计，而不是由各船自己统计。

我是这样累加的：

${CODE}

- [x] 数字已与拍卖单核对
- [ ] 周五的价格仍然缺失

文件名里常见的超长单词：\`landings-2026-week-47-all-boats-final-checked-by-harbour-master-and-auction-house-version-3.csv\`。`;

const LOOKS = [
  { name: "workspace_list", args: { path: "landings" } },
  { name: "workspace_read", args: { path: "landings/week-47.csv" } },
  { name: "workspace_read", args: { path: "landings/week-46-corrected-by-the-harbour-master.csv" } },
];

/** Every story, by its question. */
export const STORIES: Stories = {
  [QUESTIONS.rich.en]: [
    {
      reasoning: "The figures should lie in the workspace. I look there first and compare boat by boat.",
      text: "I look at the figures first.",
      tools: LOOKS,
    },
    { text: RICH_EN },
  ],
  [QUESTIONS.rich["zh-CN"]]: [
    { reasoning: "数字应该在工作区里。先去看看，再逐船比较。", text: "我先看一下数字。", tools: LOOKS },
    { text: RICH_ZH },
  ],
  [QUESTIONS.live.en]: [
    { text: "I check what the workspace says about tomorrow.", tools: LOOKS.slice(0, 1) },
    {
      text: "## Harbour notice\n\nThe **east quay** is closed from 05:00 to 11:00 for dredging. Boats that land in that time use the fish dock:\n\n1. Call the harbour office on channel 12.\n2. Wait for a berth\n\n```text\n05:00  east quay closes\n06:30  auction",
      stays: true,
    },
  ],
  [QUESTIONS.live["zh-CN"]]: [
    { text: "我先查看工作区里关于明天的记录。", tools: LOOKS.slice(0, 1) },
    {
      text: "## 港口通知\n\n**东码头**因疏浚工程于 05:00 至 11:00 关闭。在此期间上岸的船只请使用渔港：\n\n1. 通过 12 频道呼叫港口办公室。\n2. 等待泊位\n\n```text\n05:00  东码头关闭\n06:30  拍卖",
      stays: true,
    },
  ],
  [QUESTIONS.fails.en]: [{ text: "", refusesWith: 401 }],
  [QUESTIONS.fails["zh-CN"]]: [{ text: "", refusesWith: 401 }],
};
