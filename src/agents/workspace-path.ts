/**
 * Which paths name something in a workspace. Owns: the grammar, checked before any file system is asked.
 * Refuses to know: folders, links (the jail does). Nothing is ever decoded, trimmed or normalised: what is odd is refused.
 */
import { AppError } from "../kernel/errors.ts";

const SEGMENT_BYTES = 255;
const PATH_BYTES = 4_096;
const SEGMENTS = 32;

// Control characters, direction marks, zero-width marks that open no emoji, line separators, and a lone BOM.
const INVISIBLE = /[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/u;
const PERCENT_CODE = /%[0-9a-f]{2}/i;
const DEVICE = /^(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)/i;

/** Check a path to a file or folder; `/` separates. Returns it unchanged; throws `invalid_request`. */
export function checkPath(path: string): string {
  if (path.length === 0) throw bad("is empty");
  if (Buffer.byteLength(path) > PATH_BYTES) throw bad("is too long");
  if (!path.isWellFormed() || path.normalize("NFC") !== path) throw bad("is not in composed Unicode form");
  if (path.startsWith("/")) throw bad("must be relative");
  if (/[\\:]/.test(path)) throw bad("must not contain a backslash or a colon");
  if (INVISIBLE.test(path)) throw bad("contains invisible characters");
  if (PERCENT_CODE.test(path)) throw bad("must not contain percent codes");
  const segments = path.split("/");
  if (segments.length > SEGMENTS) throw bad("has too many folders");
  for (const segment of segments) checkSegment(segment);
  return path;
}

/** The same for a folder to list, where nothing or `.` means the workspace itself. */
export function checkFolder(path: string): string {
  return path === "" || path === "." || path === "/" ? "" : checkPath(path.replace(/\/$/, ""));
}

function checkSegment(segment: string): void {
  if (segment === "") throw bad("has an empty part");
  // Compatibility forms too: some characters fold into dots and slashes elsewhere.
  const folded = segment.normalize("NFKC");
  if (/^\.+$/.test(folded) || folded.includes("/") || folded.includes("\\"))
    throw bad("must not go up or stay");
  if (/[. ]$/.test(segment) || segment.startsWith(" ")) throw bad("has a part that begins or ends oddly");
  if (DEVICE.test(segment)) throw bad("uses a reserved name");
  if (Buffer.byteLength(segment) > SEGMENT_BYTES) throw bad("has a part that is too long");
}

function bad(problem: string): AppError {
  return new AppError("invalid_request", `The path ${problem}.`, { details: { field: "path" } });
}
