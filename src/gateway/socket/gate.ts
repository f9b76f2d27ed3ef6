/**
 * The last look before something leaves for a caller. Owns: holding it back while it is not sure that the caller's
 * authority still stands, letting it go in order, or closing the line. Refuses to know: frames, what changed.
 *
 * Almost always one comparison of numbers: nothing changed for this caller since the last look.
 */
import type { Epochs } from "../../auth/guard/epochs.ts";
import { LIMITS } from "../../kernel/limits.ts";
import type { Principal } from "../../tenancy/principal.ts";

/** What a gate needs. */
export interface GateDeps {
  epochs: Epochs;
  isLive(principal: Principal): Promise<boolean>;
  /** Wall-clock time. */
  nowMs(): number;
  /** Close the line. */
  expel(code: number, reason: string): void;
}

/** What is said to whoever lost their authority. */
export const ACCESS_ENDED = { code: 4001, reason: "access changed or revoked" } as const;

interface Held {
  send(): void;
  bytes: number;
}

/** See the head of this file. */
export class Gate {
  private readonly deps: GateDeps;
  private readonly principal: Principal;
  private epoch: number;
  private held: Held[] = [];
  private heldBytes = 0;
  private looking: Promise<void> | undefined;
  private isShut = false;

  /** @param epoch taken before the caller was authenticated */
  constructor(deps: GateDeps, principal: Principal, epoch: number) {
    this.deps = deps;
    this.principal = principal;
    this.epoch = epoch;
  }

  /**
   * Send now, or when it is sure that it may be sent, or never.
   * @param isDroppable a later event carries the same and more
   */
  pass(send: () => void, bytes: number, isDroppable = false): void {
    if (this.isShut) return;
    if (this.looking === undefined && this.isSure()) return send();
    if (this.isShut) return;
    if (isDroppable && this.heldBytes + bytes > LIMITS.deltaDropBytes) return;
    this.held.push({ send, bytes });
    this.heldBytes += bytes;
    if (this.held.length > LIMITS.heldFrames || this.heldBytes > LIMITS.bufferedBytes) {
      // Others' events must not pile up behind one look; the client comes back and catches up.
      this.shut(1013, "access could not be checked in time");
      return;
    }
    void this.review();
  }

  /** Look again if something may have changed; resolves when it is sure. Never rejects. */
  review(): Promise<void> {
    if (this.looking === undefined && (this.isShut || this.isSure())) return Promise.resolve();
    this.looking ??= this.look();
    return this.looking;
  }

  private isSure(): boolean {
    const { epochs, nowMs } = this.deps;
    const { tenantId, userId, credential } = this.principal;
    if (credential.expiresAtMs !== null && credential.expiresAtMs <= nowMs()) {
      this.shut(ACCESS_ENDED.code, ACCESS_ENDED.reason);
      return false;
    }
    if (this.epoch === epochs.current) return true;
    if (epochs.isStale(tenantId, userId, this.epoch)) return false;
    // Only others were touched; the next comparison is one of numbers again.
    this.epoch = epochs.current;
    return true;
  }

  private async look(): Promise<void> {
    try {
      do {
        const epoch = this.deps.epochs.current;
        if (!(await this.deps.isLive(this.principal)))
          return this.shut(ACCESS_ENDED.code, ACCESS_ENDED.reason);
        this.epoch = epoch;
      } while (!this.isShut && !this.isSure());
    } catch {
      // SECURITY: what cannot be checked is not granted; the client comes back by itself.
      this.shut(1013, "access could not be checked");
    }
    // ORDER: in one go with the end of the look: what waited leaves as it came, before anything new may pass.
    this.looking = undefined;
    for (const { send } of this.held.splice(0)) if (!this.isShut) send();
    this.heldBytes = 0;
  }

  private shut(code: number, reason: string): void {
    this.isShut = true;
    this.held = [];
    this.heldBytes = 0;
    this.deps.expel(code, reason);
  }
}
