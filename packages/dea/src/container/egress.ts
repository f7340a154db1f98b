import { DeaError } from "../errors.ts";

/** One thing an app may reach, in the words of a Cloud Foundry security group. */
export interface EgressRule {
  protocol: "tcp" | "udp" | "icmp" | "all";
  /** IPv4 address, network (`10.0.0.0/8`) or range (`10.0.0.1-10.0.0.9`); several with commas. */
  destination: string;
  /** Of tcp and udp: `80`, `80,443`, `8000-9000`. Default all. */
  ports?: string;
  /** Of icmp; -1 or nothing means any. */
  type?: number;
  code?: number;
  /** Writes new tcp connections to the kernel's log. */
  log?: boolean;
}

export interface Range {
  first: number;
  last: number;
}

/** A rule that was understood: addresses and ports as numbers. */
export interface ParsedRule {
  protocol: EgressRule["protocol"];
  destinations: readonly Range[];
  ports: readonly Range[];
  type: number | undefined;
  code: number | undefined;
  log: boolean;
}

/** Rules one container may have. */
export const maxEgressRules = 1_000;

/** False where one of the rules allows everything: then they limit nothing, and nobody has to keep them. Rules that cannot be understood may. */
export function narrows(rules: readonly EgressRule[]): boolean {
  return !rules.some((rule) => {
    try {
      return rule.protocol === "all" && parseEgress([rule]).some(({ destinations }) => destinations.some(({ first, last }) => first === 0 && last === 2 ** 32 - 1));
    } catch {
      return false;
    }
  });
}

const invalid = (why: string): DeaError => new DeaError("DEA_INVALID_SPEC", `egress rule: ${why}`);

/** IPv4 text to a number. Throws DEA_INVALID_SPEC. */
export function addressNumber(text: string): number {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  if (!parts || parts.some((part) => part > 255)) throw invalid(`not an IPv4 address: ${JSON.stringify(text)}`);
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

export const addressText = (value: number): string => [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");

/** `10.0.0.0/8`, `10.0.0.1`, `10.0.0.1-10.0.0.9` to first and last address. Throws DEA_INVALID_SPEC. */
export function addressRange(text: string): Range {
  const [from = "", to, ...rest] = text.split("-").map((part) => part.trim());
  if (rest.length > 0) throw invalid(`not a range: ${JSON.stringify(text)}`);
  if (to !== undefined) {
    const range = { first: addressNumber(from), last: addressNumber(to) };
    if (range.first > range.last) throw invalid(`a range that ends before it begins: ${text}`);
    return range;
  }
  const [address = "", bits, ...more] = from.split("/");
  if (bits === undefined) return { first: addressNumber(address), last: addressNumber(address) };
  if (more.length > 0 || !/^\d{1,2}$/.test(bits) || Number(bits) > 32) throw invalid(`not a network: ${JSON.stringify(text)}`);
  const size = 2 ** (32 - Number(bits));
  const first = Math.floor(addressNumber(address) / size) * size;
  return { first, last: first + size - 1 };
}

function portRange(text: string): Range {
  const match = /^\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?$/.exec(text);
  const range = match ? { first: Number(match[1]), last: Number(match[2] ?? match[1]) } : { first: 0, last: 0 };
  if (range.first < 1 || range.last > 65_535 || range.first > range.last) throw invalid(`not ports: ${JSON.stringify(text)}`);
  return range;
}

const icmpNumber = (name: string, value: number | undefined): number | undefined => {
  if (value === undefined || value === -1) return undefined;
  if (!Number.isInteger(value) || value < 0 || value > 255) throw invalid(`${name} must be from 0 to 255, or -1 for any`);
  return value;
};

/** Understands rules, or throws DEA_INVALID_SPEC with what is wrong: nothing of a user's text ever reaches the firewall. */
export function parseEgress(rules: readonly EgressRule[]): ParsedRule[] {
  if (rules.length > maxEgressRules) throw invalid(`more than ${maxEgressRules}`);
  return rules.map(({ protocol, destination, ports, type, code, log = false }) => {
    if (!["tcp", "udp", "icmp", "all"].includes(protocol)) throw invalid(`no such protocol: ${JSON.stringify(protocol)}`);
    if (typeof destination !== "string") throw invalid("the destination is missing");
    const named = ports !== undefined && ports.trim() !== "" && (protocol === "tcp" || protocol === "udp");
    return {
      protocol,
      destinations: destination.split(",").map((part) => addressRange(part.trim())),
      ports: named ? ports.split(",").map(portRange) : [],
      type: protocol === "icmp" ? icmpNumber("type", type) : undefined,
      code: protocol === "icmp" ? icmpNumber("code", code) : undefined,
      log,
    };
  });
}
