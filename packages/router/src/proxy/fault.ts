import { STATUS_CODES } from "node:http";

/** An answer the router makes itself. `code` goes out as `X-Cf-RouterError`; neither field may name a backend. */
export interface Fault {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly cacheControl?: string;
}

const brief = "public,max-age=2";
const never = "no-cache, no-store";

/** Every answer of the router itself, with the words clients and operators have learnt to look for (gorouter `handlers/`). */
export const faults = {
  emptyHost: (): Fault => ({ status: 400, code: "empty_host", message: "Request had empty Host header", cacheControl: brief }),
  addressAsHost: (host: string): Fault => ({ status: 400, code: "empty_host", message: `Request had the address '${host}' as its Host header instead of the name of a route.`, cacheControl: brief }),
  badHost: (): Fault => ({ status: 400, code: "invalid_host", message: "Request had a malformed Host header", cacheControl: never }),
  badTarget: (): Fault => ({ status: 400, code: "invalid_target", message: "Request had a malformed target", cacheControl: never }),
  connectRefused: (): Fault => ({ status: 405, code: "method_not_allowed", message: "CONNECT is not supported" }),
  misdirected: (host: string): Fault => ({ status: 421, code: "misdirected_request", message: `This connection is not for '${host}'.`, cacheControl: never }),
  unknownRoute: (host: string): Fault => ({ status: 404, code: "unknown_route", message: `Requested route ('${host}') does not exist.`, cacheControl: never }),
  unknownInstance: (what: string, host: string): Fault => ({ status: 400, code: "unknown_route", message: `Requested ${what} does not exist for route ('${host}').`, cacheControl: never }),
  badInstanceHeader: (): Fault => ({ status: 400, code: "invalid_cf_app_instance_header", message: "Invalid X-CF-App-Instance header: expected app-guid:index", cacheControl: never }),
  badProcessHeader: (): Fault => ({ status: 400, code: "invalid_cf_process_instance_header", message: "Invalid X-CF-Process-Instance header: expected process-guid or process-guid:index", cacheControl: never }),
  noEndpoints: (host: string): Fault => ({ status: 503, code: "no_endpoints", message: `Requested route ('${host}') has no available endpoints.`, cacheControl: brief }),
  overloaded: (host: string): Fault => ({ status: 503, code: "Connection Limit Reached", message: `Requested route ('${host}') has reached the connection limit.` }),
  headersTooLarge: (): Fault => ({ status: 431, code: "max-request-size-exceeded", message: "Request header fields are too large" }),
  bodyTooLarge: (): Fault => ({ status: 413, code: "request_body_too_large", message: "Request body is larger than this route takes" }),
  slowBody: (): Fault => ({ status: 408, code: "request_timeout", message: "The request's body took too long." }),
  routeService: (): Fault => ({ status: 502, code: "route_service_unsupported", message: "Support for route services is disabled." }),
  routeServiceUpgrade: (): Fault => ({ status: 503, code: "route_service_unsupported", message: "Websocket requests are not supported for routes bound to Route Services." }),
  routeServiceUrl: (): Fault => ({ status: 500, code: "invalid_route_service_url", message: "The URL of this route's service cannot be read." }),
  signatureExpired: (): Fault => ({ status: 504, code: "expired_route_service_signature", message: "Failed to validate Route Service Signature" }),
  signatureInvalid: (status: 400 | 502): Fault => ({ status, code: "invalid_route_service_signature", message: "Failed to validate Route Service Signature" }),
  endpointFailure: (status: number, why: string): Fault => ({ status, code: `endpoint_failure (${why})`, message: "Registered endpoint failed to handle the request." }),
  unknownFailure: (): Fault => ({ status: 502, code: "unknown_failure", message: "The router failed to handle the request." }),
} as const;

const reasons: Record<number, string> = { 496: "SSL Certificate Required", 499: "Client Closed Request", 525: "SSL Handshake Failed", 526: "Invalid SSL Certificate" };

export const reasonOf = (status: number): string => STATUS_CODES[status] ?? reasons[status] ?? "Unknown";

/** Makes the body of a router-made answer. */
export type ErrorPage = (fault: Fault) => { contentType: string; body: string };

export const plainErrorPage: ErrorPage = ({ status, message }) => ({
  contentType: "text/plain; charset=utf-8",
  body: `${status} ${reasonOf(status)}: ${message}\n`,
});
