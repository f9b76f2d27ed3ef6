/**
 * What a setup code says (OpenClaw docs/channels/pairing.md, CLI `qr` and `connect`). Owns: its text and the address in
 * it. Refuses to know: what the bootstrap token inside is worth.
 *
 * A code is base64url of JSON `{url, bootstrapToken, expiresAtMs}`; `url` is ws or wss, with the tenant's path unless the
 * host is the tenant's own. Clients refuse plain ws beyond loopback and private networks.
 */
import { AppError } from "../../../kernel/errors.ts";
import type { Tenant } from "../../../tenancy/tenant.ts";

/** Where a device is told to connect. */
export interface SetupAddress {
  /** `ws(s)://host[:port][/t/slug]` */
  url: string;
  /** Where that was learnt from. */
  source: string;
  /** Whether nobody on the way can read it: TLS, or this machine itself. */
  isPrivate: boolean;
}

/**
 * The address to put into a code: what the caller asks for, else what the operator configured, else where the caller
 * reached us (a host that was checked). Throws `invalid_request` when nothing is known or it is no web address.
 */
export function setupAddress(
  tenant: Tenant,
  known: { asked?: string | undefined; configured?: string | undefined; seen?: string | undefined },
): SetupAddress {
  const { asked, configured, seen } = known;
  const isOwnHost = seen !== undefined && tenant.hosts.includes(new URL(seen).hostname);
  const [text, source] =
    asked !== undefined
      ? [asked, "request.publicUrl"]
      : configured !== undefined && !isOwnHost
        ? [configured, "gateway.publicUrl"]
        : [seen, "request.origin"];
  if (text === undefined) {
    throw new AppError("invalid_request", "Say with publicUrl where devices reach this gateway.");
  }
  const base = readOrigin(text);
  const path = tenant.hosts.includes(base.hostname) ? "" : `/t/${tenant.slug}`;
  const scheme = base.protocol === "https:" || base.protocol === "wss:" ? "wss" : "ws";
  const url = `${scheme}://${base.host}${path}`;
  return { url, source, isPrivate: scheme === "wss" || isLoopback(base.hostname) };
}

/** The code for a bootstrap token. */
export function encodeSetupCode(payload: {
  url: string;
  bootstrapToken: string;
  expiresAtMs: number;
}): string {
  const { url, bootstrapToken, expiresAtMs } = payload;
  return Buffer.from(JSON.stringify({ url, bootstrapToken, expiresAtMs })).toString("base64url");
}

/** SECURITY: only the origin is taken: the tenant's path is ours to write, and credentials have no place in it. */
function readOrigin(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isWeb = url !== undefined && ["http:", "https:", "ws:", "wss:"].includes(url.protocol);
  if (!isWeb || url.host === "" || url.username !== "" || url.password !== "") {
    throw new AppError(
      "invalid_request",
      "publicUrl must be an http, https, ws or wss address without credentials.",
    );
  }
  return url;
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}
