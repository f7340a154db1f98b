import { isIPv4 } from "node:net";
import { unprocessable } from "../api/errors.ts";
import { isPlain } from "../api/checks.ts";
import type { SecurityGroupRule } from "../data/schema.ts";

const keys = ["code", "description", "destination", "log", "ports", "protocol", "type"];
const protocols = ["tcp", "udp", "icmp", "all"];
/** Rules one group may have. */
const maxRules = 1_000;

/** Reads `rules` of a body. Every text that the Cloud Controller has for a wrong rule is here. @throws CfError 422 with all that is wrong */
export function readRules(given: unknown): SecurityGroupRule[] {
  if (!Array.isArray(given)) throw unprocessable("Rules must be an array");
  if (given.length > maxRules) throw unprocessable(`Rules must have at most ${maxRules} items`);
  const problems = given.flatMap((rule, index) => problemsOf(rule).map((text) => `Rules[${index}]: ${text}`));
  if (problems.length > 0) throw unprocessable(problems.join(", "));
  return given as SecurityGroupRule[];
}

function problemsOf(rule: unknown): string[] {
  if (!isPlain(rule)) return ["must be an object"];
  const { protocol, destination, description, log, ports } = rule;
  const problems: string[] = [];
  const strange = Object.keys(rule).filter((key) => !keys.includes(key));
  if (strange.length > 0) problems.push(`unknown field(s): [${strange.map((key) => JSON.stringify(key)).join(", ")}]`);
  if (typeof protocol !== "string" || !protocols.includes(protocol)) problems.push("protocol must be 'tcp', 'udp', 'icmp', or 'all'");
  problems.push(...destinationProblems(destination));
  if (description !== undefined && typeof description !== "string") problems.push("description must be a string");
  if (log !== undefined && typeof log !== "boolean") problems.push("log must be a boolean");
  if (protocol === "tcp" || protocol === "udp") {
    if (ports === undefined) problems.push("ports are required for protocols of type TCP and UDP");
    else if (typeof ports !== "string" || !ports.split(",").every(isPorts)) problems.push("ports must be a valid single port, comma separated list of ports, or range or ports, formatted as a string");
  }
  if (protocol === "icmp")
    for (const name of ["code", "type"]) {
      const value = rule[name];
      if (value === undefined) problems.push(`${name} is required for protocols of type ICMP`);
      else if (!Number.isInteger(value) || (value as number) < -1 || (value as number) > 255) problems.push(`${name} must be an integer between -1 and 255 (inclusive)`);
    }
  if (protocol === "all" && ports !== undefined) problems.push("ports are not allowed for protocols of type all");
  return problems;
}

function isPorts(text: string): boolean {
  const match = /^\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?$/.exec(text);
  const [first, last] = match ? [Number(match[1]), Number(match[2] ?? match[1])] : [0, 0];
  return first >= 1 && last <= 65_535 && first <= last;
}

function destinationProblems(destination: unknown): string[] {
  if (destination === undefined || destination === null) return ["nil destination; destination must be a comma-delimited list of valid CIDRs, IP addresses, or IP address ranges"];
  if (typeof destination !== "string") return ["destination must be a string"];
  if (/\s/.test(destination)) return ["destination must not contain whitespace"];
  return destination.split(",").flatMap((part) => {
    const ends = part.split("-");
    if (ends.length === 2) {
      if (!ends.every((end) => isIPv4(end))) return ["destination IP address range is invalid"];
      const [first, last] = ends.map(numberOf) as [number, number];
      return first <= last ? [] : ["beginning of IP address range is numerically greater than the end of its range (range endpoints are inverted)"];
    }
    const [address = "", bits, ...more] = part.split("/");
    const valid = ends.length === 1 && more.length === 0 && isIPv4(address) && (bits === undefined || (/^\d{1,2}$/.test(bits) && Number(bits) <= 32));
    return valid ? [] : ["destination must contain valid CIDR(s), IP address(es), or IP address range(s)"];
  });
}

const numberOf = (address: string): number => address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
