/**
 * The audit log by HTTP: a tenant's for its admins, the platform's for operators. Owns: the declared routes.
 * Refuses to know: how rows are chained, who may call (the gateway enforces it).
 */
import { z } from "zod";
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import { describeIssues } from "../protocol/methods.ts";
import { defineRoute, defineTenantRoute, type Route, type RouteAnswer } from "../protocol/routes.ts";
import type { Actor } from "../tenancy/actor.ts";
import { type ExportFormat, exportLog } from "./export.ts";
import type { HeadKeeper } from "./heads.ts";
import { type AuditFilter, type AuditLog, type LogOf, toWireRow } from "./log.ts";
import { auditRecord } from "./record.ts";
import type { AuditMover } from "./recording/mover.ts";
import type { HeadReader } from "./verify.ts";

/** What the routes need. */
export interface AuditRouteDeps {
  log: AuditLog;
  mover: AuditMover;
  heads: HeadKeeper;
  readHead: HeadReader;
  /** Text of the offline verifier. */
  verifier(): Promise<string>;
  clock: Clock;
}

const LIMIT = 100;
const number = z
  .string()
  .regex(/^\d{1,15}$/, "must be a whole number")
  .transform(Number)
  .optional();
const text = z.string().min(1).max(200).optional();
const filterShape = {
  ...{ after: number, before: number, from: number, to: number },
  ...{ action: text, actor: text, target: text, outcome: z.enum(["ok", "denied", "failed"]).optional() },
};
const listQuery = z.object({ ...filterShape, limit: number.pipe(z.int().min(1).max(500).optional()) });
const exportQuery = z.object({ ...filterShape, format: z.enum(["jsonl", "csv"]).optional() });

/** Declare the routes. */
export function makeAuditRoutes(deps: AuditRouteDeps): Route[] {
  return [...tenantRoutes(deps), ...operatorRoutes(deps)];
}

function tenantRoutes(deps: AuditRouteDeps): Route[] {
  const get = (path: string, doc: string, answer: (call: AuditCall) => Promise<RouteAnswer>) =>
    defineTenantRoute({
      method: "GET",
      path: `/api/audit${path}`,
      scope: "operator.admin",
      body: null,
      doc,
      handler: ({ tenant, actor, query }) => answer({ of: tenant, name: tenant.tenant.slug, actor, query }),
    });
  return [
    get("", `${LIST_DOC} \`next\` is the \`before\` of the next page.`, (call) => listed(deps, call)),
    get(
      "/export",
      "The log as JSON lines or CSV, oldest first; `format`, and filters as for the list.",
      (call) => exported(deps, call),
    ),
    get(
      "/heads",
      "Signed heads, one for each day with records, newest first; today's is of this moment.",
      (call) => heads(deps, call),
    ),
    get("/verify", "Check the whole chain; names the first row that was altered, dropped or moved.", (call) =>
      verified(deps, call),
    ),
    get(
      "/verifier",
      "A program of one file that checks an export offline: `node verify-audit.mjs --help`.",
      () => verifier(deps),
    ),
  ];
}

const LIST_DOC =
  "Who did what, newest first. Filters: after, before, action, actor, target, outcome, from, to, limit.";

function operatorRoutes(deps: AuditRouteDeps): Route[] {
  const get = (path: string, doc: string, answer: (call: AuditCall) => Promise<RouteAnswer>) =>
    defineRoute({
      method: "GET",
      path: `/operator/api/audit${path}`,
      policy: { kind: "operator" },
      body: null,
      doc,
      handler: ({ actor, query }) => answer({ of: "platform", name: "platform", actor, query }),
    });
  return [
    get("", `The platform's own log. ${LIST_DOC}`, (call) => listed(deps, call)),
    get("/export", "The platform's own log as JSON lines or CSV.", (call) => exported(deps, call)),
    get("/heads", "Signed heads of the platform's own log.", (call) => heads(deps, call)),
    get("/verify", "Check the whole chain of the platform's own log.", (call) => verified(deps, call)),
  ];
}

interface AuditCall {
  of: LogOf;
  /** For file names. */
  name: string;
  actor: Actor | null;
  query: Readonly<Record<string, string>>;
}

async function listed(deps: AuditRouteDeps, { of, query }: AuditCall): Promise<RouteAnswer> {
  const { limit, ...filter } = read(listQuery, query);
  await settle(deps, of);
  const page = await deps.log.list(of, filter, limit ?? LIMIT);
  const next = page.next === null ? null : String(page.next);
  return { status: 200, body: { events: page.rows.map(toWireRow), next } };
}

async function exported(deps: AuditRouteDeps, call: AuditCall): Promise<RouteAnswer> {
  const { format = "jsonl", ...filter } = read(exportQuery, call.query);
  await settle(deps, call.of);
  if (call.actor !== null) {
    const details = { format, filter: onlyGiven(filter) };
    // Before the rows are read, so that the file says itself that it was taken.
    await deps.log.append(
      call.of,
      auditRecord(deps.clock.nowMs(), call.actor, "audit.exported", null, details),
    );
    deps.heads.note(call.of);
  }
  return {
    status: 200,
    contentType: MEDIA[format],
    headers: { "content-disposition": `attachment; filename="audit-${call.name}.${format}"` },
    stream: exportLog(deps.log, call.of, filter, format),
  };
}

const MEDIA: Readonly<Record<ExportFormat, string>> = {
  jsonl: "application/x-ndjson; charset=utf-8",
  csv: "text/csv; charset=utf-8",
};

async function heads(deps: AuditRouteDeps, { of }: AuditCall): Promise<RouteAnswer> {
  await settle(deps, of);
  return { status: 200, body: { heads: await deps.heads.list(of) } };
}

async function verified(deps: AuditRouteDeps, { of }: AuditCall): Promise<RouteAnswer> {
  await settle(deps, of);
  const { ok, checked, problem } = await deps.log.verify(of, deps.readHead);
  return { status: 200, body: { ok, checked, problem } };
}

async function verifier(deps: AuditRouteDeps): Promise<RouteAnswer> {
  return {
    status: 200,
    contentType: "text/javascript; charset=utf-8",
    headers: { "content-disposition": 'attachment; filename="verify-audit.mjs"' },
    body: await deps.verifier(),
  };
}

/** What was handed in before the call is seen by it. */
async function settle({ mover }: AuditRouteDeps, of: LogOf): Promise<void> {
  if (of !== "platform") {
    await mover.drainTenant(of.tenantId);
    return;
  }
  // What is under way may have begun before the last commit.
  await mover.drain();
  await mover.drain();
}

function read<Shape extends z.ZodType>(
  schema: Shape,
  query: Readonly<Record<string, string>>,
): z.output<Shape> {
  const parsed = schema.safeParse(query);
  if (parsed.success) return parsed.data;
  throw new AppError("invalid_request", `invalid query: ${describeIssues(parsed.error.issues)}`);
}

function onlyGiven(filter: AuditFilter): Record<string, unknown> {
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
}
