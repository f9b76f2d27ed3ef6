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
  /** Frames held back for one socket while its caller's authority is looked at again: far longer than a look takes. */
  heldFrames: 2_000,
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
  /** Values in it: about 15 ms of parsing at worst. Large messages are large texts, and those are few values. */
  jsonValues: 100_000,
  /** The same before it is known who sends it; sign-ins, handshakes and reports of payments have tens. */
  jsonValuesOfStrangers: 10_000,
  /** Characters of it outside of texts, and escapes in them where it is longer than that: both cost time as well. */
  jsonLooseChars: 4 * MIB,
  jsonEscapes: 500_000,
  /** Fragments of one WebSocket message. */
  frameFragments: 64,
  /** HTTP body, all routes but those that say otherwise, and those anybody may call: forms, sign-ins, reports of payments. */
  bodyBytes: 2 * MIB,
  strangerBodyBytes: 256 * KIB,
  /** Bytes that a call may bring as one call; each further so many count as one more, and what is larger takes turns. */
  callBytes: 64 * KIB,
  /** Frames above that are counted before they are parsed; parsing less costs no more than counting. */
  parsedFirstBytes: 8 * KIB,
  /** Large HTTP bodies of one tenant that are read at once, and of one address; more wait unread. */
  bodiesBytes: 16 * MIB,
  strangerBodiesBytes: 1 * MIB,
  /** Time in which a refusal is read, before a line is cut that brings a body nobody reads. */
  lingerMs: 1_000,
  /** Calls of one signed-in person outside of tenants, in a minute. */
  personCallsPerMinute: 3_000,
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
  /** Live tokens that act for one person or service account in one tenant. */
  tokensPerPerson: 50,
  /** Members of a tenant, service accounts included: what a list shows. */
  membersPerTenant: 1_000,
  serviceAccountsPerTenant: 100,
  /** Invitations of a tenant that can still be accepted, and made in a day: who invites more wants something else. */
  openInvitationsPerTenant: 300,
  invitationsPerTenantAndDay: 500,
  invitationsPerInviterAndDay: 100,
  /** Open invitations for one address or identity: a second for a lost link, not a flood. */
  openInvitationsPerRecipient: 3,
  /** People waiting at a tenant's door, and how often one person may ask anywhere in a day. */
  joinRequestsPerTenant: 200,
  joinRequestsPerPersonAndDay: 10,
  /** Tenants one person may own by having made them alone; operators may make more. */
  tenantsPerPerson: 20,
  /** Slugs a tenant may have had: each stays taken for ever. */
  oldSlugsPerTenant: 20,
  /** Devices of strangers that may wait for a decision, in one tenant and of one address (IPv6: its /64). */
  pairingRequestsPerTenant: 64,
  pairingRequestsPerAddress: 8,
  /** Devices that were let in without a credential, and setup codes that can be used at once. */
  pairedDevicesPerTenant: 1_000,
  setupCodesPerTenant: 32,
  sessionsPerTenant: 200_000,
  /** Runs a tenant may have active at once. */
  activeRunsPerTenant: 64,
  /** Rows any list returns at most. */
  listRows: 1_000,
  /** Open database handles kept per thread; each costs about 200 KiB (DEPENDENCIES.md Q2). */
  openDatabases: 32,
  /** Time that one report over very many rows may take, and how many of one database may wait for their turn. */
  reportMs: 15_000,
  reportsWaiting: 16,
} as const;
