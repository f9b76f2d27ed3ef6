/**
 * What to put where: one's own things, the twin's, things nobody has, and things that are malformed.
 * Owns: the values by the name of the parameter. A name that is not listed is tried with everything the twin has.
 */
import { exampleOf, type JsonSchema, type Leaf } from "./schema-walk.ts";
import { NOBODY, type OnlyHere, SHARED, type Twin } from "./twins.ts";

type Kind = keyof OnlyHere;

/** Kinds by `<method or route> <label>`, then by label, then by the nearest property name. */
const KIND: Readonly<Record<string, Kind>> = {
  key: "key",
  sessionKey: "key",
  keys: "key",
  "users.prefs.get keys[]": "preference",
  entries: "preference",
  expectedEntries: "preference",
  sessionId: "sessionId",
  runId: "runId",
  inputRunIds: "runId",
  taskId: "runId",
  idempotencyKey: "runId",
  agentId: "agentId",
  messageId: "messageId",
  cursor: "cursor",
  "agents.files.get name": "file",
  "agents.files.set name": "file",
  "agents.create name": "agentId",
  path: "path",
  label: "label",
  search: "text",
  query: "text",
  provider: "provider",
  model: "model",
  userId: "memberId",
  // Any other text could be a slug that is free, and a tenant that is renamed is hard to find again.
  "PATCH /api/tenant slug": "key",
  deviceId: "deviceId",
  requestId: "requestId",
  setupId: "setupId",
};

/** Valid texts where neither the kind nor "x" will do. */
const OWN: Readonly<Record<string, unknown>> = {
  "agents.create name": () => `Fresh ${counter()}`,
  "agents.delete agentId": SHARED.spareAgentId,
  "agents.update name": "Renamed",
  "sessions.delete key": SHARED.spareKey,
  "sessions.reset key": SHARED.spareKey,
  "sessions.create key": SHARED.spareKey,
  "tasks.get taskId": SHARED.runId,
  "PUT /api/providers/:id baseUrl": "https://own.example/v1",
  "PUT /api/sign-in-provider issuer": "https://own.example",
  "PUT /api/sign-in-provider clientSecret": "own-client-secret-0123456789",
  "POST /api/tokens name": "Fresh token",
  userId: (twin: Twin) => twin.only.memberId,
  "PATCH /api/tenant slug": (twin: Twin) => twin.slug,
  "POST /api/invitations email": "own@own.example",
  "PATCH /api/tenant timeZone": "Asia/Shanghai",
  "device.token.rotate role": "operator",
  "device.token.rotate scopes[]": "operator.read",
  "device.token.revoke role": "operator",
  "device.pair.setupCode publicUrl": "https://own.example",
  deviceId: SHARED.deviceId,
  requestId: SHARED.requestId,
  setupId: SHARED.setupId,
  "POST /v1/chat/completions model": "openclaw",
  // A key may carry one message only; every own call is a new message.
  idempotencyKey: () => `own-${counter()}`,
  messageId: (twin: Twin) => twin.only.messageId,
  cursor: (twin: Twin) => twin.only.cursor,
  sessionId: (twin: Twin) => twin.only.sessionId,
  label: () => `own label ${counter()}`,
  file: SHARED.file,
  path: SHARED.path,
  startDate: "2026-01-01",
  endDate: "2026-01-02",
  timeZone: "Asia/Shanghai",
  utcOffset: "UTC+8",
  model: SHARED.model,
  provider: SHARED.provider,
  avatar: "A",
  emoji: "A",
  tools: "memory_search",
  message: "hello",
  content: "aGVsbG8=",
  key: SHARED.key,
  runId: SHARED.runId,
  agentId: SHARED.agentId,
  preference: SHARED.preference,
  text: "cnry",
};

let count = 0;
function counter(): number {
  return ++count;
}

function lookUp<T>(table: Readonly<Record<string, T>>, where: string, leaf: Leaf): T | undefined {
  return table[`${where} ${leaf.label}`] ?? table[leaf.label] ?? table[leaf.name];
}

/** What kind of thing a leaf names; undefined for a name nobody listed. */
export function kindOf(where: string, leaf: Leaf): Kind | undefined {
  return lookUp(KIND, where, leaf);
}

/** A value of the caller's own that should be accepted. */
export function ownValue(where: string, leaf: Leaf, twin: Twin): unknown {
  const kind = kindOf(where, leaf);
  const found = lookUp(OWN, where, leaf) ?? (kind === undefined ? undefined : OWN[kind]) ?? "x";
  return typeof found === "function" ? (found as (of: Twin) => unknown)(twin) : found;
}

/** The same thing of the twin and of nobody: what is answered to either must be the same. */
export interface ForeignPair {
  foreign: string;
  absent: string;
}

/** Pairs to try at a leaf: of its kind, or of every kind when its name says nothing. */
export function foreignPairs(where: string, leaf: Leaf, twin: Twin): ForeignPair[] {
  const kind = kindOf(where, leaf);
  const kinds = kind === undefined ? (Object.keys(twin.only) as Kind[]) : [kind];
  return kinds.map((one) => ({
    foreign: twin.only[one],
    absent: absentLike(one, twin.only[one], twin.slug),
  }));
}

/** Of the same form and length as what the twin has, but nobody's. */
function absentLike(kind: Kind, text: string, slug: string): string {
  if (kind === "cursor") {
    const inner = Buffer.from(text, "base64url").toString("utf8");
    return Buffer.from(inner.replace(/^[0-9a-f]{8}/, "00000000")).toString("base64url");
  }
  if (/^[0-9a-f]{8}-[0-9a-f]{4}-/.test(text)) return text.replace(/^[0-9a-f]{8}/, "00000000");
  return text.replace(slug, NOBODY);
}

/** Texts that break things. Every one is tried at every text leaf by the socket. */
export const MALFORMED_TEXTS: readonly unknown[] = [
  "",
  "../../../../etc/passwd",
  "a\u0000b",
  "x".repeat(10_240),
  "__proto__",
  "constructor",
  "\u202e\u200bｍａｉｎ\ud83d\ude00",
  "\ud800",
  "%2e%2e%2fmain",
  "agent:*",
  "' OR '1'='1\" --",
  7,
  null,
  {},
  [["x"]],
  { toString: "x", length: 1 },
];

/** A selection of them, for the second transport. */
export const SOME_MALFORMED: readonly unknown[] = ["../../../../etc/passwd", "a\u0000b", "__proto__", 7];

/** Numbers that break things. */
export const MALFORMED_NUMBERS: readonly unknown[] = [
  -1,
  0,
  1.5,
  2 ** 31,
  Number.MAX_SAFE_INTEGER,
  2 ** 53,
  1e300,
  "1",
  null,
  [],
];

/** Params that a method needs beyond what its schema says. */
const ALSO: Readonly<Record<string, Record<string, unknown>>> = {
  "PUT /api/sign-in-provider": { clientSecret: "own-client-secret-0123456789" },
  "sessions.resolve": { key: SHARED.key },
  "sessions.abort": { key: SHARED.key },
  "PUT /api/providers/:id": { models: [{ id: "m" }] },
  "POST /api/service-accounts": { role: "member" },
  // The tenant's one owner stays the only one: whoever else were would let them go.
  "PATCH /api/members/:userId": { role: "member" },
  "POST /api/join-requests/:id/approve": { role: "member" },
  "POST /api/top-ups": { returnTo: "/" },
  "PUT /api/usage-export": { url: "https://own.example/usage", cursor: 0 },
};

/** Params that should be accepted. */
export function baseOf(where: string, schema: JsonSchema, twin: Twin): unknown {
  const example = exampleOf(schema, (leaf) => ownValue(where, leaf, twin));
  const also = ALSO[where];
  return also === undefined ? example : { ...(example as Record<string, unknown>), ...also };
}
