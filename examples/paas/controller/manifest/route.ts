import { randomInt } from "node:crypto";

/** A route as a manifest writes it, taken apart. */
export interface ParsedRoute {
  text: string;
  scheme?: string;
  host: string;
  port?: number;
  path: string;
  /** Which host and domain it can mean, the longer domain first. */
  candidates: { host: string; domain: string }[];
}

/** Takes `host.domain/path`, `domain:port` or a URL of it apart; `undefined` when it is no route. */
export function parseRoute(text: unknown): ParsedRoute | undefined {
  if (typeof text !== "string" || text.length > 512) return undefined;
  const match = /^(?:([A-Za-z][A-Za-z0-9+.-]*):\/\/)?([^/:?#@\s[\]]+)(?::(\d{1,5}))?(\/[^?#\s]*)?$/.exec(text);
  if (!match?.[2]) return undefined;
  const scheme = match[1]?.toLowerCase();
  const port = match[3] === undefined ? undefined : Number(match[3]);
  if (scheme !== undefined && !(port === undefined ? ["http", "https"] : ["tcp"]).includes(scheme)) return undefined;
  const full = match[2].toLowerCase();
  const dot = full.indexOf(".");
  const candidates = full.startsWith("*") ? [] : [{ host: "", domain: full }];
  if (dot > 0) candidates.push({ host: full.slice(0, dot), domain: full.slice(dot + 1) });
  return { text, ...(scheme === undefined ? {} : { scheme }), host: full, ...(port === undefined ? {} : { port }), path: match[4] ?? "", candidates };
}

/** What is wrong with an app's name as a host name, or `undefined`. */
export function defaultHostProblem(name: string): string | undefined {
  const prefix = "Failed to create default route from app name:";
  if (name.length > 63) return `${prefix} Host cannot exceed 63 characters`;
  if (!/^[\w-]+$/.test(name)) return `${prefix} Host must be either "*" or contain only alphanumeric characters, "_", or "-"`;
  return undefined;
}

const adjectives = ["amber", "brisk", "calm", "clever", "crisp", "curious", "dapper", "early", "eager", "fair", "gentle", "golden", "humble", "jolly", "keen", "light", "lively", "lucky", "mellow", "merry", "mild", "nimble", "noble", "placid", "polite", "proper", "quick", "rapid", "ready", "rosy", "silver", "snug", "solid", "sunny", "swift", "tidy", "vivid", "warm", "wise", "witty"];
const nouns = ["acorn", "anchor", "apple", "beacon", "birch", "bridge", "brook", "canyon", "cedar", "comet", "coral", "delta", "ember", "falcon", "fern", "fjord", "forest", "garden", "glacier", "harbor", "heron", "island", "kite", "lagoon", "lantern", "maple", "meadow", "meteor", "orchard", "otter", "pebble", "pine", "planet", "prairie", "river", "robin", "sparrow", "summit", "tulip", "willow"];

/** The tail of a random host name: adjective, noun, two letters. */
export function randomRouteTail(): string {
  const letter = () => String.fromCharCode(97 + randomInt(26));
  return `${adjectives[randomInt(adjectives.length)]}-${nouns[randomInt(nouns.length)]}-${letter()}${letter()}`;
}
