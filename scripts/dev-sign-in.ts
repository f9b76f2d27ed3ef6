/**
 * The identity provider of `npm run dev`: the people of the small world, one click each. Owns: who they are there, and the
 * settings with which the gateway knows it. Refuses to know: the gateway. Never part of the product.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type IdentityProvider,
  PROVIDER_ID,
  type ProviderAccount,
  startIdentityProvider,
} from "../test/support/identity-provider.ts";

const MARK = "// Written by `npm run dev` at each start; take this line out to keep what you change.";

/** Somebody of the small world whom the provider knows too. */
export interface DevPerson {
  name: string;
  /** Their name at the provider. */
  subject: string;
}

/** The people as the provider tells of them: each came to it by another door. */
function accountsOf(people: readonly DevPerson[]): ProviderAccount[] {
  const doors = ["github", "google", "wechat"];
  const known = people.map(({ name, subject }, i) => {
    const idp = doors[i % doors.length];
    // As in life: GitHub's address may be unverified, WeChat gives none at all.
    const email = { email: `${subject}@mail.example`, email_verified: idp === "google" };
    const wechat = { wechat_openid: `openid-${subject}`, wechat_unionid: `unionid-${subject}` };
    return { id: subject, claims: { name, idp, ...(idp === "wechat" ? wechat : email) } };
  });
  return [...known, { id: "newcomer", claims: { name: "Somebody new", idp: "github" } }];
}

/** Start the provider and let the gateway at these origins use it. */
export async function startDevSignIn(options: {
  people: readonly DevPerson[];
  port: number;
  origins: readonly string[];
}): Promise<IdentityProvider> {
  const provider = await startIdentityProvider({ accounts: accountsOf(options.people), port: options.port });
  for (const origin of options.origins) provider.addOrigin(origin);
  return provider;
}

/**
 * Tell the gateway of the provider, in the settings of its state folder. A file that somebody wrote is left alone; the
 * answer is whether the settings are ours.
 */
export function writeDevSettings(stateDir: string, provider: IdentityProvider): boolean {
  const path = join(stateDir, "creel.json5");
  if (existsSync(path) && !readFileSync(path, "utf8").startsWith(MARK)) return false;
  const { issuer, clientId, clientSecret, upstream, trustEmail } = provider.clientConfig();
  const entry = {
    issuer,
    clientId,
    clientSecret,
    label: "Development sign-in",
    icon: "key",
    upstream,
    trustEmail,
  };
  const settings = {
    auth: { providers: { [PROVIDER_ID]: entry } },
    egress: { allowPrivate: ["127.0.0.1"] },
  };
  writeFileSync(path, `${MARK}\n${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 });
  return true;
}
