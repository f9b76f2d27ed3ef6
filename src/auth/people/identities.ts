/**
 * The ways in of people, in control.db. Owns: that one (realm, issuer, subject) is one person for good, linking and
 * unlinking. Refuses to know: protocols, tokens, sessions' secrets.
 *
 * SECURITY: nobody is ever found by address, name or an upstream id. Those are kept to be shown; a verified address may
 * suggest that somebody has another account, and does nothing else.
 */
import { auditRecord, auditStatement, PLATFORM } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { newId, type UserId } from "../../kernel/ids.ts";
import type { Database, SqlValue, Statement } from "../../storage/database.ts";
import { type Actor, SYSTEM } from "../../tenancy/actor.ts";
import { DEPLOYMENT, emailKey, type Identity, type IdentityFacts, type Realm } from "./identity.ts";

/** Ways in that one person may have. */
export const IDENTITIES_PER_USER = 20;
/** People that a tenant's own provider may bring; it can name as many as it likes. */
const IDENTITIES_PER_TENANT = 10_000;
const SUGGESTIONS = 5;

/** Where an identity comes from. */
export interface IdentitySource {
  realm: Realm;
  issuer: string;
  /** Id of the provider in the configuration, or the binding of a tenant's own. */
  provider: string;
}

interface IdentityRow {
  id: string;
  user_id: string;
  realm: string;
  issuer: string;
  subject: string;
  provider: string;
  upstream: string | null;
  display_name: string | null;
  email: string | null;
  email_verified: number;
  linked_at_ms: number;
  last_used_at_ms: number | null;
}

/** See the head of this file. */
export class Identities {
  private readonly control: Database;
  private readonly clock: Clock;

  constructor(control: Database, clock: Clock) {
    this.control = control;
    this.clock = clock;
  }

  /** The identity with exactly this issuer and subject; of the deployment's providers unless a tenant is named. */
  async findBySubject(
    issuer: string,
    subject: string,
    realm: Realm = DEPLOYMENT,
  ): Promise<Identity | undefined> {
    const row = await this.control.find<IdentityRow>(
      "SELECT * FROM identities WHERE realm = ? AND issuer = ? AND subject = ?",
      [realm, issuer, subject],
    );
    return row === undefined ? undefined : toIdentity(row);
  }

  /** The realm a person belongs to: the deployment, or the one tenant for whose provider's people they exist. */
  async realmOf(userId: UserId): Promise<Realm> {
    const row = await this.control.find<{ only_tenant_id: string | null }>(
      "SELECT only_tenant_id FROM users WHERE id = ?",
      [userId],
    );
    return (row?.only_tenant_id ?? DEPLOYMENT) as Realm;
  }

  /** Makes a person for an identity that nobody has yet; stands before `addStatements`. */
  personStatement(userId: UserId, displayName: string, realm: Realm): Statement {
    return {
      sql: "INSERT INTO users (id, display_name, language, created_at_ms, only_tenant_id) VALUES (?, ?, NULL, ?, ?)",
      params: [userId, displayName, this.clock.nowMs(), realm === DEPLOYMENT ? null : realm],
      expect: 1,
    };
  }

  /** All ways in of a person, oldest first. */
  async listOfUser(userId: UserId): Promise<Identity[]> {
    const rows = await this.control.list<IdentityRow>(
      "SELECT * FROM identities WHERE user_id = ? ORDER BY linked_at_ms, id LIMIT ?",
      [userId, IDENTITIES_PER_USER],
    );
    return rows.map(toIdentity);
  }

  /** Whether the deployment's provider with this id knows the person as `subject`. */
  async isKnownAs(userId: UserId, provider: string, subject: string): Promise<boolean> {
    const row = await this.control.find(
      "SELECT 1 FROM identities WHERE user_id = ? AND realm = '' AND provider = ? AND subject = ?",
      [userId, provider, subject],
    );
    return row !== undefined;
  }

  /** Whether a provider trusted with addresses calls this one the person's. Compared by `emailKey`. */
  async hasVerifiedEmail(userId: UserId, address: string): Promise<boolean> {
    const key = emailKey(address);
    if (key === null) return false;
    const row = await this.control.find(
      "SELECT 1 FROM identities WHERE user_id = ? AND realm = '' AND email_verified = 1 AND email_key = ?",
      [userId, key],
    );
    return row !== undefined;
  }

  /** Ways in of other people that show a verified address of this person; a hint to sign in there, and no more. */
  async listSuggestions(userId: UserId): Promise<{ provider: string; email: string }[]> {
    return this.control.list<{ provider: string; email: string }>(
      `SELECT DISTINCT other.provider, mine.email FROM identities mine
        JOIN identities other ON other.email_key = mine.email_key AND other.email_verified = 1 AND other.realm = ''
        WHERE mine.user_id = ? AND mine.realm = '' AND mine.email_verified = 1 AND other.user_id <> mine.user_id
        ORDER BY other.provider LIMIT ?`,
      [userId, SUGGESTIONS],
    );
  }

  /** Statements that add a way in; they refuse when it is taken, or of another realm than the person. */
  addStatements(id: string, userId: UserId, source: IdentitySource, facts: IdentityFacts): Statement[] {
    const nowMs = this.clock.nowMs();
    const { realm, issuer, provider } = source;
    return [
      {
        sql: `INSERT INTO identities (id, user_id, realm, issuer, subject, provider, upstream, display_name, email,
            email_key, email_verified, linked_at_ms, last_used_at_ms)
          SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
            WHERE (SELECT count(*) FROM identities WHERE user_id = ?) < ?
              AND (? = '' OR (SELECT count(*) FROM identities WHERE realm = ?) < ?)
          ON CONFLICT DO NOTHING`,
        params: [
          ...[id, userId, realm, issuer, facts.subject, provider],
          ...shownParams(facts),
          ...[nowMs, nowMs, userId, IDENTITIES_PER_USER, realm, realm, IDENTITIES_PER_TENANT],
        ],
        expect: 1,
      },
      ...this.externalStatements(id, facts),
    ];
  }

  /** Statements that note a use and what was said of the person this time; they refuse when the way in is gone. */
  seenStatements(id: string, provider: string, facts: IdentityFacts): Statement[] {
    return [
      {
        sql: `UPDATE identities SET provider = ?, upstream = ?, display_name = ?, email = ?, email_key = ?,
            email_verified = ?, last_used_at_ms = ? WHERE id = ?`,
        params: [provider, ...shownParams(facts), this.clock.nowMs(), id],
        expect: 1,
      },
      ...this.externalStatements(id, facts),
    ];
  }

  /**
   * Give a person one more way in, together with `also`. The answer says whether it is theirs now: it is not when it
   * is somebody else's already, when they have too many, or when `also` refuses.
   */
  async link(
    userId: UserId,
    source: IdentitySource,
    facts: IdentityFacts,
    by: Actor,
    also: readonly Statement[],
  ): Promise<boolean> {
    const id = newId();
    const record = auditRecord(
      this.clock.nowMs(),
      by,
      "identity.linked",
      { kind: "identity", id, name: source.provider },
      { userId, upstream: facts.upstream },
    );
    const outcome = await this.control.write({
      statements: [
        ...this.addStatements(id, userId, source, facts),
        ...also,
        auditStatement(PLATFORM, record),
      ],
    });
    return outcome.committed;
  }

  /**
   * Take a way in away, and end the browsers that used it, except the one at hand. Throws `not_found`, and
   * `last_way_in` when the person could not come back.
   * @param usable ids of providers that can be used now; a way in through any other is none
   */
  async unlink(
    userId: UserId,
    id: string,
    options: { usable: readonly string[]; keptSessionId: string; by?: Actor },
  ): Promise<void> {
    const nowMs = this.clock.nowMs();
    const target = { kind: "identity", id };
    const record = auditRecord(nowMs, options.by ?? SYSTEM, "identity.unlinked", target, { userId });
    const outcome = await this.control.write({
      statements: [
        {
          // SECURITY: decided inside the statement: two tabs that take away one each must leave one.
          sql: `DELETE FROM identities WHERE id = ? AND user_id = ? AND (
              EXISTS (SELECT 1 FROM operators WHERE user_id = ?)
              OR EXISTS (SELECT 1 FROM identities other WHERE other.user_id = ? AND other.id <> ?
                AND other.provider IN (SELECT value FROM json_each(?))))`,
          params: [id, userId, userId, userId, id, JSON.stringify(options.usable)],
          expect: 1,
        },
        {
          sql: `UPDATE browser_sessions SET revoked_at_ms = ?
            WHERE identity_id = ? AND id <> ? AND revoked_at_ms IS NULL`,
          params: [nowMs, id, options.keptSessionId],
        },
        auditStatement(PLATFORM, record),
      ],
    });
    if (outcome.committed) return;
    const isTheirs = (await this.listOfUser(userId)).some((one) => one.id === id);
    if (!isTheirs) throw new AppError("not_found", "There is no such way to sign in.");
    throw new AppError(
      "last_way_in",
      "This is the only way you can sign in. Link another one before you remove it.",
    );
  }

  private externalStatements(id: string, facts: IdentityFacts): Statement[] {
    const nowMs = this.clock.nowMs();
    return facts.externalIds.map(({ kind, value }) => ({
      sql: `INSERT INTO identity_external_ids (identity_id, kind, value, first_seen_at_ms, last_seen_at_ms)
        VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET last_seen_at_ms = excluded.last_seen_at_ms`,
      params: [id, kind, value, nowMs, nowMs],
    }));
  }
}

function shownParams(facts: IdentityFacts): SqlValue[] {
  const { upstream, displayName, email, emailVerified } = facts;
  return [upstream, displayName, email, email === null ? null : emailKey(email), emailVerified ? 1 : 0];
}

function toIdentity(row: IdentityRow): Identity {
  return {
    id: row.id,
    userId: row.user_id as UserId,
    realm: row.realm as Realm,
    issuer: row.issuer,
    subject: row.subject,
    provider: row.provider,
    upstream: row.upstream,
    displayName: row.display_name,
    email: row.email,
    emailVerified: row.email_verified === 1,
    linkedAtMs: row.linked_at_ms,
    lastUsedAtMs: row.last_used_at_ms,
  };
}
