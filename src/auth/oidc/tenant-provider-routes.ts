/**
 * HTTP routes of a tenant's own sign-in provider. Owns: their shapes. Refuses to know: signing in.
 */
import { z } from "zod";
import { AppError } from "../../kernel/errors.ts";
import {
  defineTenantRoute,
  type Route,
  type RouteCall,
  type TenantRouteCall,
} from "../../protocol/routes.ts";
import type { AccessFeed } from "../guard/access-feed.ts";
import type { ProviderClients } from "./provider/clients.ts";
import type { Providers } from "./providers.ts";
import { callbackOrigin } from "./return-path.ts";
import { redirectUri } from "./sign-in.ts";
import type { TenantProvider, TenantProviders } from "./tenant-providers.ts";

/** What the routes need. */
export interface TenantProviderRouteDeps {
  own: TenantProviders;
  providers: Providers;
  clients: ProviderClients;
  feed: AccessFeed;
  publicUrl: string | undefined;
}

const PATH = "/api/sign-in-provider";

/** The routes, for the gateway. */
export function makeTenantProviderRoutes(deps: TenantProviderRouteDeps): Route[] {
  return [getOwn(deps), putOwn(deps), deleteOwn(deps)];
}

function getOwn({ own, publicUrl }: TenantProviderRouteDeps): Route {
  return defineTenantRoute({
    method: "GET",
    path: PATH,
    scope: "operator.admin",
    body: null,
    doc: "The sign-in provider that this tenant brought, without its secret; null when it has none.",
    async handler(call) {
      const found = await own.findOf(call.tenant.tenantId);
      return { status: 200, body: { provider: found === undefined ? null : shown(found, call, publicUrl) } };
    },
  });
}

function putOwn(deps: TenantProviderRouteDeps): Route {
  return defineTenantRoute({
    method: "PUT",
    path: PATH,
    scope: "operator.admin",
    isStepUp: true,
    body: z.object({
      issuer: z.url({ protocol: /^https?$/ }).max(512),
      clientId: z.string().min(1).max(256),
      clientSecret: z.string().min(1).max(512).optional(),
      label: z.string().trim().min(1).max(60),
      icon: z.enum(["github", "google", "wechat", "key", "building"]).default("building"),
      defaultRole: z.enum(["admin", "member", "readonly"]).nullable().default(null),
    }),
    doc: "Set the tenant's own sign-in provider; owners only, and only right after they signed in.",
    async handler(call) {
      assertOwner(call);
      const provider = await deps.own.put(call.tenant, call.body, call.actor);
      await deps.feed.refresh(0);
      // What was set is kept also when the provider does not answer now; the owner learns of it.
      const problem = await problemOf(deps, provider);
      return { status: 200, body: { provider: shown(provider, call, deps.publicUrl), problem } };
    },
  });
}

function deleteOwn({ own, feed }: TenantProviderRouteDeps): Route {
  return defineTenantRoute({
    method: "DELETE",
    path: PATH,
    scope: "operator.admin",
    isStepUp: true,
    body: null,
    doc: "Forget the tenant's own sign-in provider; whoever came through it is signed out.",
    async handler(call) {
      assertOwner(call);
      await own.remove(call.tenant, call.actor);
      await feed.refresh(0);
      return { status: 204 };
    },
  });
}

/** SECURITY: whoever sets the provider decides who can become whom; an admin could make an owner of themselves. */
function assertOwner(call: TenantRouteCall<unknown>): void {
  if (call.principal.role === "owner") return;
  throw new AppError("forbidden", "Only an owner can change how people sign in to this tenant.");
}

async function problemOf(deps: TenantProviderRouteDeps, own: TenantProvider): Promise<string | null> {
  const provider = await deps.providers.find(own.bindingId);
  if (provider === undefined) return null;
  try {
    await deps.clients.assertUsable(provider);
    return null;
  } catch (thrown) {
    return thrown instanceof AppError ? thrown.publicMessage : "The provider cannot be used.";
  }
}

function shown(provider: TenantProvider, call: RouteCall<unknown>, publicUrl: string | undefined) {
  const { bindingId, issuer, clientId, label, icon, defaultRole } = provider;
  const origin = callbackOrigin(call.origin, publicUrl);
  return {
    ...{ bindingId, issuer, clientId, label, icon, defaultRole },
    startLink: `${origin}/login?provider=${encodeURIComponent(bindingId)}`,
    redirectUri: redirectUri(origin, bindingId),
    backchannelLogoutUri: `${origin}/auth/backchannel-logout/${encodeURIComponent(bindingId)}`,
    postLogoutRedirectUri: `${origin}/login`,
  };
}
