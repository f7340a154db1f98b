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

/** What follows from header lines that a client repeats. */
export interface KnownLines {
  readonly headerBytes: number;
  /** Whether nothing in them says which endpoint it has to be: no instance that is asked for, no cookie of ours. */
  readonly leavesChoice: boolean;
  /** Of the last request with these lines. */
  destination: Destination | undefined;
}

/** Worked out once for lines that come again, and good as long as no step has had its hands in the headers; undefined for others. */
export function knownLinesOf({ block, currentHeaders, receivedHeaders }: Exchange): KnownLines | undefined {
  if (block === undefined || !block.repeated || currentHeaders !== receivedHeaders) return undefined;
  return (block.known ??= { headerBytes: headerBytesOf(receivedHeaders), leavesChoice: !receivedHeaders.some(tiesToEndpoint), destination: undefined } satisfies KnownLines) as KnownLines;
}

/** Where the request wants to go; for lines that come again the answer is kept. */
export function destinationOf(exchange: Exchange): Destination {
  const { lookupHost, method, target, receivedHeaders } = exchange;
  const known = knownLinesOf(exchange);
  const held = known?.destination;
  if (held !== undefined && held.target === target && held.lookupHost === lookupHost && held.method === method) return held;
  const host = hostOf(lookupHost);
  const path = method === "CONNECT" ? "/" : pathOf(originOf(target));
  const made = { method, target, lookupHost, host, hostFits: isHost(host) && !hasSeveralHosts(receivedHeaders), path, pathFits: !/%(?![0-9a-fA-F]{2})/.test(path) };
  if (known !== undefined) known.destination = made;
  return made;
}

/** For each header its name, its value and `: ` and CR LF. */
export function headerBytesOf(headers: readonly string[]): number {
  let bytes = headers.length * 2;
  for (const part of headers) bytes += part.length;
  return bytes;
}

const tiesToEndpoint = (text: string, at: number, headers: readonly string[]): boolean =>
  at % 2 === 0 && (/^x-cf-(?:app|process)-instance$/i.test(text) || (/^cookie$/i.test(text) && (headers[at + 1] as string).includes(affinityCookie)));

/** Two `Host` headers are two opinions about where the request goes (RFC 9112, 3.2). */
function hasSeveralHosts(headers: readonly string[]): boolean {
  let hosts = 0;
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string;
    if (name.length === 4 && name.toLowerCase() === "host") hosts += 1;
  }
  return hosts > 1;
}
