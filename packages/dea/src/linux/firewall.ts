import { addressNumber, addressText, addressRange, type ParsedRule, type Range } from "../container/egress.ts";
import type { Slot } from "./names.ts";

/*
 * One table an executor, so that its next start finds its rules and touches no others. A packet from a container is
 * led by the name of its link into the container's two chains: `way_N` for what goes on, `host_N` for what is for
 * this machine. Each ends in a verdict. Replies of connections that came in pass first; connections that went out are
 * judged packet by packet, so a rule that is taken back ends them.
 */

const links = `"ocf*"`;

const span = ({ first, last }: Range): string => (first === last ? addressText(first) : `${addressText(first)}-${addressText(last)}`);
const ports = (ranges: readonly Range[]): string => `{ ${ranges.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(", ")} }`;

/** Never reached by a general rule: link-local (with the metadata address), other containers, loopback, multicast, reserved. */
export const protectedRanges = (pool: Range): Range[] => [addressRange("169.254.0.0/16"), pool, addressRange("127.0.0.0/8"), addressRange("224.0.0.0/3"), addressRange("0.0.0.0/8")];

/**
 * The kernel remembers the connections of the whole machine in one table of limited size: a container that fills it
 * would cut off the others. Each may have so many that it opened itself; more are refused.
 */
const connectionBound = (table: string, most: number): string => `
add set inet ${table} connections { type ipv4_addr; size 65535; flags dynamic; }
insert rule inet ${table} forward iifname ${links} ct state new add @connections { ip saddr ct count over ${most} } reject with icmpx type admin-prohibited
`;

/**
 * The table and what all containers share. Can be said again at any time; chains of containers stay. `maxConnections`
 * is left out where the kernel cannot count connections.
 */
export function baseRuleset(table: string, pool: Range, maxConnections?: number): string {
  return `
add table inet ${table}
add map inet ${table} ways { type ifname : verdict; }
add map inet ${table} hosts { type ifname : verdict; }
add map inet ${table} ports { type inet_service : ipv4_addr . inet_service; }
add set inet ${table} links { type ifname; }
add chain inet ${table} input { type filter hook input priority -5; policy accept; }
add chain inet ${table} forward { type filter hook forward priority -5; policy accept; }
add chain inet ${table} arriving { type nat hook prerouting priority -100; policy accept; }
add chain inet ${table} local { type nat hook output priority -100; policy accept; }
add chain inet ${table} leaving { type nat hook postrouting priority 100; policy accept; }
flush chain inet ${table} input
flush chain inet ${table} forward
flush chain inet ${table} arriving
flush chain inet ${table} local
flush chain inet ${table} leaving
add rule inet ${table} input iifname vmap @hosts
add rule inet ${table} forward iifname vmap @ways
add rule inet ${table} forward oifname @links ct state established,related accept
add rule inet ${table} forward oifname @links ct status dnat accept
add rule inet ${table} forward oifname @links drop
add rule inet ${table} arriving fib daddr type local dnat ip to tcp dport map @ports
add rule inet ${table} local fib daddr type local dnat ip to tcp dport map @ports
add rule inet ${table} leaving oifname @links ip saddr 127.0.0.0/8 masquerade
add rule inet ${table} leaving oifname != ${links} ip saddr ${span(pool)} masquerade
${maxConnections === undefined ? "" : connectionBound(table, maxConnections)}`;
}

export interface FirewallSlot {
  slot: Pick<Slot, "number" | "link" | "address" | "hostAddress">;
  hostPort: number;
  containerPort: number;
}

/** Adds a container; its rules come with {@link egressRuleset}. */
export const slotRuleset = (table: string, { slot: { number, link, address }, hostPort, containerPort }: FirewallSlot): string => `
add chain inet ${table} way_${number}
add chain inet ${table} host_${number}
add element inet ${table} links { "${link}" }
add element inet ${table} ways { "${link}" : jump way_${number} }
add element inet ${table} hosts { "${link}" : jump host_${number} }
${hostPort === 0 ? "" : `add element inet ${table} ports { ${hostPort} : ${address} . ${containerPort} }`}
`;

/** Removes a container's rules, whatever is there of them: what is added first can always be taken away. */
export const removalRuleset = (table: string, at: FirewallSlot): string => `${slotRuleset(table, at)}
${at.hostPort === 0 ? "" : `delete element inet ${table} ports { ${at.hostPort} }`}
delete element inet ${table} hosts { "${at.slot.link}" }
delete element inet ${table} ways { "${at.slot.link}" }
delete element inet ${table} links { "${at.slot.link}" }
flush chain inet ${table} way_${at.slot.number}
flush chain inet ${table} host_${at.slot.number}
delete chain inet ${table} way_${at.slot.number}
delete chain inet ${table} host_${at.slot.number}
`;

/** The condition of one rule. ICMP's kinds are numbers, as in a security group. */
function matches(rule: ParsedRule, destination: Range): string {
  const to = `ip daddr ${span(destination)}`;
  if (rule.protocol === "all") return to;
  if (rule.protocol === "icmp") {
    const type = rule.type === undefined ? "" : ` icmp type ${rule.type}`;
    const code = rule.code === undefined ? "" : ` icmp code ${rule.code}`;
    return `${to} ip protocol icmp${type}${code}`;
  }
  return `${to} ${rule.ports.length === 0 ? `meta l4proto ${rule.protocol}` : `${rule.protocol} dport ${ports(rule.ports)}`}`;
}

const inside = (inner: Range, outer: Range): boolean => inner.first >= outer.first && inner.last <= outer.last;

export interface EgressInput extends FirewallSlot {
  /** Undefined: everything that is not protected. */
  rules: readonly ParsedRule[] | undefined;
  pool: Range;
  /** Name servers: reached on port 53, wherever they are. */
  dns: readonly string[];
}

/**
 * Replaces what a container may reach, in one transaction. A rule opens a protected range only if it lies in it
 * wholly, and this machine only if it names a single address: to allow everything is not to allow these.
 */
export function egressRuleset(table: string, { slot: { number, address }, rules, pool, dns }: EgressInput): string {
  const guarded = protectedRanges(pool);
  const way: string[] = [];
  const host: string[] = [];
  const general: string[] = [];
  for (const rule of rules ?? []) {
    for (const destination of rule.destinations) {
      const condition = matches(rule, destination);
      const verdict = [...(rule.log && rule.protocol !== "icmp" && rule.protocol !== "udp" ? [`${condition} ct state new tcp flags syn log prefix "opencf-${number} "`] : []), `${condition} accept`];
      if (destination.first === destination.last) host.push(...verdict);
      (guarded.some((range) => inside(destination, range)) ? way : general).push(...verdict);
    }
  }
  if (rules === undefined) general.push("accept");
  const names = dns.flatMap((server) => ["udp", "tcp"].map((protocol) => `ip daddr ${addressText(addressNumber(server))} ${protocol} dport 53 accept`));
  const first = [`ip saddr != ${address} drop`, "meta nfproto ipv6 drop", "ct direction reply ct state established,related accept"];
  const refuse = "reject with icmpx type admin-prohibited";
  const chain = (name: string, lines: readonly string[]): string => [`flush chain inet ${table} ${name}`, ...lines.map((line) => `add rule inet ${table} ${name} ${line}`)].join("\n");
  return `${chain(`way_${number}`, [...first, ...way, ...names, `ip daddr { ${guarded.map(span).join(", ")} } ${refuse}`, ...general, refuse])}
${chain(`host_${number}`, [...first, ...host, ...names, refuse])}
`;
}
