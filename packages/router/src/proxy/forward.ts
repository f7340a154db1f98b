import type { Backend, Endpoint } from "../endpoint.ts";
import type { Exchange } from "./exchange.ts";
import type { FailedAttempt } from "./failure.ts";

/**
 * What carries one request to one endpoint and streams the answer back. This is the seam behind which the HTTP client can be exchanged.
 * An engine reports failures in the codes of `failure.ts`: what the system says (`ECONNREFUSED` …), TLS codes, and
 * `CLIENT_GONE`, `ENDPOINT_TIMEOUT`, `DIAL_TIMEOUT`, `EOF`, `HEADERS_TOO_LARGE`, `BAD_RESPONSE`.
 */
export interface Engine {
  /**
   * Makes one attempt. Resolves with nothing when the answer is complete, was cut short or the client has left meanwhile;
   * with a failure when the answer had not begun, so that another attempt can be made. Never rejects.
   */
  forward(exchange: Exchange, endpoint: Endpoint, headers: string[]): Promise<FailedAttempt | undefined>;
  /** The address is used by no route any more: its idle connections can go, those in use when they are done. */
  release(backend: Backend): void;
  /** Closes every connection. */
  close(): Promise<void>;
}
