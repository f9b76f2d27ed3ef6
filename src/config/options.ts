/**
 * Everything an operator can set, in one table: from it come the type, the flags, the environment names and
 * docs/config.md. Owns: names, defaults, meaning. Refuses to know: where values come from.
 */
import { homedir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { alertHookSchema, alipaySchema, stripeSchema, usageExportSchema } from "./billing-schema.ts";
import { PLAN_ID, planSchema } from "./plan-schema.ts";

/** One setting. */
export interface Option<Schema extends z.ZodType = z.ZodType> {
  /** Path in the configuration file, in OpenClaw's words where OpenClaw has it. */
  path: string;
  schema: Schema;
  /** In full sentences. */
  doc: string;
  /** Shown only as "set" or "not set". */
  isSecret?: boolean;
  /** Environment variable that sets it. */
  env?: string;
  /** Command-line flag of `creel serve`, without the dashes. */
  flag?: string;
}

/** Turns in a span that look like a loop. */
const TURNS = z.int().min(0).max(10_000_000);

const modelSchema = z.object({
  id: z.string().min(1).max(256),
  name: z.string().min(1).max(256).optional(),
  contextWindow: z.int().min(1_000).optional(),
  maxTokens: z.int().min(1).optional(),
  reasoning: z.boolean().optional(),
  input: z.array(z.string()).optional(),
  cost: z
    .object({
      input: z.number().min(0),
      output: z.number().min(0),
      cacheRead: z.number().min(0).optional(),
      cacheWrite: z.number().min(0).optional(),
    })
    .optional(),
});

const secretSchema = z.union([
  z.string(),
  z.object({ source: z.literal("env"), id: z.string().min(1) }),
  z.object({ source: z.literal("file"), id: z.string().min(1) }),
]);

const providersSchema = z.record(
  z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, "a provider id has a-z, 0-9, '.', '_' and '-'"),
  z.object({
    baseUrl: z.url(),
    apiKey: secretSchema.optional(),
    api: z.literal("openai-completions").optional(),
    models: z.array(modelSchema).min(1),
    /** Where the provider tells what it counted itself, in OpenAI's form. */
    usage: z.object({ url: z.url({ protocol: /^https?$/ }), apiKey: secretSchema.optional() }).optional(),
  }),
);

/** Pictures that a provider of sign-in may have. */
const SIGN_IN_ICONS = ["github", "google", "wechat", "key", "building"] as const;

/** SECURITY: strict, so that a misspelt setting stops the start instead of quietly meaning nothing. */
const signInProvidersSchema = z.record(
  z.string().regex(/^[a-z0-9][a-z0-9._-]{0,31}$/, "a provider id has 1 to 32 of a-z, 0-9, '.', '_' and '-'"),
  z.strictObject({
    issuer: z.url({ protocol: /^https?$/ }),
    clientId: z.string().min(1).max(256),
    clientSecret: secretSchema,
    label: z.string().min(1).max(60),
    icon: z.enum(SIGN_IN_ICONS).default("key"),
    scopes: z
      .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,64}$/))
      .max(16)
      .optional(),
    upstream: z
      .strictObject({
        provider: z.string().min(1).max(64),
        openid: z.string().min(1).max(64).optional(),
        unionid: z.string().min(1).max(64).optional(),
      })
      .optional(),
    trustEmail: z.boolean().default(false),
  }),
);

function option<Schema extends z.ZodType>(declaration: Option<Schema>): Option<Schema> {
  return declaration;
}

/** The table. */
export const OPTIONS = {
  host: option({
    path: "gateway.host",
    schema: z.string().min(1).default("127.0.0.1"),
    env: "CREEL_HOST",
    flag: "host",
    doc: "Address to listen on. Loopback by default; put a TLS proxy in front before listening elsewhere.",
  }),
  port: option({
    path: "gateway.port",
    schema: z.coerce.number().int().min(0).max(65_535).default(18_789),
    env: "CREEL_PORT",
    flag: "port",
    doc: "Port to listen on; 0 takes any free one.",
  }),
  stateDir: option({
    path: "state.dir",
    schema: z
      .string()
      .min(1)
      .default(() => join(homedir(), ".openclaw")),
    env: "OPENCLAW_STATE_DIR",
    flag: "state-dir",
    doc: "Folder of all data: databases, transcripts, workspaces, keys. Readable by the gateway's user only.",
  }),
  firstTenant: option({
    path: "tenants.first",
    schema: z.string().min(1).default("home"),
    env: "CREEL_TENANT",
    flag: "tenant",
    doc: "Slug of the tenant that a first start makes. Ignored once any tenant exists.",
  }),
  selfService: option({
    path: "tenants.selfService",
    schema: z.boolean().default(false),
    doc: "Whether any signed-in person may make tenants of their own, up to 20. Operators always may.",
  }),
  publicUrl: option({
    path: "gateway.publicUrl",
    schema: z.url().optional(),
    env: "CREEL_PUBLIC_URL",
    doc: "Where browsers reach the gateway, e.g. https://creel.example. Its host is accepted, and links are made with it.",
  }),
  allowedHosts: option({
    path: "gateway.allowedHosts",
    schema: z.array(z.string().min(1)).default([]),
    doc: "Further host names the gateway answers to, besides loopback, address literals, publicUrl and tenants' own hosts.",
  }),
  allowedOrigins: option({
    path: "gateway.controlUi.allowedOrigins",
    schema: z.array(z.url()).default([]),
    doc: "Origins of pages, besides our own, that may open sockets, e.g. a separately served OpenClaw Control UI.",
  }),
  trustedProxies: option({
    path: "gateway.trustedProxies",
    schema: z.array(z.string().min(1)).default([]),
    doc: "Addresses or CIDR ranges of proxies whose X-Forwarded-For, -Host and -Proto count. Nobody by default.",
  }),
  providers: option({
    path: "models.providers",
    schema: providersSchema.default({}),
    isSecret: true,
    doc: "Models the operator offers to all tenants, in OpenClaw's form. `apiKey` is the key, a reference like $NAME in braces to the environment, {source: 'env', id} or {source: 'file', id}. `usage` ({url, apiKey}) is where the provider tells its own counts, e.g. OpenAI's /v1/organization/usage/completions with an admin key; they are compared with ours every night.",
  }),
  defaultModel: option({
    path: "agents.defaults.model.primary",
    schema: z
      .string()
      .regex(/^[^/]+\/.+$/, "must be provider/model")
      .optional(),
    doc: "The model agents use unless they or a session say otherwise, as provider/model. Without it a tenant's own first model, else the built-in demo.",
  }),
  signInProviders: option({
    path: "auth.providers",
    schema: signInProvidersSchema.default({}),
    isSecret: true,
    doc: "OpenID Connect providers that people sign in with, by id, e.g. mcpmarket: {issuer, clientId, clientSecret, label, icon}; see docs/sign-in.md. `clientSecret` is written like a model's `apiKey`. `icon` is github, google, wechat, key or building. `upstream` names the claims in which a broker tells who it asked itself; `trustEmail` says that its verified addresses are to be believed.",
  }),
  egressAllowPrivate: option({
    path: "egress.allowPrivate",
    schema: z.array(z.string().min(1)).default([]),
    doc: "Private hosts or CIDR ranges that model endpoints may use, e.g. 127.0.0.1 for Ollama on this machine. Cloud metadata addresses stay refused.",
  }),
  plans: option({
    path: "plans.list",
    schema: z.record(PLAN_ID, planSchema).default({}),
    doc: "Plans to put tenants on, by id, besides the shipped free, team, business and unlimited: {version, name, monthlyBudgetMicros, seats, agents, requestsPerMinute, concurrentTurns, tokensPerMinute, models and more}; see docs/billing.md. What is left out is not limited. Raise `version` with every change: tenants keep the terms they were put on.",
  }),
  defaultPlan: option({
    path: "plans.default",
    schema: PLAN_ID.default("unlimited"),
    doc: "The plan of tenants that nobody put on one.",
  }),
  pricesFile: option({
    path: "billing.pricesFile",
    schema: z.string().min(1).optional(),
    env: "CREEL_PRICES_FILE",
    doc: "A file of list prices of models in place of the shipped one, in its form (src/billing/prices.json): {currency, version, prices: [{provider, model, from, input, output, cacheRead, cacheWrite, source}]}, in millionths of the currency per million tokens, from a day (UTC) on. Its currency is that of `plans.default`; raise `version` with every change, each charge names it. Read at the start, from the folder that the gateway is started in unless the path is absolute.",
  }),
  usageExport: option({
    path: "billing.export",
    schema: usageExportSchema,
    isSecret: true,
    doc: "Where the usage of all tenants is sent: {kind: 'webhook', url, secret} as CloudEvents with Standard Webhooks signatures (`secret` is whsec_ and base64), or {kind: 'stripe', apiKey, meter, customers} as Stripe meter events; `customers` names Stripe's customer by tenant id, or by the tenant's present slug, and null for tenants that are not billed there; see docs/billing.md. Secrets are written like a model's `apiKey`. Tenants may set up webhooks of their own besides.",
  }),
  alertHook: option({
    path: "billing.alertHook",
    schema: alertHookSchema,
    isSecret: true,
    doc: "Where warnings of all tenants are sent, e.g. a service that writes mail: {url, secret}, as CloudEvents with Standard Webhooks signatures (`secret` is whsec_ and base64, written like a model's `apiKey`). Each names the tenant, its plan, and addresses and languages of its owners and admins; see docs/billing.md.",
  }),
  stripe: option({
    path: "payments.stripe",
    schema: stripeSchema,
    isSecret: true,
    doc: "Top-ups by Stripe Checkout: {secretKey, webhookSecret}, written like a model's `apiKey`. Let Stripe report checkout.session.completed and checkout.session.async_payment_succeeded to /webhooks/payments/stripe.",
  }),
  alipay: option({
    path: "payments.alipay",
    schema: alipaySchema,
    isSecret: true,
    doc: "Top-ups by Alipay for tenants that pay in CNY: {appId, privateKey, alipayPublicKey, keyType, gateway}; keys are written like a model's `apiKey`. Reports come to /webhooks/payments/alipay below gateway.publicUrl.",
  }),
  strangersPerMinute: option({
    path: "traffic.strangersPerMinute",
    schema: z.int().min(0).max(10_000_000).default(1_200),
    doc: "Requests and handshakes of one address (IPv6: its /64) in a minute that are not, or not yet, somebody's; 0 for any number. Loopback is not counted, since a proxy there would make everybody one.",
  }),
  tenantRequestsPerMinute: option({
    path: "traffic.tenantRequestsPerMinute",
    schema: z.int().min(0).max(100_000_000).default(60_000),
    doc: "Calls of one tenant in a minute where its plan sets no `requestsPerMinute`: far more than people and their programs make, and far less than one process answers, so that a runaway script cannot take it from the others. Larger calls count one more for every 64 KiB. 0 for any number.",
  }),
  tenantTurnsPerMinute: option({
    path: "traffic.tenantTurnsPerMinute",
    schema: z.int().min(0).max(100_000_000).default(2_000),
    doc: "Turns that one tenant may begin in a minute where its plan sets no `turnsPerMinute`; a hundred at once, the others at that pace. 0 for any number.",
  }),
  turnsAtOnce: option({
    path: "turns.concurrent",
    schema: z.int().min(1).max(100_000).default(1_000),
    doc: "Turns that all tenants together may have going at once; more wait, and are served in turn by the weight of their tenants' plans.",
  }),
  turnsPerSession: option({
    path: "turns.sessionPerMinute",
    schema: TURNS.default(120),
    doc: "Turns of one session in a minute that look like a loop: from there on the tenant starts no more until somebody lets it go on; what was accepted waits. 0 never stops anybody; so with the settings below.",
  }),
  turnsPerSessionHour: option({
    path: "turns.sessionPerHour",
    schema: TURNS.default(1_000),
    doc: "Turns of one session in an hour that look like a loop.",
  }),
  turnsInSessionChain: option({
    path: "turns.sessionChain",
    schema: TURNS.default(100),
    doc: "Turns of one session that look like a loop when each is sent while the one before goes on or within two seconds of its end, whatever the model's pace: people stop to read.",
  }),
  turnsInSenderChain: option({
    path: "turns.senderChain",
    schema: TURNS.default(1_000),
    doc: "Turns of one sender (a token, a device, a browser's session), in whatever sessions, that look like a loop when each is sent within two seconds of the end of the one before. Raise it for programs that ask one question after another for hours.",
  }),
  turnsPerTenant: option({
    path: "turns.tenantPerMinute",
    schema: TURNS.default(3_000),
    doc: "Turns of one tenant in a minute that look like a loop.",
  }),
  turnsPerTenantHour: option({
    path: "turns.tenantPerHour",
    schema: TURNS.default(120_000),
    doc: "Turns of one tenant in an hour that look like a loop.",
  }),
  logLevel: option({
    path: "logging.level",
    schema: z.enum(["error", "warn", "info", "debug", "silent"]).default("info"),
    env: "CREEL_LOG_LEVEL",
    flag: "log-level",
    doc: "How much is logged, as JSON lines on standard error.",
  }),
} as const;

/** All settings with their values. */
export type Config = { readonly [Name in keyof typeof OPTIONS]: z.output<(typeof OPTIONS)[Name]["schema"]> };

/** A platform provider whose key has been looked up. */
export type ProviderSettings = Config["providers"][string];

/** A provider of sign-in whose secret has been looked up. */
export type SignInProviderSettings = Config["signInProviders"][string];
