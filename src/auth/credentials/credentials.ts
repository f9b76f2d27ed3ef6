/**
 * The parts about credentials as such, put together. Owns: their making. Refuses to know: how callers are authenticated.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { Route } from "../../protocol/routes.ts";
import type { Database } from "../../storage/database.ts";
import type { SigningKeys } from "../browser/signing-keys.ts";
import type { Devices } from "../devices.ts";
import type { Members } from "../members.ts";
import type { Tokens } from "../tokens.ts";
import { makeKeyRoutes } from "./key-routes.ts";
import { makeCredentialRoutes } from "./routes.ts";
import { SessionUses } from "./session-uses.ts";
import { SignOuts } from "./sign-out.ts";

/** What the parts are made from. */
export interface CredentialDeps {
  control: Database;
  clock: Clock;
  members: Members;
  tokens: Tokens;
  devices: Devices;
  signingKeys: SigningKeys;
}

/** The parts. */
export interface Credentials {
  sessionUses: SessionUses;
  signOuts: SignOuts;
  routes: Route[];
}

/** Put them together. */
export function makeCredentials(deps: CredentialDeps): Credentials {
  const { control, clock, members } = deps;
  const sessionUses = new SessionUses(control, clock);
  const signOuts = new SignOuts(control, clock, members);
  const routes = [...makeKeyRoutes(deps), ...makeCredentialRoutes({ ...deps, sessionUses, signOuts })];
  return { sessionUses, signOuts, routes };
}
