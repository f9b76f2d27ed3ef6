/**
 * What the built-in demo model says. Owns: the words, in English and Chinese.
 * Refuses to know: streaming, tools' results beyond their text. Every answer opens by saying that this is no real AI.
 */

/** The languages the demo speaks. */
export type DemoLanguage = "en" | "zh";

/** The sentence every answer opens with. */
export const DEMO_LABEL: Record<DemoLanguage, string> = {
  en: "*I'm Creel's built-in demo model, not a real AI: my answers are fixed texts.*",
  zh: "*我是 Creel 内置的演示模型，不是真正的 AI：我的回答都是预先写好的文字。*",
};

/** Which language a text is in. */
export function languageOf(text: string): DemoLanguage {
  return /\p{Script=Han}/u.test(text) ? "zh" : "en";
}

interface Topic {
  pattern: RegExp;
  answer: Record<DemoLanguage, string>;
}

const CODE_EN = `Here is some code. Point at it to copy it:

\`\`\`ts
// Total price in cents, without floating-point surprises.
export function totalCents(items: { cents: number; count: number }[]): number {
  return items.reduce((sum, item) => sum + item.cents * item.count, 0);
}
\`\`\`

And a command: \`npx creel doctor\` checks your installation.`;

const CODE_ZH = `这是一段代码，把鼠标移上去就可以复制：

\`\`\`ts
// 以“分”为单位计算总价，避免浮点误差。
export function totalCents(items: { cents: number; count: number }[]): number {
  return items.reduce((sum, item) => sum + item.cents * item.count, 0);
}
\`\`\`

还有一条命令：\`npx creel doctor\` 可以检查你的安装。`;

const MARKDOWN_EN = `## What Markdown looks like here

Text can be **bold**, *italic* or \`code\`. A list:

1. People sign in to *their* tenant.
2. They chat with an agent.
3. Every turn leaves a transcript and a usage record.

| Role | May chat | May manage |
|---|---|---|
| owner, admin | yes | yes |
| member | yes | no |
| readonly | reads only | no |

> A quote: walls first, then furniture.`;

const MARKDOWN_ZH = `## 这里的 Markdown 是这样的

文字可以**加粗**、*倾斜*，也可以是\`代码\`。一个列表：

1. 成员登录到*自己的*租户。
2. 与智能体对话。
3. 每一轮对话都会留下记录和用量。

| 角色 | 可以对话 | 可以管理 |
|---|---|---|
| owner、admin | 是 | 是 |
| member | 是 | 否 |
| readonly | 只能阅读 | 否 |

> 引用：先砌墙，再摆家具。`;

const LONG_EN = Array.from(
  { length: 12 },
  (_, index) =>
    `**Paragraph ${index + 1}.** This text only exists to show how a long answer streams in. You can press Stop at any time; what has arrived so far stays in the conversation.`,
).join("\n\n");

const LONG_ZH = Array.from(
  { length: 12 },
  (_, index) =>
    `**第 ${index + 1} 段。** 这段文字只是为了演示长回答的流式输出。你可以随时点击“停止”，已经收到的内容会保留在对话里。`,
).join("\n\n");

const TOPICS: readonly Topic[] = [
  { pattern: /markdown|table|格式|表格/i, answer: { en: MARKDOWN_EN, zh: MARKDOWN_ZH } },
  { pattern: /\bcode\b|program|代码|编程|程序/i, answer: { en: CODE_EN, zh: CODE_ZH } },
  { pattern: /\blong\b|\bstream|story|长文|流式|故事/i, answer: { en: LONG_EN, zh: LONG_ZH } },
  {
    pattern: /\bmodel|provider|api key|openai|qwen|deepseek|ollama|real ai|模型|密钥|通义|千问/i,
    answer: {
      en: "To talk to a real model, open **Settings → Models** and add a provider: its address (for example `https://api.openai.com/v1`, DashScope, DeepSeek or your own Ollama), a key and the model ids. Then choose the model for this chat or for the agent. The key is stored sealed and is never shown again.",
      zh: "要使用真正的模型，请打开 **设置 → 模型**，添加一个服务商：地址（例如 `https://api.openai.com/v1`、通义千问 DashScope、DeepSeek 或你自己的 Ollama）、密钥和模型名称，然后为这个对话或智能体选择该模型。密钥会加密保存，之后不再显示。",
    },
  },
  {
    pattern: /tenant|isolat|secur|privacy|租户|隔离|安全|隐私/i,
    answer: {
      en: "Creel serves many organizations (tenants) from one process. Each tenant has its own people, sessions, transcripts, workspace, memory, keys and bill, in its own folder and database. Another tenant's things look exactly like things that do not exist.",
      zh: "Creel 在一个进程里为许多组织（租户）服务。每个租户都有自己的成员、会话、记录、工作区、记忆、密钥和账单，存放在独立的目录和数据库里。别的租户的东西，看起来就和不存在一样。",
    },
  },
  {
    pattern: /usage|cost|price|bill|token|用量|费用|价格|账单/i,
    answer: {
      en: "Every model call leaves one usage record: who, which agent and session, which model, how many tokens, what it cost. The **Usage** page adds them up per day. My own answers cost nothing.",
      zh: "每次模型调用都会留下一条用量记录：谁、哪个智能体和会话、哪个模型、多少 token、花了多少钱。**用量**页面按天汇总。我的回答不收费。",
    },
  },
  {
    pattern: /^\s*(hi|hello|hey|good (morning|evening)|你好|您好|嗨)\b|^\s*(你好|您好|嗨)/i,
    answer: {
      en: "Hello! Creel is running and this conversation is being saved. Things you can try with me:\n\n- **markdown** or **code**: see how answers look\n- **list files**: I make a real tool call in your workspace\n- **long**: watch an answer stream, and stop it\n- **model**: how to connect a real model",
      zh: "你好！Creel 已经在运行，这段对话会被保存。你可以试试：\n\n- **格式** 或 **代码**：看看回答的样式\n- **列出文件**：我会在你的工作区里真正调用一次工具\n- **长文**：观看流式输出，并随时停止\n- **模型**：如何接入真正的模型",
    },
  },
];

/** The answer to a message, without the label. */
export function answerTo(text: string, language: DemoLanguage): string {
  const topic = TOPICS.find(({ pattern }) => pattern.test(text));
  if (topic !== undefined) return topic.answer[language];
  const quote = text.replace(/\s+/g, " ").trim().slice(0, 200);
  return language === "zh"
    ? `你说的是：“${quote}”。\n\n我只认识几个话题：**格式**、**代码**、**列出文件**、**长文**、**租户**、**用量**、**模型**。想得到真正的回答，请在 **设置 → 模型** 里添加一个服务商。`
    : `You said: “${quote}”.\n\nI only know a few topics: **markdown**, **code**, **list files**, **long**, **tenants**, **usage**, **model**. For real answers, add a provider in **Settings → Models**.`;
}

/** What to say after a tool answered. */
export function afterTool(toolName: string, result: string, language: DemoLanguage): string {
  const shown = result.trim().slice(0, 2_000);
  return language === "zh"
    ? `工具 \`${toolName}\` 返回：\n\n\`\`\`\n${shown}\n\`\`\`\n\n这是一次真实的调用；智能体可以使用哪些工具，由管理员决定。`
    : `The tool \`${toolName}\` answered:\n\n\`\`\`\n${shown}\n\`\`\`\n\nThat was a real call; which tools an agent may use is decided by an admin.`;
}

/** What to say when a tool was wanted and none is offered. */
export function withoutTools(language: DemoLanguage): string {
  return language === "zh"
    ? "这个智能体目前没有可用的工具。管理员可以在智能体的设置里允许它们。"
    : "This agent has no tools it may use. An admin can allow them in the agent's settings.";
}
