/**
 * What an invitation is. Owns: its fields, to whom it can be tied, what a note may hold. Refuses to know: storage.
 */
import { AppError } from "../../../kernel/errors.ts";
import type { TenantId, UserId } from "../../../kernel/ids.ts";
import type { Role } from "../../../tenancy/scopes.ts";
import { emailKey } from "../identity.ts";

/** Who alone may accept: whoever holds the link, a person with that verified address, one identity. */
export type InvitationTie =
  | { kind: "none" }
  | { kind: "email"; email: string }
  | { kind: "identity"; provider: string; subject: string };

/** An invitation that can still be accepted. The secret is not in it. */
export interface Invitation {
  id: string;
  tenantId: TenantId;
  /** What accepting grants now: the role it was made for, as far as inviter and ceilings still go. */
  role: Role;
  /** A few words of the inviter; plain text. */
  note: string | null;
  tie: InvitationTie;
  createdAtMs: number;
  /** Name of the inviter. */
  createdBy: string;
  expiresAtMs: number;
}

/** The same for whoever holds the link. */
export interface LookedAt {
  tenantName: string;
  role: Role;
  invitedBy: string;
  expiresAtMs: number;
  needs: "none" | "verified_email" | "identity";
}

/** Who wants to accept, as their session says. */
export interface Accepting {
  userId: UserId;
  /** When they last proved who they are. */
  authAtMs: number;
}

const NOTE_CHARS = 500;

/** A note: plain text of at most 500 characters, line ends allowed; null for an empty one. Throws `invalid_request`. */
export function checkNote(text: string | null | undefined): string | null {
  const note = (text ?? "").trim();
  // SECURITY: no control and no direction characters: what is shown is what was written (ATTACKS RO-09, BR-10).
  if (note.length > NOTE_CHARS || /[^\P{Cc}\n]|[\u200e\u200f\u2028-\u202e\u2066-\u2069]/u.test(note)) {
    throw new AppError("invalid_request", `A note has at most ${NOTE_CHARS} characters of plain text.`, {
      details: { field: "note" },
    });
  }
  return note === "" ? null : note.toWellFormed();
}

/** A tie from what was asked for; throws `invalid_request` for an address that cannot be compared, or for two ties. */
export function checkTie(
  email: string | null | undefined,
  identity: { provider: string; subject: string } | null | undefined,
): InvitationTie {
  if (email != null && identity != null) {
    throw new AppError("invalid_request", "Tie an invitation to an address or to an identity, not to both.");
  }
  if (identity != null) return { kind: "identity", ...identity };
  if (email == null) return { kind: "none" };
  const key = emailKey(email.trim());
  if (key !== null) return { kind: "email", email: key };
  throw new AppError("invalid_request", "That is not an e-mail address like name@example.org.", {
    details: { field: "email" },
  });
}

/** What a tie asks of whoever accepts. */
export function needsOf(tie: InvitationTie): LookedAt["needs"] {
  if (tie.kind === "none") return "none";
  return tie.kind === "email" ? "verified_email" : "identity";
}
