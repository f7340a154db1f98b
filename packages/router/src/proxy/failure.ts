/** How far an attempt had come when it failed: nothing of the request written, or some of it. */
export type Progress = "unsent" | "sent";

/** What a failed attempt means. */
export interface FailureRule {
  /** Stable words for `X-Cf-RouterError: endpoint_failure (<cause>)`: never an address, never a library's text. */
  readonly cause: string;
  readonly when: (error: FailedAttempt) => boolean;
  readonly status: number;
  /** `always`, only when nothing was sent, or also when repeating it can do no harm. */
  readonly retry: "always" | "unsent" | "idempotent" | "never";
  /** Whether the balancer avoids the address for a while. */
  readonly mark: boolean;
  /** Whether a TLS endpoint leaves the table: what is there is not what was registered. */
  readonly eject: boolean;
  readonly why: string;
}

export interface FailedAttempt {
  readonly code: string;
  readonly message: string;
  readonly progress: Progress;
}

const certificate = /^(CERT_|UNABLE_TO_|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED_CERT|INVALID_CA|PATH_LENGTH_EXCEEDED|CRL_|HOSTNAME_MISMATCH)/;

/** Read from above, the first row that fits decides (gorouter `proxy/fails` and `round_tripper/error_handler.go`, one table here). */
export const failureRules: readonly FailureRule[] = [
  { cause: "context canceled", when: (e) => e.code === "CLIENT_GONE", status: 499, retry: "never", mark: false, eject: false,
    why: "the client left; the endpoint did nothing wrong" },
  { cause: "timeout", when: (e) => e.code === "ENDPOINT_TIMEOUT", status: 502, retry: "never", mark: false, eject: false,
    why: "the app may still be working on it" },
  { cause: "connection refused", when: (e) => e.code === "ECONNREFUSED", status: 502, retry: "always", mark: true, eject: true,
    why: "nobody listens there, nothing was sent" },
  { cause: "dial timeout", when: (e) => e.code === "DIAL_TIMEOUT" || e.code === "ETIMEDOUT" && e.progress === "unsent", status: 502, retry: "always", mark: true, eject: true,
    why: "nobody answers there, nothing was sent" },
  { cause: "host unreachable", when: (e) => ["EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENOTFOUND", "EAI_AGAIN", "EADDRNOTAVAIL"].includes(e.code), status: 502, retry: "always", mark: true, eject: true,
    why: "no way there, nothing was sent" },
  { cause: "hostname mismatch", when: (e) => e.code === "ERR_TLS_CERT_ALTNAME_INVALID", status: 503, retry: "always", mark: true, eject: true,
    why: "another app answers on this address" },
  { cause: "invalid certificate", when: (e) => certificate.test(e.code), status: 526, retry: "always", mark: true, eject: true,
    why: "the endpoint cannot prove who it is" },
  { cause: "client certificate refused", when: (e) => /ALERT_(BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_REQUIRED|CERTIFICATE_UNKNOWN|UNSUPPORTED_CERTIFICATE|CERTIFICATE_EXPIRED)/.test(e.code), status: 496, retry: "always", mark: true, eject: true,
    why: "the endpoint does not accept the router's certificate" },
  { cause: "tls handshake failed", when: (e) => /^(ERR_SSL_|EPROTO)/.test(e.code) && e.progress === "unsent", status: 525, retry: "always", mark: true, eject: true,
    why: "the endpoint speaks no TLS, or none we share" },
  { cause: "connection reset", when: (e) => e.code === "ECONNRESET" || e.code === "EPIPE", status: 502, retry: "idempotent", mark: true, eject: false,
    why: "the app may have acted already; repeating is safe only where repeating is always safe" },
  { cause: "EOF", when: (e) => e.code === "EOF", status: 502, retry: "idempotent", mark: false, eject: false,
    why: "closed before it answered: mostly a keep-alive connection that ran out as we wrote" },
  { cause: "request body too large", when: (e) => e.code === "BODY_TOO_LARGE", status: 413, retry: "never", mark: false, eject: false,
    why: "the client sent more than the route takes; the endpoint did nothing wrong" },
  { cause: "response headers too large", when: (e) => e.code === "HEADERS_TOO_LARGE", status: 502, retry: "never", mark: false, eject: false,
    why: "it would answer the same again" },
  { cause: "malformed response", when: (e) => e.code === "BAD_RESPONSE", status: 502, retry: "never", mark: false, eject: false,
    why: "it answered, only not in HTTP" },
  { cause: "no websockets", when: (e) => e.code === "NO_WEBSOCKET", status: 502, retry: "always", mark: false, eject: false,
    why: "it speaks HTTP/2 without extended CONNECT (RFC 8441), and no HTTP/1.1; its requests are served" },
  { cause: "connection failed", when: () => true, status: 502, retry: "unsent", mark: false, eject: false,
    why: "whatever else: repeat only what never left" },
];

export const classify = (failed: FailedAttempt): FailureRule =>
  failureRules.find((rule) => rule.when(failed)) as FailureRule;

/** Whether the request may go to another endpoint. A request of which nothing was sent always may. */
export function mayRetry(rule: FailureRule, failed: FailedAttempt, idempotent: boolean): boolean {
  switch (rule.retry) {
    case "never": return false;
    case "always": return true;
    case "unsent": return failed.progress === "unsent";
    case "idempotent": return failed.progress === "unsent" || idempotent;
  }
}

/**
 * Methods that ask and do not act, and whatever carries an idempotency key; never with a body, of which a part is gone.
 * PUT and DELETE are left out although RFC 9110 calls them idempotent: apps do not all agree.
 */
export function isIdempotent(method: string, hasBody: boolean, hasKey: boolean): boolean {
  return !hasBody && (hasKey || method === "GET" || method === "HEAD" || method === "OPTIONS" || method === "TRACE");
}
