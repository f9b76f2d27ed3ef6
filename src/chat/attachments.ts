/**
 * Files that come with a message. Owns: their accepted form and bounds. Refuses to know: who sends, what models take.
 */
import { z } from "zod";
import { AppError } from "../kernel/errors.ts";
import type { MessageAttachment } from "../protocol/message.ts";

/** Attachments as clients send them: inline base64. */
export const attachmentsSchema = z
  .array(
    z.object({
      type: z.string().max(32).optional(),
      mimeType: z.string().max(128).optional(),
      fileName: z.string().max(255).optional(),
      content: z.unknown().optional(),
    }),
  )
  .max(16)
  .optional();

/** What the schema accepts. */
export type RawAttachments = z.output<typeof attachmentsSchema>;

/** 6 MiB in base64. */
const ATTACHMENT_CHARS = 8 * 1024 * 1024;

/** Accept attachments from outside; throws `invalid_request` or `too_large`. */
export function readAttachments(given: RawAttachments): MessageAttachment[] {
  return (given ?? []).map((one) => {
    if (typeof one.content !== "string" || one.content === "") {
      throw new AppError("invalid_request", "An attachment needs its content as base64 text.");
    }
    if (one.content.length > ATTACHMENT_CHARS)
      throw new AppError("too_large", "An attachment has at most 6 MiB.");
    const mimeType = one.mimeType ?? "application/octet-stream";
    const type = one.type ?? (mimeType.startsWith("image/") ? "image" : "file");
    return {
      type,
      mimeType,
      ...(one.fileName === undefined ? {} : { fileName: one.fileName }),
      content: one.content,
    };
  });
}
