import { speaksHttp10, type Exchange } from "./exchange.ts";
import { firstValue } from "./flat-headers.ts";
import type { Forwarding } from "./passage.ts";
import { announcedTrailers } from "./trailers.ts";

/** What the router does with a request header of the client; everything not listed passes as it is. */
const requestRules = new Map<string, "drop" | "forwardedFor" | "forwardedProto" | "requestStart" | "te" | "trailer" | "clientCert">([
  // Hop by hop (RFC 9110, 7.6.1): they speak of the connection, and there are two.
  ["connection", "drop"], ["keep-alive", "drop"], ["proxy-connection", "drop"], ["proxy-authenticate", "drop"],
  ["proxy-authorization", "drop"], ["trailer", "trailer"], ["transfer-encoding", "drop"], ["upgrade", "drop"], ["te", "te"],
  // Set by the router itself.
  ["host", "drop"], ["expect", "drop"], ["http2-settings", "drop"],
  ["x-vcap-request-id", "drop"], ["x-cf-applicationid", "drop"], ["x-cf-instanceid", "drop"], ["x-cf-instanceindex", "drop"],
  ["x-cf-app-instance", "drop"], ["x-cf-process-instance", "drop"],
  ["x-forwarded-for", "forwardedFor"], ["x-forwarded-proto", "forwardedProto"], ["x-request-start", "requestStart"],
  ["x-forwarded-client-cert", "clientCert"],
]);

/**
 * A client must not make the router drop these by naming them in `Connection`: apps trust them.
 * (gorouter leaves the list to the operator.)
 */
const protectedNames = /^(x-forwarded-|x-cf-|x-vcap-|x-b3(-|$)|b3$|traceparent$|tracestate$|x-request-start$|host$|content-length$|cookie$|authorization$)/;

/** Headers for the app that would be the same for another request with the same lines on the same connection. */
export interface RequestHeaders {
  /** Flat (name, value, name, value), since that is what both ends of the proxy speak. */
  readonly headers: string[];
  readonly forwarding: Forwarding;
}

/** Writes down what was understood, for other steps and for the log. */
export function noteForwarding(exchange: Exchange, { forwardedFor, forwardedProto, idempotencyKey }: Forwarding): void {
  exchange.forwardedFor = forwardedFor;
  exchange.forwardedProto = forwardedProto;
  exchange.idempotencyKey = idempotencyKey;
}

/** Headers for the app, but for those that depend on the endpoint or the moment: hop-by-hop headers out, forwarding headers in. */
export function buildRequestHeaders(exchange: Exchange): RequestHeaders {
  const { currentHeaders: given } = exchange;
  const out: string[] = ["Host", exchange.host];
  const listed = connectionTokens(given);
  const trusted = believes(exchange);
  let forwardedFor = "";
  let forwardedProto = "";
  let requestStart = "";
  let idempotencyKey = false;
  for (let at = 0; at < given.length; at += 2) {
    const name = given[at] as string;
    const value = given[at + 1] as string;
    const lower = name.toLowerCase();
    const rule = requestRules.get(lower);
    if (rule === undefined) {
      if (listed !== undefined && listed.has(lower) && !protectedNames.test(lower)) continue;
      // CGI-style apps read X_Forwarded_Proto as X-Forwarded-Proto: a way around everything above.
      if (lower.includes("_") && isDisguised(lower)) continue;
      if (lower === "idempotency-key" || lower === "x-idempotency-key") idempotencyKey = true;
      out.push(name, value);
      continue;
    }
    switch (rule) {
      case "drop": break;
      case "forwardedFor": if (trusted) forwardedFor = forwardedFor === "" ? value : `${forwardedFor}, ${value}`; break;
      case "forwardedProto": if (trusted || exchange.viaRouteService) forwardedProto = value; break;
      case "requestStart": requestStart = value; break;
      case "te": if (/(^|,)\s*trailers\s*(,|$)/i.test(value)) out.push("TE", "trailers"); break;
      case "trailer": {
        const names = firstValue(given, "transfer-encoding") === undefined ? "" : announcedTrailers(value);
        if (names !== "") out.push("Trailer", names);
        break;
      }
      case "clientCert": if (mayForwardCertificate(exchange, trusted)) out.push(name, value); break;
    }
  }
  forwardedFor = forwardedForOf(exchange, forwardedFor);
  forwardedProto = forwardedProtoOf(exchange, forwardedProto);
  out.push("X-Forwarded-For", forwardedFor, "X-Forwarded-Proto", forwardedProto);
  const shown = shownCertificate(exchange);
  if (shown !== undefined) out.push("X-Forwarded-Client-Cert", shown);
  return { headers: out, forwarding: { forwardedFor, forwardedProto, requestStart, idempotencyKey } };
}

/** Who has asked, behind what is believed of what the client says. */
export const forwardedForOf = ({ peerAddress }: Exchange, believed: string): string => (believed === "" ? peerAddress : `${believed}, ${peerAddress}`);

/** How it was asked. What the first leg has decided comes back by way of the service, and holds. */
export function forwardedProtoOf({ viaRouteService, secure, context: { settings } }: Exchange, believed: string): string {
  return viaRouteService && believed !== "" ? believed
    : settings.forwardedProto === "https" ? "https"
    : believed !== "" && settings.forwardedProto === "keep" ? believed
    : secure ? "https" : "http";
}

/** The client's certificate, where the app is told of it in the router's own words. */
export const shownCertificate = ({ connection, viaRouteService, context: { settings } }: Exchange): string | undefined =>
  (settings.forwardedClientCert === "sanitize-set" && !viaRouteService ? connection.clientCertificate : undefined);

/** Whether what the client says of where its request comes from counts. */
export const believes = (exchange: Exchange): boolean => exchange.context.settings.trustedProxies === undefined || isTrusted(exchange);

/**
 * `forward` believes only clients that have shown a certificate themselves, which a route service is not. What comes back by way of one
 * counts where this router itself has put it there, and over TLS only (gorouter `handlers/clientcert.go`, `proxy.ForceDeleteXFCCHeader`).
 */
function mayForwardCertificate({ connection, viaRouteService, secure, context: { settings: { forwardedClientCert } } }: Exchange, trusted: boolean): boolean {
  if (viaRouteService) return forwardedClientCert === "always-forward" || (secure && forwardedClientCert === "sanitize-set");
  return trusted && (forwardedClientCert === "always-forward" || (forwardedClientCert === "forward" && connection.clientCertificate !== undefined));
}

/** What the router must know of an answer's headers besides passing them on. */
export interface ResponseHead {
  readonly headers: string[];
  readonly setCookies: readonly string[] | undefined;
}

const noCookies = undefined;

/** Headers for the client: hop-by-hop headers out, the request id in. `chunked` tells whether trailers may follow. */
export function buildResponseHeaders(exchange: Exchange, given: readonly string[], mayTrail: boolean): ResponseHead {
  const out: string[] = [];
  let setCookies: string[] | undefined = noCookies;
  let requestId = false;
  let length = false;
  let listed: Set<string> | undefined;
  for (let at = 0; at < given.length; at += 2) {
    const name = given[at] as string;
    const value = given[at + 1] as string;
    switch (name.length) {
      case 2: if (name.toLowerCase() === "te") continue; break;
      case 7: {
        const lower = name.toLowerCase();
        if (lower === "upgrade" || (lower === "trailer" && !mayTrail)) continue;
        break;
      }
      case 10: {
        const lower = name.toLowerCase();
        if (lower === "connection") { listed ??= connectionTokens(given); continue; }
        if (lower === "keep-alive") continue;
        if (lower === "set-cookie") (setCookies ??= []).push(value);
        break;
      }
      case 14: if (name.toLowerCase() === "content-length") length = true; break;
      case 16: if (name.toLowerCase() === "proxy-connection") continue; break;
      case 17: {
        const lower = name.toLowerCase();
        if (lower === "transfer-encoding") continue;
        if (lower === "x-vcap-request-id") requestId = true;
        break;
      }
      case 20: if (name.toLowerCase() === "x-cf-proxy-signature") continue; break;
      default: break;
    }
    out.push(name, value);
  }
  if (!requestId) out.push("X-Vcap-Request-Id", exchange.requestId);
  if (exchange.context.draining || exchange.closesAfter) out.push("Connection", "close");
  exchange.framed = length || !speaksHttp10(exchange);
  return { headers: listed === undefined ? out : without(out, listed), setCookies };
}

function without(headers: string[], listed: ReadonlySet<string>): string[] {
  const out: string[] = [];
  for (let at = 0; at < headers.length; at += 2) {
    const lower = (headers[at] as string).toLowerCase();
    if (listed.has(lower) && !protectedNames.test(lower) && lower !== "connection") continue;
    out.push(headers[at] as string, headers[at + 1] as string);
  }
  return out;
}

/** The names `Connection` lists, beyond the two that everybody sends; undefined when there are none. */
function connectionTokens(headers: readonly string[]): Set<string> | undefined {
  let tokens: Set<string> | undefined;
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string;
    if (name.length !== 10 || name.toLowerCase() !== "connection") continue;
    for (const part of (headers[at + 1] as string).split(",")) {
      const token = part.trim().toLowerCase();
      if (token !== "" && token !== "keep-alive" && token !== "close" && token !== "upgrade") (tokens ??= new Set()).add(token);
    }
  }
  return tokens;
}

function isDisguised(lower: string): boolean {
  const plain = lower.replaceAll("_", "-");
  return requestRules.has(plain) || protectedNames.test(plain);
}

function isTrusted({ context: { settings }, peerAddress }: Exchange): boolean {
  return settings.trustedProxies?.check(peerAddress, peerAddress.includes(":") ? "ipv6" : "ipv4") === true;
}
