/** What follows from usage: drill-down, statements, exports, payments. Owns: their joining. Refuses to know: transports. */
import { makeDrillRoutes, type NameReader } from "../billing/drill/routes.ts";
import { UsageExporter } from "../billing/export/exporter.ts";
import { makeOperatorExportRoutes } from "../billing/export/operator-routes.ts";
import { makeExportRoutes } from "../billing/export/routes.ts";
import { UsageExports } from "../billing/export/usage-exports.ts";
import { StripeMeter } from "../billing/export/usage-sink.stripe.ts";
import type { PlatformExport } from "../billing/export/usage-sink.ts";
import { WebhookSink, type WebhookTarget } from "../billing/export/usage-sink.webhook.ts";
import { LedgerSealer } from "../billing/ledger/chain/sealer.ts";
import { Ledger } from "../billing/ledger/ledger.ts";
import { makeAdjustmentRoutes } from "../billing/payments/adjustment-routes.ts";
import { Codes } from "../billing/payments/codes.ts";
import { CreditExpiry } from "../billing/payments/credit-expiry.ts";
import { AlipayPayments } from "../billing/payments/payment-provider.alipay.ts";
import { StripePayments } from "../billing/payments/payment-provider.stripe.ts";
import type { PaymentProvider } from "../billing/payments/payment-provider.ts";
import { Payments } from "../billing/payments/payments.ts";
import { makePaymentRoutes } from "../billing/payments/routes.ts";
import { PlanBeginnings } from "../billing/plans/plan-beginnings.ts";
import { Reconciler } from "../billing/reconcile/reconciler.ts";
import { makeReconciliationRoutes } from "../billing/reconcile/routes.ts";
import { StatementCloser } from "../billing/statements/closer.ts";
import { makeStatementRoutes } from "../billing/statements/routes.ts";
import { Statements } from "../billing/statements/statements.ts";
import { StorageCharges } from "../billing/storage/storage-charges.ts";
import type { Config } from "../config/options.ts";
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import type { TenantId } from "../kernel/ids.ts";
import type { Log } from "../kernel/log.ts";
import type { Route } from "../protocol/routes.ts";
import type { TenantScope } from "../tenancy/scoped.ts";
import type { Assistant } from "./assistant.ts";
import type { Ground } from "./ground.ts";
import { makeCourier } from "./notices.ts";
import { OUTBOUND, operatorFetch, ownUsageReader, usageEndpoints } from "./outbound.ts";

/** The parts, put together. */
export type Invoicing = ReturnType<typeof makeInvoicing>;

/** Drill-down, statements, exports, payments. */
export function makeInvoicing(config: Config, clock: Clock, log: Log, ground: Ground, assistant: Assistant) {
  const { control } = ground;
  const currencyOf = async (scope: TenantScope) =>
    (await ground.plans.of(scope.tenantId)).plan.terms.currency;
  const { scopeOf, stayingScopeOf } = scopeReaders(ground);
  const onRecorded = (scope: TenantScope) => ground.audit.heads.note(scope);
  const shared = { control, clock, log, scopeOf, currencyOf, onRecorded };
  const statements = new Statements({
    clock,
    currencyOf,
    planAt: ({ tenant }, atMs) => ground.plans.nameAt(tenant, atMs),
  });
  const exports = new UsageExports({ control, vault: ground.vault, clock, checkUrl: urlCheck(ground) });
  const sinkOf = (target: WebhookTarget) => new WebhookSink(target, ground.egress.fetchFor(OUTBOUND), clock);
  const platform = platformExport(config, clock, ground);
  const exporter = new UsageExporter({ ...shared, exports, platform, sinkOf });
  const courier = makeCourier(ground, {
    ...{ clock, log, scopeOf: stayingScopeOf, sinkOf, operator: alertSink(config, clock, ground) },
    findTarget: (scope) => exports.findTarget(scope),
  });
  const { prices, noteChange } = assistant;
  const charges = new StorageCharges({ ...shared, prices, noteChange });
  const ledger = new Ledger(clock);
  const expiry = new CreditExpiry({ ...shared, ledger });
  const payments = new Payments({ ...shared, ledger, providers: paymentProviders(config, clock, ground) });
  const codes = new Codes({ ...shared, ledger, expiry });
  const { publicUrl } = config;
  const routes: Route[] = [
    ...makeDrillRoutes({ clock, names: nameReader(ground, assistant) }),
    ...makeStatementRoutes({ statements }),
    ...makeExportRoutes({ exports }),
    ...makeOperatorExportRoutes({ control, clock, platform, cursors: exports.cursors, scopeOf }),
    ...makePaymentRoutes({
      ...{ payments, codes, ledger, expiry, auditLog: ground.audit.log, clock, publicUrl },
      ...{ scopeOf: stayingScopeOf, onRecorded },
    }),
    ...makeAdjustmentRoutes({ ledger, expiry, auditLog: ground.audit.log, clock, scopeOf, onRecorded }),
  ];
  const own = { scopeOf: stayingScopeOf, usageOf: ownUsageReader(ground, assistant) };
  const endpoints = usageEndpoints(config, ground.egress);
  const reconciler = new Reconciler({ ...shared, providers: endpoints, own });
  const compared = { control, reconciler, providers: Object.keys(endpoints) };
  routes.push(...makeReconciliationRoutes({ ...compared, auditLog: ground.audit.log, clock }));
  const sealer = new LedgerSealer(shared);
  const { plans } = ground;
  const look = (scope: TenantScope) => assistant.alerts.look(scope);
  const beginnings = new PlanBeginnings({ control, plans, clock, log, scopeOf: stayingScopeOf, look });
  const timed = [
    new StatementCloser({ ...shared, statements }),
    exporter,
    expiry,
    reconciler,
    sealer,
    courier,
    charges,
    beginnings,
  ];
  return {
    routes,
    payments,
    reconciler,
    start: () => {
      for (const one of timed) one.start();
    },
    close: async () => {
      for (const one of timed) await one.close();
    },
  };
}

/** A deletion can be taken back: until the purge what was used is billed, and what was paid is credited. */
function scopeReaders({ tenants, door }: Ground) {
  const scopeOf = async (tenantId: TenantId) => {
    const tenant = await tenants.findById(tenantId);
    return tenant === undefined ? undefined : door.scope(tenant);
  };
  const stayingScopeOf = async (tenantId: TenantId) => {
    const scope = await scopeOf(tenantId);
    return scope?.tenant.status === "deleting" ? undefined : scope;
  };
  return { scopeOf, stayingScopeOf };
}

/** SECURITY: usage says who did what; it goes over TLS unless the operator vouches for the host. */
function urlCheck({ egress }: Ground): (url: string) => void {
  return (text) => {
    const url = URL.parse(text);
    const isSound = url !== null && url.username === "" && url.password === "" && url.hash === "";
    if (isSound && (url.protocol === "https:" || egress.isOperatorHost(url.hostname))) return;
    throw new AppError("invalid_request", "Usage is sent to an https address without user name or fragment.");
  };
}

function platformExport({ usageExport }: Config, clock: Clock, ground: Ground): PlatformExport | null {
  if (usageExport === undefined) return null;
  if (usageExport.kind === "webhook") {
    const { url, secret } = usageExport;
    const sink = new WebhookSink({ url, secret: String(secret) }, operatorFetch(ground, url), clock);
    return { kind: "messages", sink };
  }
  const settings = { ...usageExport, apiKey: String(usageExport.apiKey) };
  return { kind: "charges", meter: new StripeMeter(settings, operatorFetch(ground, settings.apiBase)) };
}

/** Where the operator is told of warnings. */
function alertSink({ alertHook }: Config, clock: Clock, ground: Ground): WebhookSink | null {
  if (alertHook === undefined) return null;
  const { url, secret } = alertHook;
  return new WebhookSink({ url, secret: String(secret) }, operatorFetch(ground, url), clock);
}

function paymentProviders({ stripe, alipay }: Config, clock: Clock, ground: Ground): PaymentProvider[] {
  const providers: PaymentProvider[] = [];
  if (stripe !== undefined) {
    const { secretKey, webhookSecret, apiBase } = stripe;
    const settings = { secretKey: String(secretKey), webhookSecret: String(webhookSecret), apiBase };
    providers.push(new StripePayments(settings, operatorFetch(ground, apiBase), clock));
  }
  if (alipay !== undefined) {
    const keys = { privateKey: String(alipay.privateKey), alipayPublicKey: String(alipay.alipayPublicKey) };
    providers.push(new AlipayPayments({ ...alipay, ...keys }));
  }
  return providers;
}

/** SECURITY: names of people come from the tenant's own members and tokens; whoever left keeps only an id. */
function nameReader(ground: Ground, assistant: Assistant): NameReader {
  return async (scope, group) => {
    if (group === "user") {
      const { members, tokens } = ground.auth;
      // A token without a person acts as an identity of its own, which has the token's id.
      const known = (await tokens.list(scope.tenantId)).map((token): [string, string] => [
        token.id,
        token.name,
      ]);
      const people = await members.list(scope.tenantId);
      return new Map([...known, ...people.map((one): [string, string] => [one.userId, one.displayName])]);
    }
    if (group !== "agent") return new Map();
    const agents = await assistant.agents.list(scope);
    return new Map(agents.map((agent) => [agent.id, agent.name || agent.id]));
  };
}
