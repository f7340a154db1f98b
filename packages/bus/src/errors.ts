/** Every way in which the bus can fail. The list is closed: callers may branch on `code`. */
export const codes = [
  "BUS_INVALID_SUBJECT",
  "BUS_INVALID_MESSAGE",
  "BUS_INVALID_PAYLOAD",
  "BUS_INVALID_HEADER",
  "BUS_PAYLOAD_TOO_LARGE",
  "BUS_TIMEOUT",
  "BUS_NO_RESPONDERS",
  "BUS_DISCONNECTED",
  "BUS_CONNECT_FAILED",
  "BUS_UNAUTHORIZED",
  "BUS_FORBIDDEN",
  "BUS_SLOW_CONSUMER",
  "BUS_DRAINING",
  "BUS_CLOSED",
  "BUS_PORT_TAKEN",
  "BUS_UNSUPPORTED",
  "BUS_INVALID_KEY",
  "BUS_KEY_EXISTS",
  "BUS_WRONG_REVISION",
  "BUS_NOT_FOUND",
  "BUS_DIGEST_MISMATCH",
  "BUS_LEASE_LOST",
  "BUS_FENCED",
] as const;
export type BusErrorCode = (typeof codes)[number];

/** The one error type of this package. `retryable` tells whether the same call may succeed later, unchanged. */
export class BusError extends Error {
  override readonly name = "BusError";
  readonly code: BusErrorCode;
  readonly retryable: boolean;

  constructor(code: BusErrorCode, message: string, { cause, retryable = false }: { cause?: unknown; retryable?: boolean } = {}) {
    super(message, { cause });
    this.code = code;
    this.retryable = retryable;
  }
}
