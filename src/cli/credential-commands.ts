/** Commands about credentials. Owns: `token …`, `key …`, `member sign-out`. Refuses to know: databases. */
import { SIGNING_PURPOSES, type SigningPurpose } from "../auth/browser/signing-keys.ts";
import type { ApiToken } from "../auth/tokens.ts";
import { MACHINE } from "../tenancy/actor.ts";
import { type Command, type CommandCall, UsageError } from "./command.ts";
import { showTime, table } from "./output.ts";
import { findPerson, inTenant, readRole } from "./people-commands.ts";
import { withState } from "./state.ts";

const LIFE = /^([1-9]\d{0,6})(m|h|d)$/;
const UNIT_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

function readLifeMs(text: string | undefined): number | null {
  if (text === undefined) return null;
  const match = LIFE.exec(text);
  if (match === null) throw new UsageError("--expires is written like 12h or 30d.");
  return Number(match[1]) * (UNIT_MS[match[2] ?? ""] ?? 0);
}

function shown(token: ApiToken) {
  const { tenantId: _tenantId, ...rest } = token;
  return rest;
}

/** What a flag that may be repeated was given; undefined when it was not, which means no such limit. */
function given(call: CommandCall, flag: string): readonly string[] | undefined {
  const values = call.all(flag);
  return values.length === 0 ? undefined : values;
}

/** What a token is limited to, in one cell. */
function limitsOf({ scopes, addresses, agents }: ApiToken): string {
  const kinds = { scopes, addresses, agents };
  const limits = Object.entries(kinds).flatMap(([kind, list]) =>
    list === null ? [] : [`${kind}: ${list.length === 0 ? "none" : list.join(" ")}`],
  );
  return limits.length === 0 ? "-" : limits.join("; ");
}

const tokenCreate = inTenant(
  {
    name: "token create",
    usage: "--tenant S --role R --name N [--expires 30d] [--user U] [--scope X]… [--address A]… [--agent G]…",
    summary: "Make an API token; it is shown this one time.",
    options: {
      role: { type: "string" },
      name: { type: "string" },
      expires: { type: "string" },
      user: { type: "string" },
      scope: { type: "string", multiple: true },
      address: { type: "string", multiple: true },
      agent: { type: "string", multiple: true },
    },
    positionals: 0,
  },
  async (state, tenant, call) => {
    const user = call.flag("user");
    const input = {
      name: call.required("name"),
      role: readRole(call),
      maker: { kind: "machine" } as const,
      userId: user === undefined ? null : (await findPerson(state, user)).id,
      expiresInMs: readLifeMs(call.flag("expires")),
      limits: {
        scopes: given(call, "scope"),
        addresses: given(call, "address"),
        agents: given(call, "agent"),
      },
    };
    const { secret, token } = await state.auth.tokens.create(tenant.id, input, MACHINE);
    call.out.answer({ token: secret, record: shown(token) }, [secret]);
    return undefined;
  },
);

const tokenList = inTenant(
  {
    name: "token list",
    usage: "--tenant S",
    summary: "List the API tokens of a tenant, without their secrets.",
    options: {},
    positionals: 0,
  },
  async (state, tenant, call) => {
    const tokens = await state.auth.tokens.list(tenant.id);
    call.out.answer(
      { tokens: tokens.map(shown) },
      table(
        ["NAME", "ROLE", "TOKEN", "LIMITS", "EXPIRES", "LAST USED", "FROM", "REVOKED", "ID"],
        tokens.map((token) => [
          token.name,
          token.role,
          `${token.prefix}…${token.last4}`,
          limitsOf(token),
          showTime(token.expiresAtMs),
          showTime(token.lastUsedAtMs),
          token.lastAddress ?? "-",
          showTime(token.revokedAtMs),
          token.id,
        ]),
      ),
    );
    return undefined;
  },
);

const tokenRevoke = inTenant(
  {
    name: "token revoke",
    usage: "--tenant S <id>",
    summary: "Revoke an API token and all that were made with it.",
    options: {},
    positionals: 1,
  },
  async (state, tenant, call) => {
    const id = call.positionals[0] ?? "";
    await state.auth.tokens.revoke(tenant.id, id, MACHINE);
    call.out.answer({ revoked: { id } }, ["The token is revoked."]);
    return undefined;
  },
);

const memberSignOut = inTenant(
  {
    name: "member sign-out",
    usage: "--tenant S --user U",
    summary:
      "End everything of a person in a tenant: tokens for them, devices, browsers; they stay a member.",
    options: { user: { type: "string" } },
    positionals: 0,
  },
  async (state, tenant, call) => {
    const person = await findPerson(state, call.required("user"));
    await state.auth.credentials.signOuts.inTenant(tenant.id, person.id, MACHINE);
    call.out.answer({ signedOut: { userId: person.id } }, [
      `${person.displayName} is signed out of ${tenant.slug} and can sign in again.`,
    ]);
    return undefined;
  },
);

const keyRotate: Command = {
  name: "key rotate",
  usage: "[--purpose socket|record] [--compromised]",
  summary: "Sign with new keys from now on; what the old ones signed stays good, unless they got out.",
  options: { purpose: { type: "string" }, compromised: { type: "boolean" } },
  positionals: 0,
  run: (call) =>
    withState(call.stateDir, async (state) => {
      const purposes = readPurposes(call.flag("purpose"));
      const isCompromised = call.isSet("compromised");
      const rotated: { purpose: SigningPurpose; kid: string; retired: string | null }[] = [];
      for (const purpose of purposes) {
        rotated.push({ purpose, ...(await state.auth.signingKeys.rotate(purpose, MACHINE, isCompromised)) });
      }
      call.out.answer(
        { rotated },
        table(
          ["PURPOSE", "SIGNS NOW", "RETIRED"],
          rotated.map(({ purpose, kid, retired }) => [purpose, kid, retired ?? "-"]),
        ),
      );
      return undefined;
    }),
};

function readPurposes(text: string | undefined): readonly SigningPurpose[] {
  if (text === undefined) return SIGNING_PURPOSES;
  const purpose = SIGNING_PURPOSES.find((known) => known === text);
  if (purpose === undefined)
    throw new UsageError(`--purpose is one of ${SIGNING_PURPOSES.join(", ")}; "${text}" is not.`);
  return [purpose];
}

/** The commands, in the order of the help. */
export const CREDENTIAL_COMMANDS: readonly Command[] = [
  tokenCreate,
  tokenList,
  tokenRevoke,
  memberSignOut,
  keyRotate,
];
