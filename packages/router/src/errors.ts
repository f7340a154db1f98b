/** Every way in which the router's own API can fail. The list is closed: callers may branch on `code`. */
export const codes = [
  "ROUTER_PORT_TAKEN",
  "ROUTER_PORT_FORBIDDEN",
  "ROUTER_LISTEN_FAILED",
  "ROUTER_BAD_OPTION",
  "ROUTER_BAD_URI",
  "ROUTER_BAD_ENDPOINT",
  "ROUTER_BAD_ROUTES_FILE",
  "ROUTER_BAD_CONFIG",
  "ROUTER_SOURCE_FAILED",
  "ROUTER_BAD_CERTIFICATE",
  "ROUTER_CLOSED",
  "ROUTER_WAIT_TIMEOUT",
  "ROUTER_ABORTED",
] as const;
export type RouterErrorCode = (typeof codes)[number];

/**
 * The one error type of this package, thrown at whoever configures or embeds the router.
 * What a client of a routed app sees instead is an HTTP status with `X-Cf-RouterError` (see `proxy/fault.ts`).
 */
export class RouterError extends Error {
  override readonly name = "RouterError";
  readonly code: RouterErrorCode;
  /** Whether the same call may succeed later, unchanged. */
  readonly retryable: boolean;

  constructor(code: RouterErrorCode, message: string, { cause, retryable = false }: { cause?: unknown; retryable?: boolean } = {}) {
    super(message, { cause });
    this.code = code;
    this.retryable = retryable;
  }
}
