/**
 * What narrows an API token below its role: scopes, addresses it may be used from, agents it may reach.
 * Owns: reading such limits from outside and from rows, and that a token never makes a wider one.
 * Refuses to know: storage, transports.
 *
 * SECURITY: a list that is there is meant: an empty list of scopes grants nothing, an empty list of addresses or agents
 * is refused, as are wildcards and blanks, because each of them has been read as "all" somewhere (ATTACKS RO-16).
 */
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { AddressList } from "../../kernel/address.ts";
import { AppError } from "../../kernel/errors.ts";
import { isAgentId } from "../../kernel/ids.ts";
import { allows, type Role, type Scope, scopesOf } from "../../tenancy/scopes.ts";

/** Limits as they are kept; null means none of that kind. */
export interface TokenLimits {
  /** Scopes, out of the role's; an empty list grants nothing. */
  scopes: readonly Scope[] | null;
  /** Canonical addresses and CIDR ranges. */
  addresses: readonly string[] | null;
  agents: readonly string[] | null;
}

/** Limits as somebody asks for them. */
export interface AskedLimits {
  scopes?: readonly string[] | null | undefined;
  addresses?: readonly string[] | null | undefined;
  agents?: readonly string[] | null | undefined;
}

/** A token without limits. */
export const NO_LIMITS: TokenLimits = { scopes: null, addresses: null, agents: null };

/** Entries of one list. */
const ENTRIES = 64;

/**
 * Check what is asked for. Throws `invalid_request` for words that mean nothing, `forbidden` for scopes beyond the
 * role.
 */
export function readLimits(asked: AskedLimits, role: Role): TokenLimits {
  return {
    scopes: asked.scopes == null ? null : readScopes(asked.scopes, role),
    addresses: asked.addresses == null ? null : readAddresses(asked.addresses),
    agents: asked.agents == null ? null : readAgents(asked.agents),
  };
}

function readScopes(asked: readonly string[], role: Role): Scope[] {
  const known = scopesOf("owner") as readonly string[];
  const unknown = asked.find((scope) => !known.includes(scope));
  if (unknown !== undefined) {
    throw new AppError(
      "invalid_request",
      `There is no scope "${cut(unknown)}". There is: ${known.join(", ")}.`,
    );
  }
  const held = scopesOf(role);
  const beyond = asked.find((scope) => !held.includes(scope as Scope));
  if (beyond !== undefined)
    throw new AppError("forbidden", `A token with the role "${role}" cannot hold "${beyond}".`);
  return held.filter((scope) => asked.includes(scope));
}

function readAddresses(asked: readonly string[]): string[] {
  assertListed(asked, "addresses");
  return [...new Set(asked.map(readRange))];
}

/** One address or range in canonical form; IPv4 mapped into IPv6 is the IPv4 address. */
function readRange(text: string): string {
  const [address = "", bits, ...rest] = text.trim().split("/");
  // Strictly: to ipaddr.js "1" is an address too, and a zone means another machine's interface.
  if (isIP(address) === 0 || address.includes("%") || rest.length > 0) throw badRange(text);
  const parsed = ipaddr.parse(address);
  const width = parsed.kind() === "ipv4" ? 32 : 128;
  const prefix = bits === undefined ? width : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
  if (prefix < 1 || prefix > width) throw badRange(text);
  if (!(parsed instanceof ipaddr.IPv6) || !parsed.isIPv4MappedAddress()) {
    return prefix === width ? parsed.toString() : `${networkOf(parsed, prefix)}/${prefix}`;
  }
  const four = parsed.toIPv4Address();
  if (prefix < 97) throw badRange(text);
  return prefix === 128 ? four.toString() : `${networkOf(four, prefix - 96)}/${prefix - 96}`;
}

function networkOf(address: ipaddr.IPv4 | ipaddr.IPv6, prefix: number): string {
  const range = `${address.toString()}/${prefix}`;
  return address.kind() === "ipv4"
    ? ipaddr.IPv4.networkAddressFromCIDR(range).toString()
    : ipaddr.IPv6.networkAddressFromCIDR(range).toString();
}

function badRange(text: string): AppError {
  return new AppError(
    "invalid_request",
    `"${cut(text)}" is neither an address nor a range such as 192.0.2.0/24 or 2001:db8::/32.`,
  );
}

function readAgents(asked: readonly string[]): string[] {
  assertListed(asked, "agents");
  for (const id of asked) {
    if (!isAgentId(id))
      throw new AppError(
        "invalid_request",
        `"${cut(id)}" is not the id of an agent; names and wildcards are not taken.`,
      );
  }
  return [...new Set(asked)];
}

function assertListed(asked: readonly string[], what: string): void {
  if (asked.length > 0 && asked.length <= ENTRIES) return;
  throw new AppError(
    "invalid_request",
    asked.length === 0
      ? `An empty list of ${what} lets nobody in. Leave it out for no such limit.`
      : `A token names at most ${ENTRIES} ${what}.`,
  );
}

function cut(text: string): string {
  return text.slice(0, 60);
}

/**
 * The limits of a token that a limited token makes: what it does not ask for it inherits, what it asks for must be
 * within its maker's. Throws `forbidden`.
 */
export function inheritLimits(child: TokenLimits, maker: TokenLimits, role: Role): TokenLimits {
  return {
    scopes: inheritScopes(child.scopes, maker.scopes, role),
    addresses: inheritList(child.addresses, maker.addresses, "addresses"),
    agents: inheritList(child.agents, maker.agents, "agents"),
  };
}

function inheritScopes(
  child: readonly Scope[] | null,
  maker: readonly Scope[] | null,
  role: Role,
): readonly Scope[] | null {
  if (maker === null) return child;
  const held = new Set(maker);
  if (child === null) return scopesOf(role).filter((scope) => allows(held, scope));
  if (child.every((scope) => allows(held, scope))) return child;
  throw beyondMaker("scopes");
}

function inheritList(
  child: readonly string[] | null,
  maker: readonly string[] | null,
  what: string,
): readonly string[] | null {
  if (maker === null || child === null) return child ?? maker;
  if (child.every((entry) => maker.includes(entry))) return child;
  throw beyondMaker(what);
}

function beyondMaker(what: string): AppError {
  return new AppError("forbidden", `A token cannot make one with ${what} that it does not have itself.`);
}

/** Whether a token with these addresses may be used from there. */
export function isFromAllowed(addresses: readonly string[] | null, address: string): boolean {
  return addresses === null || new AddressList(addresses).hasAddress(address.split("%", 1)[0] ?? "");
}

/** A stored list; null when there is none. SECURITY: one that cannot be read grants nothing instead of everything. */
export function readList(text: string | null): string[] | null {
  if (text === null) return null;
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) ? list.filter((entry) => typeof entry === "string") : [];
  } catch {
    return [];
  }
}

/** The stored form of a list. */
export function writeList(list: readonly string[] | null): string | null {
  return list === null ? null : JSON.stringify(list);
}
