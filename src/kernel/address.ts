/**
 * Which network addresses an outbound request may reach. Owns: reading an address and judging it.
 * Refuses to know: names, sockets, who asks.
 */
import ipaddr from "ipaddr.js";

/** What an address is: `global` any machine on the internet, `private` only near us, `never` not even for an operator. */
export type AddressClass = "global" | "private" | "never";

/** A network and the bits of it that count. */
type Range = [ipaddr.IPv4 | ipaddr.IPv6, number];

/**
 * Where clouds hand credentials to whoever asks from inside, and the like. 168.63.129.16 (Azure) is globally
 * routable by its number, so no range covers it.
 */
const NEVER_V4 = [
  "169.254.0.0/16",
  "100.100.100.200/32",
  "100.100.100.100/32",
  "192.0.0.0/24",
  "168.63.129.16/32",
].map(toRange);
const NEVER_V6 = ["fd00:ec2::/32", "fd20:ce::254/128", "fe80::/10"].map(toRange);
const GLOBAL_V6 = [toRange("2000::/3")];

/** IPv6 ranges that carry an IPv4 address inside, and how many bytes before the end it lies. */
const EMBEDDINGS: readonly { range: Range; offset: number; isInverted?: boolean }[] = [
  { range: toRange("::/96"), offset: 12 },
  { range: toRange("::ffff:0:0/96"), offset: 12 },
  { range: toRange("::ffff:0:0:0/96"), offset: 12 },
  { range: toRange("64:ff9b::/96"), offset: 12 },
  { range: toRange("64:ff9b:1::/48"), offset: 12 },
  { range: toRange("2002::/16"), offset: 2 },
  { range: toRange("2001::/32"), offset: 12, isInverted: true },
];

/** Judge an address; anything unreadable is `never`. */
export function classifyAddress(text: string): AddressClass {
  if (!ipaddr.isValid(text) || text.includes("%")) return "never";
  const address = ipaddr.process(text);
  if (address.kind() === "ipv4") return classifyV4(address as ipaddr.IPv4);
  const six = address as ipaddr.IPv6;
  if (inRanges(six, NEVER_V6)) return "never";
  if (six.range() === "loopback") return "private";
  const inner = embeddedV4(six);
  // SECURITY: a translator in our network would turn these into the IPv4 address; none of them is a public destination.
  if (inner !== undefined) return classifyV4(inner) === "never" ? "never" : "private";
  if (six.range() === "unicast" && inRanges(six, GLOBAL_V6)) return "global";
  return six.range() === "uniqueLocal" ? "private" : "never";
}

function classifyV4(four: ipaddr.IPv4): AddressClass {
  if (inRanges(four, NEVER_V4)) return "never";
  const range = four.range();
  if (range === "unicast") return "global";
  return range === "private" || range === "loopback" || range === "carrierGradeNat" ? "private" : "never";
}

function embeddedV4(six: ipaddr.IPv6): ipaddr.IPv4 | undefined {
  const found = EMBEDDINGS.find(({ range }) => inRanges(six, [range]));
  if (found === undefined) return undefined;
  const bytes = six.toByteArray().slice(found.offset, found.offset + 4);
  return new ipaddr.IPv4(found.isInverted ? bytes.map((byte) => byte ^ 0xff) : bytes);
}

function inRanges(address: ipaddr.IPv4 | ipaddr.IPv6, ranges: readonly Range[]): boolean {
  return ranges.some((range) => {
    return range[0].kind() === address.kind() && address.match(range as [ipaddr.IPv4, number]);
  });
}

/** A list of hosts and address ranges that somebody vouches for. */
export class AddressList {
  private readonly names = new Set<string>();
  private readonly ranges: Range[] = [];

  /** @param entries host names, addresses or CIDR ranges; throws on a malformed range */
  constructor(entries: readonly string[]) {
    for (const entry of entries.map((text) => text.trim().toLowerCase())) {
      if (entry.includes("/")) this.ranges.push(toRange(entry));
      else if (ipaddr.isValid(entry)) this.ranges.push(ownRange(entry));
      else if (entry.length > 0) this.names.add(entry);
    }
  }

  hasName(host: string): boolean {
    return this.names.has(host);
  }

  hasAddress(text: string): boolean {
    return ipaddr.isValid(text) && inRanges(ipaddr.process(text), this.ranges);
  }
}

/** The range that holds one address. */
function ownRange(text: string): Range {
  const address = ipaddr.process(text);
  return [address, address.kind() === "ipv4" ? 32 : 128];
}

/** Ranges are read once: reading them took longer than comparing. Throws on a malformed one. */
function toRange(text: string): Range {
  return ipaddr.parseCIDR(text);
}
