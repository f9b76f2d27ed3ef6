/**
 * What a mock provider counts for itself, and its usage endpoint in OpenAI's form
 * (`GET /v1/organization/usage/completions`). Owns: those counts. Refuses to know: what it told its callers.
 *
 * Words in a message make the two differ: `DROPUSAGE` the stream ends without its usage; `BILLEDFAIL:n` the first n calls
 * are counted and answered 503; `CACHED:n` n tokens of the input were cached and the caller is told; `HIDECACHE:n` the
 * same and the caller is not told.
 */

/** One counted call. Input contains what was cached. */
export interface CountedCall {
  atMs: number;
  model: string;
  inputTokens: number;
  cachedTokens: number;
  outputTokens: number;
}

/** What a message makes of the counts. */
export interface UsageScript {
  isDropped: boolean;
  /** Cached tokens that are counted, and that the caller is told. */
  counted: number;
  told: number;
  failures: number;
}

/** Read the words of a message. */
export function readUsageScript(text: string): UsageScript {
  const number = (word: string) => Number(new RegExp(`\\b${word}:(\\d+)\\b`).exec(text)?.[1] ?? 0);
  const told = number("CACHED");
  return {
    isDropped: /\bDROPUSAGE\b/.test(text),
    counted: Math.max(told, number("HIDECACHE")),
    told,
    failures: number("BILLEDFAIL"),
  };
}

/** See the head of this file. */
export class MockUsage {
  readonly calls: CountedCall[] = [];

  count(
    model: string,
    usage: { promptTokens: number; completionTokens: number },
    cachedTokens: number,
  ): void {
    const { promptTokens: inputTokens, completionTokens: outputTokens } = usage;
    this.calls.push({ atMs: Date.now(), model, inputTokens, cachedTokens, outputTokens });
  }

  /** The answer to `start_time`, `end_time` (seconds) and `bucket_width` 1d, by model, one bucket to a page. */
  page(query: URLSearchParams): unknown {
    const startS = Number(query.get("page") ?? query.get("start_time"));
    const endS = Number(query.get("end_time"));
    const bucketEndS = Math.min(startS + 86_400, endS);
    const within = this.calls.filter(({ atMs }) => atMs >= startS * 1_000 && atMs < bucketEndS * 1_000);
    const results = [...Map.groupBy(within, (call) => call.model)].map(([model, calls]) => ({
      object: "organization.usage.completions.result",
      model,
      input_tokens: sum(calls, "inputTokens"),
      input_cached_tokens: sum(calls, "cachedTokens"),
      output_tokens: sum(calls, "outputTokens"),
      num_model_requests: calls.length,
    }));
    const hasMore = bucketEndS < endS;
    return {
      object: "page",
      data: [{ object: "bucket", start_time: startS, end_time: bucketEndS, results }],
      has_more: hasMore,
      next_page: hasMore ? String(bucketEndS) : null,
    };
  }
}

function sum(calls: readonly CountedCall[], field: "inputTokens" | "cachedTokens" | "outputTokens"): number {
  return calls.reduce((total, call) => total + call[field], 0);
}
