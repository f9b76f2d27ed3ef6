/**
 * The protocol's methods about people: users.*, gateway.identity.get.
 * Owns: their shapes (UserProfile, UsersPrefs* of the protocol package). Refuses to know: how callers signed in.
 */
import { z } from "zod";
import type { UserId } from "../kernel/ids.ts";
import { defineMethod, type Method, type MethodCall } from "../protocol/methods.ts";
import type { AuthKeys } from "./keys.ts";
import type { Member, Members } from "./members.ts";
import { gatewayIdentity } from "./profile/gateway-identity.ts";
import type { Preferences } from "./profile/preferences.ts";

/** What the methods need. */
export interface AuthMethodDeps {
  members: Members;
  preferences: Preferences;
  keys: AuthKeys;
}

const PROFILE = z.looseObject({
  id: z.string(),
  displayName: z.string().nullable(),
  role: z.string(),
  createdAt: z.number(),
  updatedAt: z.number(),
});

const KEY = z.string().min(1).max(256);
const PREFERENCE_STATUS = z.looseObject({ status: z.enum(["ok", "no_durable_identity"]) });

/** The methods, for the registry. */
export function makeAuthMethods(deps: AuthMethodDeps): Method[] {
  return [usersList(deps), usersSelf(deps), prefsGet(deps), prefsSet(deps), identityGet(deps)];
}

function usersList({ members }: AuthMethodDeps): Method {
  return defineMethod({
    name: "users.list",
    scope: "operator.read",
    params: z.object({}),
    result: z.looseObject({ profiles: z.array(PROFILE) }),
    cost: "read",
    doc: "People of this tenant, with their roles.",
    async handler(_params, call) {
      const people = await members.list(call.tenant.tenantId);
      return { profiles: people.map(profileOf) };
    },
  });
}

function usersSelf({ members }: AuthMethodDeps): Method {
  return defineMethod({
    name: "users.self",
    scope: "operator.read",
    params: z.object({}),
    result: z.looseObject({ profile: PROFILE }),
    cost: "read",
    doc: "The caller: a person, or the service identity of an API token.",
    async handler(_params, call) {
      const { principal } = call;
      const member = await members.find(call.tenant.tenantId, principal.userId);
      return {
        profile: profileOf(
          member ?? {
            userId: principal.userId,
            displayName: principal.displayName,
            role: principal.role,
            createdAtMs: call.tenant.tenant.createdAtMs,
          },
        ),
      };
    },
  });
}

function prefsGet({ members, preferences }: AuthMethodDeps): Method {
  return defineMethod({
    name: "users.prefs.get",
    scope: "operator.read",
    params: z.object({ keys: z.array(KEY).max(32).optional() }),
    result: PREFERENCE_STATUS,
    cost: "read",
    doc: "The caller's own preferences in this tenant.",
    async handler(params, call) {
      if (!(await isPerson(members, call))) return { status: "no_durable_identity" as const };
      const entries = await preferences.list(call.tenant, call.principal.userId, params.keys);
      return { status: "ok" as const, entries };
    },
  });
}

function prefsSet({ members, preferences }: AuthMethodDeps): Method {
  return defineMethod({
    name: "users.prefs.set",
    // People who may only read still choose their own theme; the rows are theirs alone.
    scope: "operator.read",
    params: z.object({
      entries: entriesSchema(),
      expectedEntries: entriesSchema().optional(),
    }),
    result: PREFERENCE_STATUS,
    cost: "write",
    doc: "Set the caller's own preferences in this tenant; null removes one.",
    async handler(params, call) {
      if (!(await isPerson(members, call))) return { status: "no_durable_identity" as const };
      await preferences.set(call.tenant, call.principal.userId, params.entries, params.expectedEntries);
      return { status: "ok" as const };
    },
  });
}

function entriesSchema() {
  return z
    .record(KEY, z.unknown())
    .refine((entries) => Object.keys(entries).length <= 32, "must not have more than 32 properties");
}

function identityGet({ keys }: AuthMethodDeps): Method {
  return defineMethod({
    name: "gateway.identity.get",
    scope: "operator.read",
    params: z.object({}),
    result: z.looseObject({ deviceId: z.string(), publicKey: z.string() }),
    cost: "free",
    doc: "The public key that names this tenant's gateway.",
    async handler(_params, call) {
      return { ...gatewayIdentity(keys, call.tenant.tenantId) };
    },
  });
}

/** Tokens that are identities of their own have no preferences: nobody could ever clear them away. */
async function isPerson(members: Members, call: MethodCall): Promise<boolean> {
  return (await members.find(call.tenant.tenantId, call.principal.userId)) !== undefined;
}

function profileOf(member: Pick<Member, "displayName" | "role" | "createdAtMs"> & { userId: UserId }) {
  return {
    id: member.userId,
    displayName: member.displayName,
    avatarMime: null,
    mergedInto: null,
    createdAt: member.createdAtMs,
    updatedAt: member.createdAtMs,
    emails: [],
    githubIdentity: null,
    hasAvatar: false,
    role: member.role,
  };
}
