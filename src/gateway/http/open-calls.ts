/**
 * HTTP calls inside tenants that are being answered. Owns: that an answer, or the rest of one, does not leave for a
 * caller whose authority ended meanwhile. Refuses to know: routes, what is answered.
 */
import type { AccessChange } from "../../auth/guard/access-feed.ts";
import type { Epochs } from "../../auth/guard/epochs.ts";
import { AppError } from "../../kernel/errors.ts";
import type { Principal } from "../../tenancy/principal.ts";

/** What the calls need. */
export interface OpenCallDeps {
  epochs: Epochs;
  isLive(principal: Principal): Promise<boolean>;
}

/** See the head of this file. */
export class OpenCalls {
  private readonly deps: OpenCallDeps;
  private readonly open = new Set<OpenCall>();

  constructor(deps: OpenCallDeps) {
    this.deps = deps;
  }

  /**
   * A call begins; end it when its answer is sent.
   * @param epoch taken before the caller was authenticated
   */
  begin(principal: Principal, epoch: number, stop: () => void): OpenCall {
    const call = new OpenCall(this.deps, principal, epoch, stop, () => this.open.delete(call));
    this.open.add(call);
    return call;
  }

  /** Calls that are being answered now. */
  get count(): number {
    return this.open.size;
  }

  /** Look again at the calls that a change may touch. */
  review({ tenantId, userId }: AccessChange): void {
    for (const call of this.open) {
      const { principal } = call;
      const isAll = tenantId === null && userId === null;
      if (isAll || principal.tenantId === tenantId || principal.userId === userId)
        void call.stands().catch(() => false);
    }
  }
}

/** One call that is being answered. */
export class OpenCall {
  readonly principal: Principal;
  private readonly deps: OpenCallDeps;
  private readonly stop: () => void;
  private readonly onEnd: () => void;
  private readonly revoked = new AbortController();
  private epoch: number;

  constructor(deps: OpenCallDeps, principal: Principal, epoch: number, stop: () => void, onEnd: () => void) {
    this.deps = deps;
    this.principal = principal;
    this.epoch = epoch;
    this.stop = stop;
    this.onEnd = onEnd;
  }

  /** The answer has left, or never will. */
  end(): void {
    this.onEnd();
  }

  /** Throws `unauthenticated` when the caller's authority ended. */
  async assertStands(): Promise<void> {
    if (!(await this.stands())) throw new AppError("unauthenticated", "Access changed or was revoked.");
  }

  /** Whether the caller's authority still stands; stops the call when it does not. */
  async stands(): Promise<boolean> {
    const { tenantId, userId } = this.principal;
    const { epochs, isLive } = this.deps;
    while (epochs.isStale(tenantId, userId, this.epoch)) {
      const epoch = epochs.current;
      if (!(await isLive(this.principal))) {
        this.revoked.abort();
        this.stop();
        return false;
      }
      this.epoch = epoch;
    }
    return !this.revoked.signal.aborted;
  }

  /** The same pieces, until the caller's authority ends; then the line is cut, so that nobody takes it for the end. */
  async *guard(pieces: AsyncIterable<string>): AsyncGenerator<string> {
    const source = pieces[Symbol.asyncIterator]();
    try {
      for (;;) {
        const step = await this.unlessRevoked(source.next());
        if (step.done === true) return;
        await this.assertStands();
        yield step.value;
      }
    } finally {
      // Not waited for: a source that waits for its next piece would keep us.
      void source.return?.()?.catch(() => undefined);
    }
  }

  private unlessRevoked<T>(next: Promise<T>): Promise<T> {
    const { signal } = this.revoked;
    return new Promise<T>((resolve, reject) => {
      const cut = () => reject(new AppError("unauthenticated", "Access changed or was revoked."));
      if (signal.aborted) return cut();
      signal.addEventListener("abort", cut, { once: true });
      next.then(resolve, reject).finally(() => signal.removeEventListener("abort", cut));
    });
  }
}
