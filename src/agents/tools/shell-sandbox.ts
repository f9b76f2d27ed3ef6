/**
 * Running shell commands without a shell. Owns: one thread per command, its bounds, whose turn it is.
 * Refuses to know: where the files come from.
 *
 * The commands are JavaScript over files in memory (`just-bash`): no processes, no network, no host files. The thread is
 * there because a loop inside would stop everybody else, and because a thread can be killed.
 *
 * SECURITY: V8 ends a thread that reaches its heap limit, but ends the PROCESS when one single allocation overshoots it.
 * So the commands run under limits (shell-worker) that keep every string far below the heap; change the two together.
 */
import { Worker } from "node:worker_threads";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import type { ShellAnswer, ShellJob } from "./shell-worker.ts";

/** How much one command may take. */
export interface ShellLimits {
  timeoutMs: number;
  outputChars: number;
  heapMb: number;
}

const LIMITS: ShellLimits = { timeoutMs: 10_000, outputChars: 64 * 1024, heapMb: 256 };
/** Threads at once, of all tenants together; a tenant has one. */
const THREADS = 3;
const WAITING_PER_TENANT = 16;

interface Waiting {
  tenantId: TenantId;
  begin(): void;
}

/** See the head of this file. */
export class ShellSandbox {
  private readonly clock: Clock;
  private readonly limits: ShellLimits;
  private readonly running = new Set<TenantId>();
  private readonly waiting: Waiting[] = [];

  constructor(clock: Clock, limits: Partial<ShellLimits> = {}) {
    this.clock = clock;
    this.limits = { ...LIMITS, ...limits };
  }

  /** Run a command. Throws `limit_reached` (time, memory, too many waiting) or the signal's reason. */
  async run(
    tenantId: TenantId,
    command: string,
    files: ReadonlyMap<string, Uint8Array>,
    signal: AbortSignal,
  ): Promise<ShellAnswer> {
    await this.takeTurn(tenantId);
    try {
      signal.throwIfAborted();
      return await this.runThread({ command, files, ...this.limits }, signal);
    } finally {
      this.running.delete(tenantId);
      this.next();
    }
  }

  private takeTurn(tenantId: TenantId): Promise<void> {
    if (this.waiting.filter((entry) => entry.tenantId === tenantId).length >= WAITING_PER_TENANT) {
      throw new AppError("limit_reached", "Too many commands are waiting; try again later.");
    }
    return new Promise((begin) => {
      this.waiting.push({ tenantId, begin });
      this.next();
    });
  }

  /** The first waiting command of a tenant that has none running, so that no tenant can fill all threads. */
  private next(): void {
    while (this.running.size < THREADS) {
      const index = this.waiting.findIndex(({ tenantId }) => !this.running.has(tenantId));
      if (index === -1) return;
      const [entry] = this.waiting.splice(index, 1);
      this.running.add(entry!.tenantId);
      entry!.begin();
    }
  }

  private runThread(job: ShellJob, signal: AbortSignal): Promise<ShellAnswer> {
    const worker = new Worker(new URL("./shell-worker.ts", import.meta.url), {
      workerData: job,
      // SECURITY: nothing of our environment, arguments or streams gets in.
      env: {},
      argv: [],
      execArgv: [],
      stdin: false,
      stdout: true,
      stderr: true,
      resourceLimits: {
        maxOldGenerationSizeMb: this.limits.heapMb,
        maxYoungGenerationSizeMb: 32,
        stackSizeMb: 4,
      },
    });
    const { promise, resolve, reject } = Promise.withResolvers<ShellAnswer>();
    const onAbort = () => reject(signal.reason as Error);
    const timer = this.clock.after(this.limits.timeoutMs, () =>
      reject(
        new AppError("limit_reached", `The command took longer than ${this.limits.timeoutMs / 1000} s.`),
      ),
    );
    worker.once("message", resolve);
    worker.once("error", (cause: Error & { code?: string }) => reject(threadFailure(cause)));
    worker.once("exit", () => reject(new AppError("limit_reached", "The command ended without an answer.")));
    signal.addEventListener("abort", onAbort, { once: true });
    return promise.finally(async () => {
      timer.cancel();
      signal.removeEventListener("abort", onAbort);
      await worker.terminate();
    });
  }
}

function threadFailure(cause: Error & { code?: string }): AppError {
  const isMemory = cause.code === "ERR_WORKER_OUT_OF_MEMORY";
  return new AppError(
    "limit_reached",
    isMemory ? "The command used too much memory." : "The command failed.",
    { cause },
  );
}
