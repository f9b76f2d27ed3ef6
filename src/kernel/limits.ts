/**
 * Every bound of the product, each with its reason.
 * Owns: numbers. Refuses to know: who enforces them.
 */

const KIB = 1024;
const MIB = 1024 * KIB;

/** Bounds that hold for every deployment; the ones an operator may change live in config/options. */
export const LIMITS = {
  /** Frame size before `hello-ok`: what OpenClaw's own gateway accepts (PROTOCOL.md 2). */
  preAuthFrameBytes: 64 * KIB,
  /** Frame size after `hello-ok`, advertised as `policy.maxPayload`. */
  frameBytes: 25 * MIB,
  /** Bytes queued to one socket before it counts as a slow consumer; advertised as `policy.maxBufferedBytes`. */
  bufferedBytes: 50 * MIB,
  /** Queued bytes above which best-effort deltas are dropped: the next delta carries the whole text anyway. */
  deltaDropBytes: 1 * MIB,
  /** Time from upgrade to a finished `connect`, as OpenClaw's gateway. */
  handshakeMs: 15_000,
  /** Frames a client may send before `hello-ok`. */
  handshakeFrames: 15,
  /** Period of `tick` events, advertised as `policy.tickIntervalMs`. */
  tickMs: 30_000,
  /** Period of WebSocket pings; a peer silent for one period is dropped. */
  pingMs: 25_000,
  /** Nesting of any JSON a stranger sends: deeper input makes JSON.stringify overflow (SECURITY.md LAB 15). */
  jsonDepth: 64,
  /** Fragments of one WebSocket message. */
  frameFragments: 64,
  /** HTTP body, all routes but those that say otherwise. */
  bodyBytes: 2 * MIB,
  /** Requests being handled at once on one connection; more wait in the socket. */
  requestsInFlightPerConnection: 64,
  /** Session subscriptions of one connection. */
  subscriptionsPerConnection: 256,
  /** Coalescing window of chat deltas: one per window and run (PROTOCOL.md 7.1). */
  deltaMs: 75,
  /** Keep idempotency rows this long. */
  idempotencyMs: 7 * 24 * 3600 * 1000,
  /** Characters of a chat message. */
  messageChars: 1_000_000,
  /** Runs waiting behind an active one in the same session. */
  queuedRunsPerSession: 32,
  /** Sockets open at once for one tenant, and from one address before sign-in. */
  socketsPerTenant: 2_000,
  pendingSocketsPerAddress: 64,
  /** Agents, tokens and sessions a tenant may hold; each refusal names the limit. */
  agentsPerTenant: 200,
  tokensPerTenant: 1_000,
  sessionsPerTenant: 200_000,
  /** Runs a tenant may have active at once. */
  activeRunsPerTenant: 64,
  /** Rows any list returns at most. */
  listRows: 1_000,
  /** Open database handles kept per thread; each costs about 200 KiB (DEPENDENCIES.md Q2). */
  openDatabases: 32,
} as const;
