import type { HeaderBlock } from "../http1/head.ts";
import { bitsOf, COOKIE, INSTANCE } from "../http1/names.ts";
import { hostOf, isHost, pathOf } from "../uri.ts";
import { originOf, type Exchange } from "./exchange.ts";
import { affinityCookie } from "./sticky.ts";

/** What is needed of a request's head to find its route. */
interface Destination {
  readonly method: string;
  readonly target: string;
  readonly lookupHost: string;
  /** As the table knows it; empty when there is none. */
  readonly host: string;
  /** Whether it can be one, and is the only one. */
  readonly hostFits: boolean;
  /** Of the target, for look-up. */
  readonly path: string;
  /** Whether its escapes are such. */
  readonly pathFits: boolean;
}

/** What follows from header lines without taking them apart. */
export interface KnownLines {
  readonly count: number;
  readonly headerBytes: number;
  /** Whether nothing in them says which endpoint it has to be: no instance that is asked for, no cookie of ours. */
  readonly leavesChoice: boolean;
  /** Of the last request with these lines. */
  destination: Destination | undefined;
}

/** For lines that the router's own reader has read, good as long as no step has had its hands in the headers; undefined for others. */
export function knownLinesOf({ block, isUntouched }: Exchange): KnownLines | undefined {
  return block === undefined || !isUntouched ? undefined : (block.known ??= makeKnown(block)) as KnownLines;
}

const tying = bitsOf(COOKIE, INSTANCE);

function makeKnown(block: HeaderBlock): KnownLines {
  const { seen, text, begin, end } = block;
  const tied = (seen & tying) !== 0 && ((seen & bitsOf(INSTANCE)) !== 0 || text.includes(affinityCookie, begin));
  return { count: block.count, headerBytes: block.isRegular ? end - begin : headerBytesOf(block.raw), leavesChoice: !tied, destination: undefined };
}

/** Where the request wants to go; for lines that come again the answer is kept. */
export function destinationOf(exchange: Exchange): Destination {
  const { lookupHost, method, target, block } = exchange;
  const known = knownLinesOf(exchange);
  const held = known?.destination;
  if (held !== undefined && held.target === target && held.lookupHost === lookupHost && held.method === method) return held;
  if (lastHost.given !== lookupHost) lastHost = readHost(lookupHost);
  const { host, fits } = lastHost;
  const path = method === "CONNECT" ? "/" : pathOf(originOf(target));
  // Of a block the reader has looked at that itself.
  const hostFits = fits && (block !== undefined || !hasSeveralHosts(exchange.receivedHeaders));
  const made = { method, target, lookupHost, host, hostFits, path, pathFits: !path.includes("%") || !/%(?![0-9a-fA-F]{2})/.test(path) };
  if (known !== undefined) known.destination = made;
  return made;
}

interface KnownHost { readonly given: string; readonly host: string; readonly fits: boolean }

function readHost(given: string): KnownHost {
  const host = hostOf(given);
  return { given, host, fits: isHost(host) };
}

/** Of the last request: many in a row are for the same one. */
let lastHost = readHost("");

/** For each header its name, its value and `: ` and CR LF. */
export function headerBytesOf(headers: readonly string[]): number {
  let bytes = headers.length * 2;
  for (const part of headers) bytes += part.length;
  return bytes;
}

/** Two `Host` headers are two opinions about where the request goes (RFC 9112, 3.2). */
function hasSeveralHosts(headers: readonly string[]): boolean {
  let hosts = 0;
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string;
    if (name.length === 4 && name.toLowerCase() === "host") hosts += 1;
  }
  return hosts > 1;
}
