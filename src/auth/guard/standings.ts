/**
 * What credentials grant at this moment, for many callers of a tenant in a few queries. Owns: which credential rests on
 * what: a token on itself and whoever answers for it, a browser session on a membership, a device token on what it
 * continues. Refuses to know: secrets (whoever asks has checked them), caches.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { TenantId, UserId } from "../../kernel/ids.ts";
import type { Database } from "../../storage/database.ts";
import { earlier, type Principal, type ReadOnlyCause } from "../../tenancy/principal.ts";
import { allows, type Role, type Scope, standingScopes } from "../../tenancy/scopes.ts";
import { serviceOf, type Tenant } from "../../tenancy/tenant.ts";
import type { Tenants } from "../../tenancy/tenants.ts";
import { SESSION_IDLE_MS } from "../browser/browser-sessions.ts";
import type { DeviceSource } from "../devices.ts";
import type { BreakGlass } from "../operators/break-glass.ts";
import type { TokenGrant, Tokens } from "../tokens.ts";

/** What a credential grants now. */
export interface Standing {
  role: Role;
  displayName: string;
  scopes: ReadonlySet<Scope>;
  /** Agents it is limited to; null for all. */
  agents: ReadonlySet<string> | null;
  /** Addresses it may be used from; null for any. */
  addresses: readonly string[] | null;
  readOnly: ReadOnlyCause | null;
  /** When it ends unless its person is seen again. */
  endsAtMs: number | null;
  /** When it ends however often it is used. */
  expiresAtMs: number | null;
}

/**
 * What somebody asks for: `act` needs a credential that is good now; `run` is about work that was begun with one: it
 * goes on when a browser signs out, and ends with the person's place in the tenant, with a token or a device.
 */
export type StandingPurpose = "act" | "run";

/** Whose standing is asked for. */
export type Subject = Pick<Principal, "userId" | "credential">;

/** What standings are read from. */
export interface StandingDeps {
  control: Database;
  clock: Clock;
  tenants: Tenants;
  tokens: Tokens;
  breakGlass: BreakGlass;
}

interface SessionRow {
  id: string;
  user_id: string;
  auth_at_ms: number;
  last_seen_at_ms: number;
  expires_at_ms: number;
  revoked_at_ms: number | null;
}

interface MemberRow {
  user_id: string;
  role: string;
  display_name: string;
  valid_after_ms: number;
}

interface DeviceRow {
  id: string;
  user_id: string;
  source_kind: string;
  source_id: string;
}

interface PairingRow {
  id: string;
  user_id: string;
  holder_kind: string;
  holder_id: string;
}

/** What a subject rests on in the end. */
type Ground =
  | { kind: "token"; id: string }
  | { kind: "session"; id: string }
  | { kind: "guest"; id: string }
  | { kind: "member" };

/** Rows of one tenant, found for many subjects at once. */
interface Found {
  tokens: Map<string, TokenGrant>;
  sessions: Map<string, SessionRow>;
  members: Map<string, MemberRow>;
}

/** See the head of this file. */
export class Standings {
  private readonly deps: StandingDeps;

  constructor(deps: StandingDeps) {
    this.deps = deps;
  }

  /** What one subject's credential grants; undefined for nothing. */
  async find(
    tenantId: TenantId,
    subject: Subject,
    purpose: StandingPurpose = "act",
  ): Promise<Standing | undefined> {
    const [standing] = await this.list(tenantId, [subject], purpose);
    return standing;
  }

  /** What somebody holds by a token or a membership, whatever they show. */
  async ofGround(
    tenantId: TenantId,
    userId: UserId,
    ground: { kind: "token"; id: string } | { kind: "member" },
  ): Promise<Standing | undefined> {
    const tenant = await this.deps.tenants.findById(tenantId);
    if (tenant === undefined) return undefined;
    const found = await this.rowsOf(tenantId, [{ userId }], [ground]);
    return this.judge(tenant, { userId }, ground, found, "act");
  }

  /** The same for subjects of one tenant, in their order; bound the number, it is one look. */
  async list(
    tenantId: TenantId,
    subjects: readonly Subject[],
    purpose: StandingPurpose,
  ): Promise<(Standing | undefined)[]> {
    const tenant = await this.deps.tenants.findById(tenantId);
    if (tenant === undefined) return subjects.map(() => undefined);
    const grounds = await this.groundsOf(tenantId, subjects);
    const found = await this.rowsOf(tenantId, subjects, grounds);
    return Promise.all(
      subjects.map((subject, index) => this.judge(tenant, subject, grounds[index], found, purpose)),
    );
  }

  /** What each subject rests on; undefined for device tokens that are gone or were somebody else's. */
  private async groundsOf(tenantId: TenantId, subjects: readonly Subject[]): Promise<(Ground | undefined)[]> {
    const shown = subjects.filter(({ credential }) => credential.kind === "device_token");
    const devices = await this.byId<DeviceRow>(
      `SELECT id, user_id, source_kind, source_id FROM device_tokens WHERE tenant_id = ? AND revoked_at_ms IS NULL
        AND id IN (SELECT value FROM json_each(?))`,
      tenantId,
      shown.map(({ credential }) => credential.id),
    );
    const paired = [...devices.values()].filter((row) => row.source_kind === "pairing");
    const pairings = await this.byId<PairingRow>(
      `SELECT id, user_id, holder_kind, holder_id FROM device_pairings WHERE tenant_id = ?
        AND id IN (SELECT value FROM json_each(?))`,
      tenantId,
      paired.map((row) => row.source_id),
    );
    return subjects.map((subject) => groundOf(subject, devices, pairings));
  }

  private async rowsOf(
    tenantId: TenantId,
    subjects: readonly Pick<Subject, "userId">[],
    grounds: readonly (Ground | undefined)[],
  ): Promise<Found> {
    const idsOf = (isSession: boolean) =>
      grounds.flatMap((ground) =>
        ground !== undefined && ground.kind !== "member" && (ground.kind !== "token") === isSession
          ? [ground.id]
          : [],
      );
    const tokenIds = idsOf(false);
    const grants = tokenIds.length === 0 ? [] : await this.deps.tokens.listGrants(tenantId, tokenIds);
    const sessions = await this.byId<SessionRow>(
      `SELECT id, user_id, auth_at_ms, last_seen_at_ms, expires_at_ms, revoked_at_ms FROM browser_sessions
        WHERE id IN (SELECT value FROM json_each(?))`,
      null,
      idsOf(true),
    );
    const people = subjects.filter((_, at) => grounds[at] !== undefined && grounds[at].kind !== "token");
    const members = people.length === 0 ? [] : await this.members(tenantId, people);
    return {
      tokens: new Map(grants.map((grant) => [grant.tokenId, grant])),
      sessions,
      members: new Map(members.map((row) => [row.user_id, row])),
    };
  }

  private members(tenantId: TenantId, people: readonly Pick<Subject, "userId">[]): Promise<MemberRow[]> {
    return this.deps.control.list<MemberRow>(
      `SELECT m.user_id, m.role, m.valid_after_ms, u.display_name FROM members m JOIN users u ON u.id = m.user_id
        WHERE m.tenant_id = ? AND m.user_id IN (SELECT value FROM json_each(?))`,
      [tenantId, JSON.stringify([...new Set(people.map(({ userId }) => userId))])],
    );
  }

  private async byId<Row extends { id: string }>(
    sql: string,
    tenantId: TenantId | null,
    ids: readonly string[],
  ): Promise<Map<string, Row>> {
    if (ids.length === 0) return new Map();
    const params = [...(tenantId === null ? [] : [tenantId]), JSON.stringify([...new Set(ids)])];
    const rows = await this.deps.control.list<Row>(sql, params);
    return new Map(rows.map((row) => [row.id, row]));
  }

  private async judge(
    tenant: Tenant,
    subject: Pick<Subject, "userId">,
    ground: Ground | undefined,
    found: Found,
    purpose: StandingPurpose,
  ): Promise<Standing | undefined> {
    if (ground === undefined) return undefined;
    if (ground.kind === "token") {
      const grant = found.tokens.get(ground.id);
      return grant?.userId === subject.userId ? this.within(tenant, grant, grant.expiresAtMs) : undefined;
    }
    const member = found.members.get(subject.userId);
    if (ground.kind === "guest") {
      const session = found.sessions.get(ground.id);
      return member === undefined ? this.guest(tenant, subject, session) : undefined;
    }
    if (member === undefined) return undefined;
    const whole = { ...UNLIMITED, role: member.role as Role, displayName: member.display_name };
    if (ground.kind === "member") return this.within(tenant, { ...whole, expiresAtMs: null }, null);
    const session = found.sessions.get(ground.id);
    if (session?.user_id !== subject.userId) return undefined;
    // SECURITY: whoever was put out or signed out here proves anew who they are, however long the session lasts.
    if (session.auth_at_ms < member.valid_after_ms) return undefined;
    if (purpose === "act" && !this.isOpen(session)) return undefined;
    return this.within(tenant, { ...whole, expiresAtMs: session.expires_at_ms }, endOf(session));
  }

  /** SECURITY: an operator who is no member reads, and only while a grant of the tenant lasts. */
  private async guest(
    tenant: Tenant,
    subject: Pick<Subject, "userId">,
    session: SessionRow | undefined,
  ): Promise<Standing | undefined> {
    if (session?.user_id !== subject.userId || !this.isOpen(session)) return undefined;
    const grant = await this.deps.breakGlass.findActive(tenant.id, subject.userId);
    if (grant === undefined) return undefined;
    const expiresAtMs = earlier(grant.untilMs, session.expires_at_ms);
    const held = { ...UNLIMITED, role: "readonly" as const, displayName: grant.operatorName, expiresAtMs };
    const standing = this.within(tenant, held, earlier(grant.untilMs, endOf(session)));
    return standing === undefined ? undefined : { ...standing, readOnly: "break_glass" };
  }

  private isOpen(session: SessionRow): boolean {
    return session.revoked_at_ms === null && endOf(session) > this.deps.clock.nowMs();
  }

  /** What is left of it in the tenant as it serves now. */
  private within(
    tenant: Tenant,
    held: Omit<Standing, "scopes" | "endsAtMs" | "readOnly"> & { scopes: ReadonlySet<Scope> | null },
    endsAtMs: number | null,
  ): Standing | undefined {
    const nowMs = this.deps.clock.nowMs();
    const service = serviceOf(tenant, nowMs);
    if (service === "closed") return undefined;
    const { role, displayName, agents, addresses, expiresAtMs } = held;
    const served = standingScopes(role, tenant, nowMs);
    const scopes = new Set(served.filter((scope) => held.scopes === null || allows(held.scopes, scope)));
    const names = { role, displayName, scopes, agents, addresses };
    if (service === "open") return { ...names, readOnly: null, endsAtMs, expiresAtMs };
    const graceMs = tenant.readOnlyUntilMs;
    const ends = { endsAtMs: earlier(endsAtMs, graceMs), expiresAtMs: earlier(expiresAtMs, graceMs) };
    return { ...names, readOnly: "suspended", ...ends };
  }
}

/** People are limited by their role alone. */
const UNLIMITED = { scopes: null, agents: null, addresses: null };

/** When a session ends if it is not seen again. */
function endOf(session: SessionRow): number {
  return Math.min(session.expires_at_ms, session.last_seen_at_ms + SESSION_IDLE_MS);
}

function groundOf(
  { userId, credential }: Subject,
  devices: ReadonlyMap<string, DeviceRow>,
  pairings: ReadonlyMap<string, PairingRow>,
): Ground | undefined {
  switch (credential.kind) {
    case "api_token":
      return { kind: "token", id: credential.id };
    case "browser_session":
    case "socket_token":
      // Work of versions that did not keep the session: its author's place in the tenant is what is left to go by.
      return credential.id === userId ? { kind: "member" } : { kind: "session", id: credential.id };
    case "break_glass":
      return { kind: "guest", id: credential.id };
    case "device_token": {
      const device = devices.get(credential.id);
      if (device?.user_id !== userId) return undefined;
      return sourceGround(device, userId, pairings);
    }
    default:
      return credential.kind satisfies never;
  }
}

function sourceGround(
  { source_kind, source_id }: DeviceRow,
  userId: UserId,
  pairings: ReadonlyMap<string, PairingRow>,
): Ground | undefined {
  const kind = source_kind as DeviceSource["kind"];
  if (kind === "api_token") return { kind: "token", id: source_id };
  if (kind === "browser_session") return { kind: "session", id: source_id };
  const pairing = pairings.get(source_id);
  if (pairing?.user_id !== userId) return undefined;
  return pairing.holder_kind === "api_token"
    ? { kind: "token", id: pairing.holder_id }
    : pairing.holder_id === userId
      ? { kind: "member" }
      : undefined;
}
