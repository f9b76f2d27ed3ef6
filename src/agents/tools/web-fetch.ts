/**
 * The tool that reads a public web page. Owns: what of an answer the model sees.
 * Refuses to know: which addresses are allowed (egress does: never a private one, whatever the operator lists).
 */
import { z } from "zod";
import type { Egress } from "../../kernel/egress.ts";
import { AppError } from "../../kernel/errors.ts";
import { pageText } from "./page-text.ts";
import { defineTool, type Tool } from "./tool.ts";

/** Bytes of a page that are read; the rest is left out. */
const PAGE_BYTES = 256 * 1024;

/** The tool, over a guarded fetch. */
export function makeWebFetch(egress: Pick<Egress, "fetchFor">): Tool {
  const guarded = egress.fetchFor({
    allowPrivate: false,
    connectMs: 10_000,
    idleMs: 15_000,
    totalMs: 30_000,
    maxBytes: 32 * 1024 * 1024,
  });
  return defineTool({
    name: "web_fetch",
    label: "Read a web page",
    description: "Fetch a public http(s) address and return its text.",
    group: "web",
    risk: "high",
    params: z.object({ url: z.string().min(8).max(4_096) }),
    isIdempotent: true,
    title: (args) => `Read ${hostOf(String(args["url"]))}`,
    async run({ url }, { signal }) {
      const response = await guarded(url, {
        headers: { accept: "text/html,text/plain,application/json;q=0.9,*/*;q=0.1" },
        signal,
      });
      const type = response.headers.get("content-type") ?? "text/plain";
      if (!/^(?:text\/|application\/(?:[\w.+-]*\+)?(?:json|xml|xhtml))/i.test(type)) {
        await response.body?.cancel();
        throw new AppError(
          "invalid_request",
          `The address answers with ${type.slice(0, 60)}, which is not text.`,
        );
      }
      const { bytes, isWhole } = await readStart(response);
      const text = decode(bytes, type);
      const shown = /html/i.test(type) ? pageText(text) : text;
      const head = response.ok ? "" : `HTTP ${response.status}\n`;
      return `${head}${shown}${isWhole ? "" : "\n[… the rest was left out]"}`;
    },
  });
}

async function readStart(response: Response): Promise<{ bytes: Buffer; isWhole: boolean }> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of response.body ?? []) {
    pieces.push(piece);
    length += piece.byteLength;
    // Leaving the loop cancels the rest.
    if (length > PAGE_BYTES) return { bytes: Buffer.concat(pieces).subarray(0, PAGE_BYTES), isWhole: false };
  }
  return { bytes: Buffer.concat(pieces), isWhole: true };
}

function decode(bytes: Buffer, type: string): string {
  const named = /charset="?([\w-]{1,40})/i.exec(type)?.[1] ?? "utf-8";
  try {
    return new TextDecoder(named).decode(bytes);
  } catch {
    return bytes.toString("utf8");
  }
}

function hostOf(url: string): string {
  return URL.parse(url)?.hostname ?? "a page";
}
