/**
 * Statements by HTTP. Owns: the declared routes and the forms they answer in. Refuses to know: what a month holds.
 */
import { z } from "zod";
import { AppError } from "../../kernel/errors.ts";
import { defineTenantRoute, type Route, type RouteAnswer } from "../../protocol/routes.ts";
import { statementCsv } from "./csv.ts";
import { PAGE_POLICY, statementPage } from "./page.ts";
import type { Statement } from "./statement.ts";
import type { Statements } from "./statements.ts";

const FORMAT = z.enum(["json", "csv", "html"]).default("json");
const LANGUAGE = z.enum(["en", "zh-CN"]).default("en");

/** Declare the routes. */
export function makeStatementRoutes({ statements }: { statements: Statements }): Route[] {
  return [
    defineTenantRoute({
      method: "GET",
      path: "/api/statements",
      scope: "operator.admin",
      body: null,
      doc: "Months with a statement, newest first; closed ones never change.",
      handler: async ({ tenant }) => ({
        status: 200,
        body: { statements: await statements.list(tenant) },
      }),
    }),
    defineTenantRoute({
      method: "GET",
      path: "/api/statements/:month",
      scope: "operator.admin",
      body: null,
      doc: "One month (`YYYY-MM`) with its lines, as `format` json, csv or html; the page speaks `lang` en or zh-CN.",
      async handler({ tenant, params, query }) {
        const format = FORMAT.safeParse(query["format"]);
        const language = LANGUAGE.safeParse(query["lang"]);
        if (!format.success) throw new AppError("invalid_request", "format is json, csv or html.");
        if (!language.success) throw new AppError("invalid_request", "lang is en or zh-CN.");
        const statement = await statements.get(tenant, params["month"] ?? "");
        return answerAs(statement, format.data, language.data);
      },
    }),
  ];
}

function answerAs(
  statement: Statement,
  format: z.output<typeof FORMAT>,
  language: z.output<typeof LANGUAGE>,
): RouteAnswer {
  if (format === "json") return { status: 200, body: statement };
  if (format === "html") {
    return {
      status: 200,
      contentType: "text/html; charset=utf-8",
      headers: { "content-security-policy": PAGE_POLICY },
      body: statementPage(statement, language),
    };
  }
  const name = `statement-${statement.tenant.slug}-${statement.month}.csv`;
  return {
    status: 200,
    contentType: "text/csv; charset=utf-8",
    headers: { "content-disposition": `attachment; filename="${name}"` },
    body: statementCsv(statement),
  };
}
