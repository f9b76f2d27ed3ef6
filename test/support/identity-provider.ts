/**
 * A real OpenID provider on loopback, for stories, browser tests and `npm run dev`. Owns: accounts, clients, the page on
 * which one of the accounts is chosen. Refuses to know: who relies on it. Never part of the product.
 */
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK } from "jose";
import type { AdapterPayload, ClientMetadata, Configuration, KoaContextWithOIDC } from "oidc-provider";

/** Somebody the provider knows. `sub` is the id; other claims are given out as they are, whatever their type. */
export interface ProviderAccount {
  id: string;
  claims?: Readonly<Record<string, unknown>>;
}

/** What one entry of `auth.providers` needs. */
export interface ProviderSettings {
  issuer: string;
  clientId: string;
  clientSecret: string;
  label: string;
  icon: "key";
  upstream: { provider: string; openid: string; unionid: string };
  trustEmail: boolean;
}

/** A running provider. */
export interface IdentityProvider {
  issuer: string;
  /** Settings for `auth.providers`; `origin` is where the gateway is, when that is known already. */
  clientConfig(origin?: string): ProviderSettings;
  /** Let a gateway at `origin` use the client; `providerId` is the last part of its callback. */
  addOrigin(origin: string, providerId?: string): void;
  /** One more client, such as a tenant's own; the answer is its id and secret. */
  addClient(origin: string, providerId: string): { clientId: string; clientSecret: string };
  /** Who the next authorization signs in as, without a page; null shows the page again. Stays until it is changed. */
  nextAccount(id: string | null): void;
  /** Change what is known of an account, or add it. */
  setAccount(account: ProviderAccount): void;
  /** Paths that were asked for, oldest first. */
  readonly requests: readonly string[];
  close(): Promise<void>;
}

/** The provider's own name in `auth.providers`, in tests and in development. */
export const PROVIDER_ID = "mcpmarket";

/** Start a provider. `port` 0 takes any free one. */
export async function startIdentityProvider(options: {
  accounts: readonly ProviderAccount[];
  clients?: readonly ClientMetadata[];
  port?: number;
}): Promise<IdentityProvider> {
  const server = createServer();
  await new Promise<void>((done, failed) => {
    server.once("error", failed).listen(options.port ?? 0, "127.0.0.1", done);
  });
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const world = new World(options.accounts);
  for (const client of options.clients ?? []) world.clients.set(client.client_id, client);
  world.clients.set("creel", makeClient("creel"));
  const { default: Provider } = await import("oidc-provider");
  const provider = new Provider(issuer, await configure(world));
  provider.on("server_error", (_ctx, error) => process.stderr.write(`identity provider: ${error.stack}\n`));
  const callback = provider.callback();
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const path = request.url ?? "/";
    world.requests.push(path);
    if (!path.startsWith("/interaction/")) return void callback(request, response);
    interact(provider, world, request, response).catch((thrown: unknown) => {
      response.writeHead(500, { "content-type": "text/plain" }).end(String(thrown));
    });
  });
  return makeHandle(issuer, world, server);
}

function makeHandle(issuer: string, world: World, server: Server): IdentityProvider {
  const shared = { label: "Development sign-in", icon: "key" as const, trustEmail: true };
  const upstream = { provider: "idp", openid: "wechat_openid", unionid: "wechat_unionid" };
  const addOrigin = (origin: string, providerId = PROVIDER_ID, clientId = "creel") => {
    const client = world.clients.get(clientId) ?? makeClient(clientId);
    world.clients.set(clientId, withOrigin(client, origin, providerId));
  };
  return {
    issuer,
    requests: world.requests,
    addOrigin,
    clientConfig(origin) {
      if (origin !== undefined) addOrigin(origin);
      return { issuer, clientId: "creel", clientSecret: secretOf("creel"), upstream, ...shared };
    },
    addClient(origin, providerId) {
      const clientId = `client-${world.clients.size}`;
      addOrigin(origin, providerId, clientId);
      return { clientId, clientSecret: secretOf(clientId) };
    },
    nextAccount(id) {
      world.next = id;
    },
    setAccount(account) {
      world.accounts.set(account.id, account);
    },
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** All that the provider remembers. */
class World {
  readonly accounts: Map<string, ProviderAccount>;
  readonly clients = new Map<string, ClientMetadata>();
  readonly rows = new Map<string, AdapterPayload>();
  readonly requests: string[] = [];
  next: string | null = null;

  constructor(accounts: readonly ProviderAccount[]) {
    this.accounts = new Map(accounts.map((account) => [account.id, account]));
  }
}

const secretOf = (clientId: string) => `not-a-secret-of-${clientId}-0123456789`;

function makeClient(clientId: string): ClientMetadata {
  return {
    client_id: clientId,
    client_secret: secretOf(clientId),
    redirect_uris: ["http://127.0.0.1:9/auth/callback/nobody"],
    id_token_signed_response_alg: "ES256",
    backchannel_logout_session_required: true,
  };
}

function withOrigin(client: ClientMetadata, origin: string, providerId: string): ClientMetadata {
  return {
    ...client,
    redirect_uris: [...(client.redirect_uris ?? []), `${origin}/auth/callback/${providerId}`],
    post_logout_redirect_uris: [...(client.post_logout_redirect_uris ?? []), `${origin}/login`],
    backchannel_logout_uri: `${origin}/auth/backchannel-logout/${providerId}`,
  };
}

async function configure(world: World): Promise<Configuration> {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const claimsOf = (id: string) => ({ ...world.accounts.get(id)?.claims, sub: id });
  return {
    adapter: adapterOf(world),
    jwks: { keys: [{ ...(await exportJWK(privateKey)), use: "sig", alg: "ES256", kid: "first" }] },
    cookies: { keys: [randomBytes(32).toString("hex")] },
    claims: {
      openid: ["sub", "idp", "wechat_openid", "wechat_unionid"],
      profile: ["name", "nickname", "preferred_username", "picture"],
      email: ["email", "email_verified"],
    },
    conformIdTokenClaims: false,
    enabledJWA: { idTokenSigningAlgValues: ["ES256"] },
    ttl: { Session: 3_600, Interaction: 600, Grant: 3_600, IdToken: 600, AccessToken: 600 },
    // What comes from us is on this machine, which the guard of the default refuses.
    fetch: (url, init) => fetch(url, { ...(init as RequestInit), dispatcher: undefined } as RequestInit),
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx, form) => {
          ctx.body = `${PAGE}<h1>Sign out?</h1>${form}<button form="op.logoutForm" name="logout" value="yes">Yes</button>`;
        },
      },
    },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_ctx, id) =>
      world.accounts.has(id) ? { accountId: id, claims: () => claimsOf(id) } : undefined,
    loadExistingGrant,
  };
}

/** Everybody agrees to everything. */
async function loadExistingGrant(ctx: KoaContextWithOIDC) {
  const { client, session, provider } = ctx.oidc;
  if (client === undefined || session?.accountId === undefined) return undefined;
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope("openid email profile");
  grant.addOIDCClaims(["idp", "wechat_openid", "wechat_unionid"]);
  await grant.save();
  return grant;
}

function adapterOf(world: World): NonNullable<Configuration["adapter"]> {
  return class MemoryAdapter {
    private readonly model: string;
    constructor(model: string) {
      this.model = model;
    }
    private key(id: string): string {
      return `${this.model}/${id}`;
    }
    async upsert(id: string, payload: AdapterPayload): Promise<void> {
      world.rows.set(this.key(id), structuredClone(payload));
    }
    async find(id: string): Promise<AdapterPayload | undefined> {
      if (this.model === "Client") return world.clients.get(id) as AdapterPayload | undefined;
      return structuredClone(world.rows.get(this.key(id)));
    }
    async findByUid(uid: string): Promise<AdapterPayload | undefined> {
      return [...world.rows.values()].find((row) => row.uid === uid);
    }
    async findByUserCode(): Promise<undefined> {
      return undefined;
    }
    async consume(id: string): Promise<void> {
      const row = world.rows.get(this.key(id));
      if (row !== undefined) row.consumed = Math.floor(Date.now() / 1_000);
    }
    async destroy(id: string): Promise<void> {
      world.rows.delete(this.key(id));
    }
    async revokeByGrantId(grantId: string): Promise<void> {
      for (const [key, row] of world.rows) if (row.grantId === grantId) world.rows.delete(key);
    }
  };
}

const PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Identity provider</title>
<style>body{font:16px system-ui;margin:4rem auto;max-width:20rem}button{display:block;width:100%;padding:.7rem;margin:.5rem 0}</style>`;

type OidcProvider = InstanceType<typeof import("oidc-provider").default>;

/** The sign-in page: a form with one button for each account, or nothing but the answer when it is settled. */
async function interact(
  provider: OidcProvider,
  world: World,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chosen = request.method === "POST" ? await readChoice(request) : world.next;
  if (chosen === "") {
    const result = { error: "access_denied", error_description: "<b>The person said no.</b>" };
    return provider.interactionFinished(request, response, result);
  }
  if (chosen !== null && world.accounts.has(chosen)) {
    const login = { accountId: chosen, ts: Math.floor(Date.now() / 1_000) };
    return provider.interactionFinished(request, response, { login });
  }
  const buttons = [...world.accounts.values()].map(
    ({ id, claims }) =>
      `<button name="account" value="${escapeHtml(id)}">${escapeHtml(String(claims?.["name"] ?? id))}</button>`,
  );
  response
    .writeHead(200, { "content-type": "text/html; charset=utf-8" })
    .end(
      `${PAGE}<h1>Sign in as</h1><form method="post">${buttons.join("")}<button name="account" value="">Cancel</button></form>`,
    );
}

async function readChoice(request: IncomingMessage): Promise<string | null> {
  let body = "";
  for await (const chunk of request) body += String(chunk);
  return new URLSearchParams(body).get("account");
}

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`);
}
