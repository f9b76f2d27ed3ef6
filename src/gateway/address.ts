/**
 * Who is at the other end of a connection. Owns: which proxies are believed and what they say.
 * Refuses to know: tenants, credentials.
 */
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { AppError } from "../kernel/errors.ts";

type Range = [ipaddr.IPv4 | ipaddr.IPv6, number];

/** What is known of a peer. */
export interface Peer {
  /** Canonical address; IPv4-mapped IPv6 is shown as IPv4. */
  address: string;
  /** Whether the direct peer is a configured proxy. */
  isTrustedProxy: boolean;
  /** Whether the client's own leg was TLS, as a trusted proxy says, or ours. */
  isSecure: boolean;
}

/** Reads peers. */
export class Peers {
  private readonly trusted: Range[];

  /** @param trustedProxies addresses or CIDR ranges; throws `invalid_request` for anything else */
  constructor(trustedProxies: readonly string[]) {
    this.trusted = trustedProxies.map(parseRange);
  }

  of(request: IncomingMessage): Peer {
    const direct = canonical(request.socket.remoteAddress ?? "");
    const isTrustedProxy = this.isTrusted(direct);
    const isTls = (request.socket as { encrypted?: boolean }).encrypted === true;
    if (!isTrustedProxy) return { address: direct, isTrustedProxy, isSecure: isTls };
    const proto = request.headers["x-forwarded-proto"];
    return { address: this.forwarded(request, direct), isTrustedProxy, isSecure: isTls || proto === "https" };
  }

  /** The last address that is not one of our proxies: everything before it is the client's own claim. */
  private forwarded(request: IncomingMessage, direct: string): string {
    const header = request.headers["x-forwarded-for"];
    const list = (Array.isArray(header) ? header.join(",") : (header ?? ""))
      .split(",")
      .map((part) => part.trim());
    for (const hop of list.reverse()) {
      if (isIP(hop) === 0) return direct;
      const address = canonical(hop);
      if (!this.isTrusted(address)) return address;
    }
    return direct;
  }

  private isTrusted(address: string): boolean {
    if (!ipaddr.isValid(address)) return false;
    const parsed = ipaddr.process(address);
    return this.trusted.some(([range, bits]) => range.kind() === parsed.kind() && parsed.match(range, bits));
  }
}

function canonical(address: string): string {
  return ipaddr.isValid(address) ? ipaddr.process(address).toString() : address;
}

function parseRange(text: string): Range {
  try {
    if (text.includes("/") && isIP(text.split("/")[0] ?? "") !== 0) return ipaddr.parseCIDR(text) as Range;
    // Strictly: to ipaddr.js "1" is an address too, and a number of hops is what people mean by it.
    if (isIP(text) === 0) throw new Error("not an address");
    const address = ipaddr.process(text);
    return [address, address.kind() === "ipv4" ? 32 : 128];
  } catch (cause) {
    throw new AppError(
      "invalid_request",
      `gateway.trustedProxies: "${text}" is neither an address nor a CIDR range.`,
      { cause },
    );
  }
}
