/**
 * What the process tells a Prometheus server. Owns: counters and their documents.
 * Refuses to know: tenants: no series carries one, so that neither their number nor their habits show.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import type { ErrorCode } from "../kernel/errors.ts";

const REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...(["unauthenticated", "link_invalid", "forbidden", "step_up_required", "origin_refused"] as const),
  ...([
    "tenant_mismatch",
    "tenant_ambiguous",
    "credential_ambiguous",
    "misdirected",
    "rate_limited",
  ] as const),
]);

/** Figures read when they are asked for. */
export interface MeterSources {
  openConnections(): number;
  activeRuns(): number;
}

/** See the head of this file. */
export class Meters {
  private readonly registry = new Registry();
  private readonly calls: Counter;
  private readonly connects: Counter;
  private readonly refusals: Counter;
  private readonly strays: Counter;
  private readonly delay = monitorEventLoopDelay({ resolution: 10 });
  /** Calls since the last read; a labelled counter on every frame would cost more than the frame. */
  private readonly pending = new Map<string, number>();

  constructor(sources: MeterSources) {
    const registers = [this.registry];
    this.calls = new Counter({
      name: "creel_method_calls_total",
      help: "Protocol method calls that passed all checks. A sudden stop means clients cannot get in.",
      labelNames: ["method"],
      registers,
    });
    this.connects = new Counter({
      name: "creel_connects_total",
      help: "Handshakes by outcome. Many refusals from few addresses are guesses at credentials.",
      labelNames: ["outcome"],
      registers,
    });
    this.refusals = new Counter({
      name: "creel_refusals_total",
      help: "Requests refused before or for want of authority, by code; attempts of people who are known are in their tenant's audit log too.",
      labelNames: ["code"],
      registers,
    });
    this.strays = new Counter({
      name: "creel_stray_errors_total",
      help: "Errors that nobody caught. Zero in a healthy process; each is a fault of ours, and in the log.",
      registers,
    });
    const gauge = (name: string, help: string, read: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    gauge("creel_connections", "Open sockets after hello.", sources.openConnections);
    gauge("creel_active_runs", "Runs being worked on.", sources.activeRuns);
    gauge(
      "creel_event_loop_delay_max_seconds",
      "Longest stall of the main thread since the last read.",
      () => {
        const seconds = this.delay.max / 1e9;
        this.delay.reset();
        return seconds;
      },
    );
    this.delay.enable();
    collectDefaultMetrics({ register: this.registry });
  }

  called(method: string): void {
    this.pending.set(method, (this.pending.get(method) ?? 0) + 1);
  }

  connected(outcome: "accepted" | "refused"): void {
    this.connects.inc({ outcome });
  }

  /** A request by HTTP was refused; `code` is one of the closed union of failure codes. */
  refused(code: ErrorCode): void {
    if (REFUSALS.has(code)) this.refusals.inc({ code });
  }

  /** An error reached nobody. */
  strayed(): void {
    this.strays.inc();
  }

  /** The exposition text. */
  async read(): Promise<string> {
    for (const [method, count] of this.pending) this.calls.inc({ method }, count);
    this.pending.clear();
    return this.registry.metrics();
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  close(): void {
    this.delay.disable();
    this.registry.clear();
  }
}
