/** Files that go with a message. Owns: reading them and refusing them early. Refuses to know: how they are sent and shown. */
import { newId } from "../gateway/new-id.ts";

/** A file ready to be sent: its bytes as base64. */
export interface Attachment {
  id: string;
  type: "image" | "file";
  mimeType: string;
  fileName: string;
  sizeBytes: number;
  content: string;
}

/** Why a file was not taken. */
export interface Refusal {
  fileName: string;
  reason: "too_large" | "too_many" | "message_full" | "unreadable";
}

/** Bounds of one message. */
export interface AttachmentLimits {
  fileBytes: number;
  files: number;
  /** Bytes of all files together, in base64. */
  totalChars: number;
}

const FILE_BYTES = 6 * 1024 * 1024;
const FILES = 16;
const ENVELOPE_CHARS = 128 * 1024;

/** What the server allows; `maxPayloadBytes` is the frame size it advertises. */
export function attachmentLimits(maxPayloadBytes: number): AttachmentLimits {
  return { fileBytes: FILE_BYTES, files: FILES, totalChars: Math.max(0, maxPayloadBytes - ENVELOPE_CHARS) };
}

function readBase64(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(",", 2)[1] ?? "");
    reader.onerror = () => reject(reader.error ?? new Error("unreadable"));
    reader.readAsDataURL(file);
  });
}

/** Takes what fits beside `before`; everything else comes back with the reason. */
export async function takeFiles(
  files: readonly File[],
  before: readonly Attachment[],
  limits: AttachmentLimits,
): Promise<{ taken: Attachment[]; refused: Refusal[] }> {
  const taken: Attachment[] = [];
  const refused: Refusal[] = [];
  let chars = before.reduce((sum, attachment) => sum + attachment.content.length, 0);
  for (const file of files) {
    const fileName = file.name || "pasted";
    const willBeChars = Math.ceil(file.size / 3) * 4;
    if (file.size > limits.fileBytes) refused.push({ fileName, reason: "too_large" });
    else if (before.length + taken.length >= limits.files) refused.push({ fileName, reason: "too_many" });
    else if (chars + willBeChars > limits.totalChars) refused.push({ fileName, reason: "message_full" });
    else {
      const content = await readBase64(file).catch(() => "");
      if (content === "") refused.push({ fileName, reason: "unreadable" });
      else {
        chars += content.length;
        const mimeType = file.type || "application/octet-stream";
        const type = mimeType.startsWith("image/") ? "image" : "file";
        taken.push({ id: newId(), type, mimeType, fileName, sizeBytes: file.size, content });
      }
    }
  }
  return { taken, refused };
}
