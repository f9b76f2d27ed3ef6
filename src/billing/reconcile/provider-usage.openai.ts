/**
 * What a provider counted, in OpenAI's form: `GET <url>?start_time&end_time&bucket_width=1d&group_by=model`, pages of
 * buckets (https://platform.openai.com/docs/api-reference/usage/completions). Owns: asking and reading.
 * Refuses to know: our own counts.
 */
import { z } from "zod";
import { AppError } from "../../kernel/errors.ts";
import type { ProviderDay, ProviderUsage } from "./provider-usage.ts";

/** Where, with which key. OpenAI wants an admin key here. */
export interface UsageEndpoint {
  url: string;
  apiKey: string | undefined;
}

const COUNT = z.int().min(0).default(0);
const PAGE = z.object({
  data: z.array(
    z.object({
      results: z.array(
        z.object({
          model: z.string().nullish(),
          ...{ input_tokens: COUNT, output_tokens: COUNT },
          ...{ input_cached_tokens: COUNT, num_model_requests: COUNT },
        }),
      ),
    }),
  ),
  has_more: z.boolean().default(false),
  next_page: z.string().nullish(),
});
/** SECURITY: of tenants' own providers too, which may answer anything; a day is one page, and few models. */
const MOST_PAGES = 10;
const MOST_MODELS = 500;
const NAME_CHARS = 200;

/** See the head of this file. */
export class OpenAiUsage implements ProviderUsage {
  private readonly endpoint: UsageEndpoint;
  private readonly send: typeof fetch;

  /** @param send goes through the egress guard */
  constructor(endpoint: UsageEndpoint, send: typeof fetch) {
    this.endpoint = endpoint;
    this.send = send;
  }

  async read(
    { startMs, endMs }: { startMs: number; endMs: number },
    signal?: AbortSignal,
  ): Promise<ProviderDay[]> {
    const byModel = new Map<string, ProviderDay>();
    let next: string | null | undefined;
    for (let page = 0; page < MOST_PAGES; page++) {
      const url = new URL(this.endpoint.url);
      url.searchParams.set("start_time", String(Math.floor(startMs / 1_000)));
      url.searchParams.set("end_time", String(Math.floor(endMs / 1_000)));
      url.searchParams.set("bucket_width", "1d");
      url.searchParams.set("group_by", "model");
      if (next) url.searchParams.set("page", next);
      const answer = await this.get(url, signal);
      for (const { results } of answer.data) for (const result of results) addTo(byModel, result);
      if (byModel.size > MOST_MODELS)
        throw new AppError("provider_failed", "The provider's usage has more models than can be compared.");
      next = answer.next_page;
      if (!answer.has_more || !next) return [...byModel.values()];
    }
    throw new AppError("provider_failed", "The provider's usage has more pages than can be read.");
  }

  private async get(url: URL, signal: AbortSignal | undefined): Promise<z.output<typeof PAGE>> {
    const { apiKey } = this.endpoint;
    const headers = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
    const answer = await this.send(url, signal === undefined ? { headers } : { headers, signal });
    if (!answer.ok) {
      await answer.body?.cancel();
      throw new AppError("provider_failed", `The provider's usage could not be read: HTTP ${answer.status}.`);
    }
    const parsed = PAGE.safeParse(await answer.json().catch(() => null));
    if (parsed.success) return parsed.data;
    throw new AppError("provider_failed", "The provider's usage is not in the form that is known.");
  }
}

type Result = z.output<typeof PAGE>["data"][number]["results"][number];

function addTo(byModel: Map<string, ProviderDay>, result: Result): void {
  // As long as ours are kept.
  const model = (result.model ?? "").slice(0, NAME_CHARS);
  const sums = byModel.get(model) ?? {
    ...{ model, calls: 0, inputTokens: 0, cachedTokens: 0, outputTokens: 0 },
  };
  sums.calls += result.num_model_requests;
  sums.inputTokens += result.input_tokens;
  sums.cachedTokens += result.input_cached_tokens;
  sums.outputTokens += result.output_tokens;
  byModel.set(model, sums);
}
