/**
 * The gateway's public keys by HTTP (RFC 7517). Owns: `GET /.well-known/jwks.json`. Refuses to know: private keys.
 */
import { defineRoute, type Route } from "../../protocol/routes.ts";
import type { PublicJwk, SigningKeys } from "../browser/signing-keys.ts";

/** What the routes need. */
export interface KeyRouteDeps {
  signingKeys: SigningKeys;
}

/** The route, for the gateway. */
export function makeKeyRoutes({ signingKeys }: KeyRouteDeps): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/.well-known/jwks.json",
      policy: { kind: "public" },
      body: null,
      doc: "Public keys of this gateway, also those that sign no more but whose signatures may still be checked.",
      async handler() {
        const keys: PublicJwk[] = await signingKeys.published();
        return {
          status: 200,
          headers: { "cache-control": "public, max-age=300" },
          contentType: "application/jwk-set+json",
          body: JSON.stringify({ keys }),
        };
      },
    }),
  ];
}
