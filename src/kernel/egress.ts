/**
 * The only way out by HTTP. Owns: where a request may go, redirects, bounds on time and size.
 * Refuses to know: who asks, what the answer means.
 *
 * An address is judged where the connection is made: names are resolved once, every answer is judged, and the socket
 * goes to the judged address, so a name that changes its mind between check and use changes nothing. No proxy is used,
 * whatever the environment says.
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { AddressList, classifyAddress } from "./address.ts";
import { boundedBody } from "./bounded-body.ts";
import { type Clock, systemClock } from "./clock.ts";
import { Deadlines } from "./deadlines.ts";
import { AppError } from "./errors.ts";
import type { Log } from "./log.ts";

type Undici = typeof import("undici");
type Dispatcher = import("undici").Agent;

/** What a caller of `fetchFor` may reach and how much it may take. */
export interface EgressPolicy {
  /**
   * Whether the operator's list of private hosts counts. True for model endpoints (the operator's and a tenant's:
   * a private host is reachable only when the operator listed it); false for anything a model or a page chooses.
   */
  allowPrivate: boolean;
  /** Hosts the operator wrote into the configuration as endpoints; they are vouched for as if listed. */
  operatorHosts?: readonly string[];
  /** Redirects to follow; 5 unless said, 0 for models. */
  redirects?: number;
  /** Bytes of the decoded answer; 8 MiB unless said. */
  maxBytes?: number;
  /** Time to a connection, 30 s unless said. */
  connectMs?: number;
  /** Longest silence before or within an answer, 45 s unless said. */
  idleMs?: number;
  /** Time for everything, 10 min unless said. */
  totalMs?: number;
}

/** Why a request did not go through, in `AppError.details.reason`. */
export type EgressReason = "refused" | "unreachable" | "timeout" | "too_large" | "redirects";

/** What the guard needs; `resolve` is replaced in tests. */
export interface EgressOptions {
  /** Hosts, addresses or CIDR ranges that the operator allows besides the public internet. */
  allowPrivate: readonly string[];
  log: Log;
  clock?: Clock;
  /** All addresses of a name. */
  resolve?: (host: string) => Promise<readonly string[]>;
}

const MAX_ENCODINGS = 3;
const NEVER_NAMES = new Set([
  "metadata",
  "metadata.google.internal",
  "instance-data",
  "metadata.tencentyun.com",
]);
/** Headers that may follow a redirect to another origin. */
const HARMLESS_HEADERS = new Set(["accept", "accept-language", "user-agent", "content-type"]);

/** See the head of this file. */
export class Egress {
  private readonly options: EgressOptions;
  private readonly clock: Clock;
  private readonly listed: AddressList;
  /** One pool of connections per set of rights, so that a socket opened with more rights is never lent to less. */
  private readonly pools = new Map<string, Promise<{ undici: Undici; agent: Dispatcher }>>();

  constructor(options: EgressOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.listed = new AddressList(options.allowPrivate);
  }

  /** A `fetch` that obeys the policy. Throws `egress_refused` with `details.reason`; an abort throws the signal's reason. */
  fetchFor(policy: EgressPolicy): typeof fetch {
    const guarded = (input: string | URL | Request, init: RequestInit = {}) => {
      if (typeof input !== "string" && !(input instanceof URL)) {
        return Promise.reject(refusal("refused", "Only an address can be fetched."));
      }
      return this.follow(policy, String(input), init);
    };
    return guarded as typeof fetch;
  }

  /** Whether the operator vouches for this host, so that keys may go there without TLS. */
  isOperatorHost(host: string): boolean {
    const name = bareHost(host);
    return this.listed.hasName(name) || this.listed.hasAddress(name);
  }

  /** Close idle connections. */
  async close(): Promise<void> {
    for (const pool of this.pools.values()) await (await pool).agent.destroy();
    this.pools.clear();
  }

  private async follow(policy: EgressPolicy, address: string, init: RequestInit): Promise<Response> {
    const { signal, ...rest } = init;
    const watch = new Deadlines(this.clock, {
      idleMs: policy.idleMs ?? 45_000,
      totalMs: policy.totalMs ?? 600_000,
      outer: signal ?? undefined,
      expired: () => refusal("timeout", "The server took too long."),
    });
    try {
      let url = readUrl(address);
      let request: RequestInit = { ...rest, headers: withAgentName(init.headers) };
      const redirects = policy.redirects ?? 5;
      for (let hop = 0; ; hop++) {
        const response = await this.send(policy, url, request, watch);
        const target = response.headers.get("location");
        if (!isRedirect(response.status) || target === null) return this.deliver(policy, response, watch);
        await response.body?.cancel();
        if (hop >= redirects) throw refusal("redirects", "The server redirects where we do not follow.");
        const next = readUrl(new URL(target, url).href);
        if (url.protocol === "https:" && next.protocol === "http:") {
          throw refusal("refused", "The server redirects from https to http.");
        }
        request = redirected(request, response.status, url.origin !== next.origin);
        url = next;
      }
    } catch (thrown) {
      watch.stop();
      throw explain(watch, thrown);
    }
  }

  private async send(policy: EgressPolicy, url: URL, init: RequestInit, watch: Deadlines): Promise<Response> {
    this.checkHost(policy, bareHost(url.hostname));
    const { undici, agent } = await this.pool(policy);
    const response = await undici.fetch(url, {
      ...(init as object),
      redirect: "manual",
      dispatcher: agent,
      signal: watch.signal,
    });
    watch.touch();
    return response as unknown as Response;
  }

  private async deliver(policy: EgressPolicy, response: Response, watch: Deadlines): Promise<Response> {
    const encodings = (response.headers.get("content-encoding") ?? "").split(",").length;
    if (encodings > MAX_ENCODINGS) {
      await response.body?.cancel();
      throw refusal("too_large", "The answer is packed too many times.");
    }
    if (response.body === null) {
      watch.stop();
      return response;
    }
    const body = boundedBody(response.body, {
      maxBytes: policy.maxBytes ?? 8 * 1024 * 1024,
      touch: () => watch.touch(),
      stop: () => watch.stop(),
      explain: (thrown) => explain(watch, thrown),
      tooLarge: () => refusal("too_large", "The answer is too large."),
    });
    return new Response(body, {
      status: response.status,
      statusText: response.statusText,
      headers: [...response.headers],
    });
  }

  private checkHost(policy: EgressPolicy, host: string): void {
    if (NEVER_NAMES.has(host)) throw unreachable(host);
    if (isIP(host) !== 0) this.checkAddress(policy, host, host);
  }

  private checkAddress(policy: EgressPolicy, host: string, address: string): void {
    const verdict = classifyAddress(address);
    if (verdict === "global") return;
    if (verdict === "private" && policy.allowPrivate) {
      const vouched = new AddressList(policy.operatorHosts ?? []);
      if ([this.listed, vouched].some((list) => list.hasName(host) || list.hasAddress(address))) return;
    }
    this.options.log.info({ host, address, verdict }, "outbound request refused");
    throw unreachable(host);
  }

  private pool(policy: EgressPolicy): Promise<{ undici: Undici; agent: Dispatcher }> {
    const rights = `${policy.allowPrivate} ${policy.connectMs ?? ""} ${(policy.operatorHosts ?? []).join(" ")}`;
    let pool = this.pools.get(rights);
    if (pool === undefined) {
      pool = this.makePool(policy);
      this.pools.set(rights, pool);
    }
    return pool;
  }

  private async makePool(policy: EgressPolicy): Promise<{ undici: Undici; agent: Dispatcher }> {
    // Loaded on first use: an idle process should stay small. Agent and fetch must come from the same copy.
    const undici = await import("undici");
    const connect = undici.buildConnector({
      timeout: policy.connectMs ?? 30_000,
      allowH2: false,
      lookup: (host, options, done) => {
        this.judge(policy, host).then(
          (found) => (options.all ? done(null, found) : done(null, found[0]!.address, found[0]!.family)),
          (error: Error) => done(error as NodeJS.ErrnoException, []),
        );
      },
    });
    const agent = new undici.Agent({
      // SECURITY: `lookup` is not called for literal addresses, so they are judged here, where every socket begins.
      connect: (options, done) => {
        try {
          this.checkHost(policy, bareHost(options.hostname));
        } catch (thrown) {
          done(thrown as Error, null);
          return;
        }
        connect(options, done);
      },
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: 10_000,
    });
    return { undici, agent };
  }

  /** Resolve a name and judge every answer; one bad answer condemns the name. */
  private async judge(policy: EgressPolicy, host: string): Promise<{ address: string; family: number }[]> {
    const resolve = this.options.resolve ?? systemResolve;
    const addresses = await resolve(host).catch(() => {
      throw unreachable(host);
    });
    if (addresses.length === 0) throw unreachable(host);
    for (const address of addresses) this.checkAddress(policy, bareHost(host), address);
    return addresses.map((address) => ({ address, family: isIP(address) }));
  }
}

/** Turn what was thrown into what the caller should see. */
function explain(watch: Deadlines, thrown: unknown): unknown {
  if (watch.signal.aborted) return watch.signal.reason;
  for (let cause = thrown; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof AppError) return cause;
  }
  return refusal("unreachable", "The server could not be reached.", thrown);
}

function refusal(reason: EgressReason, message: string, cause?: unknown): AppError {
  return new AppError("egress_refused", message, { details: { reason }, cause });
}

/** SECURITY: the same words whether a name is unknown or leads inside, so that answers do not map our network. */
function unreachable(host: string): AppError {
  return refusal("refused", `"${host.slice(0, 253)}" does not lead to an address that may be reached.`);
}

function readUrl(text: string): URL {
  // SECURITY: parsers disagree about these characters; nobody needs them in an address.
  if (/[\u0000-\u0020\u007f\\]/.test(text) || text.length > 8_192) {
    throw refusal("refused", "The address is malformed.");
  }
  const url = URL.parse(text);
  if (url === null || url.hostname === "") throw refusal("refused", "The address is malformed.");
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw refusal("refused", "Only http and https addresses can be fetched.");
  }
  if (url.username !== "" || url.password !== "") {
    throw refusal("refused", "An address must not carry a user name or password.");
  }
  return url;
}

function bareHost(host: string): string {
  return host
    .replace(/^\[|\]$/g, "")
    .replace(/\.$/, "")
    .toLowerCase();
}

function isRedirect(status: number): boolean {
  return [301, 302, 303, 307, 308].includes(status);
}

function redirected(init: RequestInit, status: number, isForeign: boolean): RequestInit {
  const headers = new Headers(init.headers);
  const becomesGet = status === 303 || (status < 303 && init.method?.toUpperCase() === "POST");
  for (const name of [...headers.keys()]) {
    if (isForeign && !HARMLESS_HEADERS.has(name)) headers.delete(name);
    if (becomesGet && name.startsWith("content-")) headers.delete(name);
  }
  if (!becomesGet) return { ...init, headers };
  return { ...init, headers, method: "GET", body: null };
}

function withAgentName(given: RequestInit["headers"]): Headers {
  const headers = new Headers(given);
  if (!headers.has("user-agent")) headers.set("user-agent", "creel");
  return headers;
}

async function systemResolve(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true, verbatim: true })).map((found) => found.address);
}
