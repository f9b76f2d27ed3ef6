/**
 * HTTP and sockets as one door. Owns: putting the transport together, its start and its end.
 * Refuses to know: features; they come as methods and routes.
 */
import type { AddressInfo } from "node:net";
import type { Acts } from "../audit/recording/acts.ts";
import type { Denials } from "../audit/recording/denials.ts";
import type { Auth } from "../auth/auth.ts";
import type { Config } from "../config/options.ts";
import type { EventHub } from "../events/hub.ts";
import type { Clock, Timer } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";
import type { CostClass, Method, MethodRegistry } from "../protocol/methods.ts";
import type { Route } from "../protocol/routes.ts";
import type { TenantDoor, TenantScope } from "../tenancy/scoped.ts";
import type { Tenants } from "../tenancy/tenants.ts";
import { Dispatcher } from "./dispatch.ts";
import { Bodies } from "./http/bodies.ts";
import { Callers } from "./http/credentials.ts";
import { Entrance } from "./http/entrance.ts";
import { makeHealthRoutes } from "./http/health-routes.ts";
import { OpenCalls } from "./http/open-calls.ts";
import { makeRpcRoutes } from "./http/rpc-routes.ts";
import { HttpServer } from "./http/server.ts";
import { readAssets, registerUi } from "./http/ui.ts";
import { IngressReader } from "./ingress.ts";
import { Meters } from "./metrics.ts";
import type { LookRecorder } from "./read-only.ts";
import { Rooms } from "./socket/rooms.ts";
import { Sockets } from "./socket/sockets.ts";
import { MemoryCounter } from "./traffic/counter.memory.ts";
import { type TermsReader, Traffic } from "./traffic/traffic.ts";

/** What the gateway is made of. */
export interface GatewayOptions {
  config: Config;
  clock: Clock;
  log: Log;
  version: string;
  tenants: Tenants;
  door: TenantDoor;
  auth: Auth;
  acts: Acts;
  denials: Denials;
  hub: EventHub;
  metricsToken: string;
  uiDirectory: string | null;
  registry: MethodRegistry;
  routes: readonly Route[];
  /** Limits of tenants' plans. */
  terms: TermsReader;
  checkStore(): Promise<void>;
  activeRuns(): number;
  /** Agent of a run of the tenant; undefined when there is no such run. */
  agentOfRun(tenant: TenantScope, runId: string): Promise<string | undefined>;
}

/** See the head of this file. */
export class Gateway {
  readonly registry: MethodRegistry;
  readonly rooms: Rooms;
  /** All declared routes, the gateway's own included. */
  readonly routes: readonly Route[];
  /** Whether there are pages to serve. */
  readonly hasUi: boolean;
  private readonly options: GatewayOptions;
  private readonly http: HttpServer;
  private readonly sockets: Sockets;
  private readonly calls: OpenCalls;
  private readonly meters: Meters;
  private readonly traffic: Traffic;
  private feedTimer: Timer | undefined;
  private isDraining = false;
  private lastRequest = 0;

  constructor(options: GatewayOptions) {
    const { registry, clock, log, auth, door, version, acts, denials } = options;
    this.options = options;
    this.registry = registry;
    this.rooms = new Rooms(options.hub);
    this.meters = new Meters({
      openConnections: () => this.sockets.openCount,
      activeRuns: options.activeRuns,
    });
    const isLive = (principal: Parameters<typeof auth.authenticator.isLive>[0]) =>
      auth.authenticator.isLive(principal);
    const noteLook: LookRecorder = ({ tenantId, userId }, what) =>
      auth.breakGlass.noteUse(tenantId, userId, what);
    const dispatcher = new Dispatcher({
      ...{ registry, log, meters: this.meters, isLive, acts, denials, noteLook },
      agentOfRun: options.agentOfRun,
    });
    const ingress = new IngressReader({
      ...options.config,
      tenants: options.tenants,
      nowMs: () => clock.nowMs(),
    });
    const shared = { authenticator: auth.connect, dispatcher, registry, rooms: this.rooms, door, clock, log };
    const { epochs } = auth;
    this.traffic = new Traffic({
      counter: new MemoryCounter("let-in"),
      strangers: new MemoryCounter("share"),
      clock,
      terms: options.terms,
      strangersPerMinute: options.config.strangersPerMinute,
      ceilings: {
        requestsPerMinute: options.config.tenantRequestsPerMinute,
        turnsPerMinute: options.config.tenantTurnsPerMinute,
      },
    });
    const { traffic } = this;
    const facts = { traffic, meters: this.meters, version, startedAtMs: clock.nowMs(), isLive, epochs };
    this.calls = new OpenCalls({ epochs, isLive });
    this.sockets = new Sockets(
      { ...shared, ...facts, nextRequestId: () => `r${(++this.lastRequest).toString(36)}` },
      ingress,
    );
    const entrance = new Entrance({
      ...{ door, denials, epochs, traffic, clock, metricsToken: options.metricsToken },
      callers: new Callers(auth.authenticator),
      costOf: (route, name) => costOf(route, registry.find(name ?? "")),
    });
    this.http = new HttpServer({
      ...{ ingress, entrance, bodies: new Bodies(traffic), door, clock, log, acts, denials, noteLook },
      calls: this.calls,
      onRefused: (code) => this.meters.refused(code),
    });
    this.routes = [
      ...makeHealthRoutes({
        meters: this.meters,
        checkStore: options.checkStore,
        isDraining: () => this.isDraining,
      }),
      ...makeRpcRoutes({ dispatcher, registry, version, routes: () => this.routes }),
      ...options.routes,
    ];
    this.http.register(this.routes);
    const assets = options.uiDirectory === null ? null : readAssets(options.uiDirectory);
    if (assets !== null) registerUi(this.http.fastify, assets);
    this.hasUi = assets !== null;
  }

  /** Begin to serve; returns the address people can open. */
  async listen(host: string, port: number): Promise<string> {
    const { auth, log } = this.options;
    auth.feed.subscribe((change) => {
      this.sockets.review(change);
      this.calls.review(change);
    });
    this.feedTimer = auth.feed.start((thrown) =>
      log.warn({ err: thrown }, "news of revoked access could not be read"),
    );
    this.sockets.attach(this.http.server);
    await this.http.fastify.listen({ host, port });
    const address = this.http.server.address() as AddressInfo;
    const shown = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
    return `http://${shown.includes(":") ? `[${shown}]` : shown}:${address.port}`;
  }

  /** Count an error that nobody caught. */
  noteStray(): void {
    this.meters.strayed();
  }

  /** Tell load balancers to send new work elsewhere. */
  beginDrain(): void {
    this.isDraining = true;
  }

  async close(): Promise<void> {
    this.isDraining = true;
    this.feedTimer?.cancel();
    this.traffic.close();
    await this.sockets.close();
    // Whoever was answered last keeps the line open for a minute, and the server waits for every line.
    const sweep = this.options.clock.every(IDLE_SWEEP_MS, () => this.http.server.closeIdleConnections());
    await this.http.fastify.close().finally(() => sweep.cancel());
    this.meters.close();
  }
}

const IDLE_SWEEP_MS = 50;

/** Routes that add up very many rows. */
const REPORTS: ReadonlySet<string> = new Set(["/api/usage/drill", "/api/statements", "/api/billing/preview"]);

/** What a call by HTTP costs: that of the method it calls, a turn where one is asked for, else by what it does. */
function costOf(route: Route, method: Method | undefined): CostClass {
  if (route.path === "/rpc/:method") return method?.cost ?? "read";
  if (route.path === "/v1/chat/completions") return "turn";
  if (REPORTS.has(route.path)) return "report";
  return route.method === "GET" ? "read" : "write";
}
