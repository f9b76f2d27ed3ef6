/**
 * Signs what people keep and check later: audit heads, deletion receipts (compact JWS, RFC 7515, RFC 8037).
 * Owns: the form of such a signature. Refuses to know: what the claims mean.
 */
import { SignJWT } from "jose";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { SigningKeys } from "./signing-keys.ts";

/** See the head of this file. */
export class RecordSigner {
  private readonly keys: SigningKeys;
  private readonly clock: Clock;
  private readonly issuer: string;

  /** @param issuer names this deployment; stays the same over restarts */
  constructor(keys: SigningKeys, clock: Clock, issuer: string) {
    this.keys = keys;
    this.clock = clock;
    this.issuer = issuer;
  }

  /**
   * Sign claims; `iss` and `iat` are added. The header names the key, found in `/.well-known/jwks.json` for ever.
   * @param typ says what it is, e.g. `creel-audit-head+jws`, so that no kind passes for another
   */
  async sign(typ: string, claims: Readonly<Record<string, unknown>>): Promise<string> {
    // SECURITY: a record must never pass for a token, whatever its claims say; see also the keys' purposes.
    if (!/^creel-[a-z-]+\+jws$/.test(typ))
      throw new AppError("internal", `A record of the type "${typ}" is not signed.`);
    const { kid, privateKey } = await this.keys.getCurrent("record");
    return new SignJWT({ ...claims })
      .setProtectedHeader({ alg: "EdDSA", kid, typ })
      .setIssuer(this.issuer)
      .setIssuedAt(Math.floor(this.clock.nowMs() / 1000))
      .sign(privateKey);
  }
}
