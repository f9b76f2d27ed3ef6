/**
 * Signing out, from either side: a person leaves here and then at the provider, or the provider says that they left
 * (OpenID Connect RP-Initiated Logout 1.0, Back-Channel Logout 1.0). Owns: which sessions end. Refuses to know: HTTP.
 */
import { auditRecord, auditStatement, PLATFORM } from "../../audit/record.ts";
import type { Clock } from "../../kernel/clock.ts";
import { sha256Hex } from "../../kernel/crypto.ts";
import type { Log } from "../../kernel/log.ts";
import type { Database, Statement } from "../../storage/database.ts";
import { type Actor, SYSTEM } from "../../tenancy/actor.ts";
import type { BrowserSessions } from "../browser/browser-sessions.ts";
import type { Identities } from "../people/identities.ts";
import type { ProviderClients } from "./provider/clients.ts";
import { LOGOUT_MESSAGE_MS, type LogoutMessage, readLogoutToken } from "./provider/logout-token.ts";
import type { Providers, SignInProvider } from "./providers.ts";

/** What signing out is made of. */
export interface SignOutDeps {
  control: Database;
  clock: Clock;
  log: Log;
  providers: Providers;
  clients: ProviderClients;
  identities: Identities;
  sessions: BrowserSessions;
}

/** See the head of this file. */
export class SignOut {
  private readonly deps: SignOutDeps;

  constructor(deps: SignOutDeps) {
    this.deps = deps;
  }

  /**
   * End the session behind a cookie. The answer is where to sign out at the provider as well; null when there is
   * nothing to do there, or when it cannot be reached: whoever leaves is gone here in any case.
   */
  async leave(
    cookie: string,
    place: { origin: string; address: string; requestId: string },
  ): Promise<string | null> {
    const { sessions, clock } = this.deps;
    const session = await sessions.findOpen(cookie);
    if (session === undefined) return null;
    const { sessionId, userId, displayName } = session.user;
    const proof = await sessions.findProof(sessionId);
    const by: Actor = {
      ...{ kind: "person", id: userId, name: displayName, role: null },
      credential: { kind: "browser_session", id: sessionId },
      address: place.address,
      requestId: place.requestId,
    };
    const record = auditRecord(clock.nowMs(), by, "signout.ok", { kind: "session", id: sessionId });
    await sessions.signOut(cookie, [auditStatement(PLATFORM, record)]);
    if (proof === undefined) return null;
    return this.providerUrl(proof, place.origin);
  }

  /**
   * A provider's message that somebody left; false when it does not count: unknown provider, bad token, or seen before.
   * Throws `egress_refused` or `provider_failed` when its keys cannot be read, and then it can be sent again.
   */
  async hear(providerId: string, token: string): Promise<boolean> {
    const { providers, clients, clock, control } = this.deps;
    const provider = await providers.find(providerId);
    const message =
      provider === undefined ? undefined : await readLogoutToken(token, provider, clients, clock);
    if (provider === undefined || message === undefined) return false;
    const nowMs = clock.nowMs();
    const record = auditRecord(nowMs, SYSTEM, "signout.ok", null, { provider: provider.label });
    const outcome = await control.write({
      statements: [
        { sql: "DELETE FROM logout_messages WHERE expires_at_ms < ?", params: [nowMs] },
        {
          // SECURITY: a message counts once, also when it comes twice at the same time.
          sql: "INSERT INTO logout_messages (hash, expires_at_ms) VALUES (?, ?) ON CONFLICT DO NOTHING",
          params: [
            sha256Hex(`${provider.realm}\n${provider.id}\n${message.id}`),
            nowMs + 3 * LOGOUT_MESSAGE_MS,
          ],
          expect: 1,
        },
        await this.endStatement(provider, message),
        auditStatement(provider.realm === "" ? PLATFORM : provider.realm, record),
      ],
    });
    return outcome.committed;
  }

  private async endStatement(provider: SignInProvider, message: LogoutMessage): Promise<Statement> {
    const { identities, clock } = this.deps;
    const { issuer, realm, id } = provider;
    const identity =
      message.subject === null ? undefined : await identities.findBySubject(issuer, message.subject, realm);
    // SECURITY: a provider ends what was begun with it, and of that only what both names it gives agree on.
    return {
      sql: `UPDATE browser_sessions SET revoked_at_ms = ? WHERE provider = ? AND revoked_at_ms IS NULL
        AND (? IS NULL OR provider_session = ?) AND (? = 1 OR identity_id = ?)`,
      params: [
        ...[clock.nowMs(), id, message.providerSession, message.providerSession],
        ...[message.subject === null ? 1 : 0, identity?.id ?? ""],
      ],
    };
  }

  private async providerUrl(
    proof: { provider: string; idToken: string | null },
    origin: string,
  ): Promise<string | null> {
    const { providers, clients, log } = this.deps;
    try {
      const provider = await providers.find(proof.provider);
      if (provider === undefined) return null;
      const request = { idToken: proof.idToken, returnTo: `${origin}/login` };
      return await clients.endSessionUrl(provider, request);
    } catch (thrown) {
      log.info({ err: thrown }, "somebody who signed out here could not be sent to their provider");
      return null;
    }
  }
}
