/**
 * Our cookies besides the session's, one name per purpose, and bodies that come as forms. Owns: their syntax.
 * Refuses to know: what they hold.
 */
import type { IncomingMessage } from "node:http";
import type { FastifyReply } from "fastify";
import { AppError } from "../../kernel/errors.ts";
import type { RouteAnswer } from "../../protocol/routes.ts";
import type { Ingress } from "../ingress.ts";
import { isLoopbackOrigin } from "./credentials.ts";

/** Fields of one form; back-channel logout sends one. */
const FIELDS = 32;

function nameOf(purpose: string, ingress: Ingress): string {
  return ingress.peer.isSecure ? `__Host-creel-${purpose}` : `creel-${purpose}-loopback`;
}

/** SECURITY: as for the session: no prefix only on loopback, and two of a name count as none. */
export function readPurposeCookie(
  request: IncomingMessage,
  ingress: Ingress,
  purpose: string,
): string | null {
  if (!ingress.peer.isSecure && !isLoopbackOrigin(ingress.origin)) return null;
  const start = `${nameOf(purpose, ingress)}=`;
  const pairs = (request.headers.cookie ?? "").split(";").map((pair) => pair.trim());
  const [value, ...more] = pairs
    .filter((pair) => pair.startsWith(start))
    .map((pair) => pair.slice(start.length));
  return value !== undefined && more.length === 0 && /^[A-Za-z0-9_-]{16,256}$/.test(value) ? value : null;
}

/** Set and clear cookies by purpose. */
export function setPurposeCookies(
  reply: FastifyReply,
  ingress: Ingress,
  cookies: NonNullable<RouteAnswer["cookies"]>,
): void {
  const options = { path: "/", httpOnly: true, secure: ingress.peer.isSecure, sameSite: "lax" } as const;
  for (const [purpose, cookie] of Object.entries(cookies)) {
    const name = nameOf(purpose, ingress);
    if (cookie === null) reply.clearCookie(name, options);
    else reply.setCookie(name, cookie.value, { ...options, maxAge: Math.floor(cookie.maxAgeMs / 1_000) });
  }
}

/**
 * The fields of a form. Throws `invalid_request` for a doubled field, and where no form is expected: pages of others
 * can send forms, but not JSON, without being asked whether they may.
 */
export function parseForm(body: string, isExpected: boolean | undefined): Record<string, string> {
  if (isExpected !== true) throw new AppError("invalid_request", "Unsupported Media Type");
  const fields = [...new URLSearchParams(body)];
  if (fields.length > FIELDS || new Set(fields.map(([name]) => name)).size !== fields.length) {
    throw new AppError("invalid_request", "The form has too many fields, or one of them twice.");
  }
  return Object.fromEntries(fields);
}
