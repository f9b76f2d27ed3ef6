/** Operators who ask to look into the twins. Owns: planting such a request. */
import type { UserId } from "#src/kernel/ids.ts";
import { MACHINE, SYSTEM } from "#src/tenancy/actor.ts";
import type { Tenant } from "#src/tenancy/tenant.ts";
import type { TestApp } from "../support/start-app.ts";
import type { Twin } from "./twins.ts";

/** Ids of what only one of the two has. */
export interface OnlyLooks {
  lookId: string;
}

/** Plant a request that waits for the tenant's consent; the operator's name and reason are canaries. */
export async function plantLook({ app }: TestApp, tenant: Tenant, name: string): Promise<string> {
  await app.auth.people.settings.change(tenant, { breakGlassConsent: true }, MACHINE);
  const operator = await app.auth.users.create({ displayName: name });
  await app.auth.operators.add(operator.id, MACHINE);
  const asked = { tenantId: tenant.id, operatorId: operator.id as UserId, operatorName: name };
  return (await app.auth.breakGlass.request({ ...asked, reason: `${name} wants to`, minutes: 5 }, SYSTEM)).id;
}

const own = ({ world, mine }: { world: TestApp; mine: Twin }) =>
  plantLook(world, mine.tenant, "own operator");

/** Values of path parameters that are the caller's own, made anew. */
export const OWN_LOOKS: Readonly<Record<string, typeof own>> = {
  "POST /api/break-glass/:id/consent": own,
  "POST /api/break-glass/:id/refuse": own,
  "POST /api/break-glass/:id/end": own,
};

/** What a path parameter names. */
export const FOREIGN_LOOKS: Readonly<Record<string, keyof OnlyLooks>> = {
  "POST /api/break-glass/:id/consent": "lookId",
  "POST /api/break-glass/:id/refuse": "lookId",
  "POST /api/break-glass/:id/end": "lookId",
};
