/** Starting points for well-known OpenAI-compatible providers. Owns: addresses and example models. Refuses to know: keys. */
import type { ProviderModel } from "../http/tenant-settings.ts";

/** A provider to start from; every field may be changed afterwards. */
export interface ProviderPreset {
  id: string;
  label: string;
  baseUrl: string;
  needsKey: boolean;
  models: ProviderModel[];
}

const model = (id: string, name: string, contextWindow: number, maxTokens: number): ProviderModel => ({
  id,
  name,
  contextWindow,
  maxTokens,
});

/** Prices are left out on purpose: they change, and a wrong price is worse than none. */
export const PROVIDER_PRESETS: readonly ProviderPreset[] = [
  {
    id: "openai",
    label: "OpenAI",
    baseUrl: "https://api.openai.com/v1",
    needsKey: true,
    models: [
      model("gpt-4.1", "GPT-4.1", 1_000_000, 32_768),
      model("gpt-4.1-mini", "GPT-4.1 mini", 1_000_000, 32_768),
    ],
  },
  {
    id: "qwen",
    label: "DashScope / Qwen 通义千问",
    baseUrl: "https://dashscope.aliyuncs.com/compatible-mode/v1",
    needsKey: true,
    models: [model("qwen-plus", "Qwen Plus", 131_072, 8_192), model("qwen-max", "Qwen Max", 32_768, 8_192)],
  },
  {
    id: "deepseek",
    label: "DeepSeek",
    baseUrl: "https://api.deepseek.com/v1",
    needsKey: true,
    models: [
      model("deepseek-chat", "DeepSeek Chat", 65_536, 8_192),
      model("deepseek-reasoner", "DeepSeek Reasoner", 65_536, 32_768),
    ],
  },
  {
    id: "ollama",
    label: "Ollama",
    baseUrl: "http://127.0.0.1:11434/v1",
    needsKey: false,
    models: [model("llama3.2", "Llama 3.2", 131_072, 8_192)],
  },
];
