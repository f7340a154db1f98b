/** Every way in which the bus can fail. The list is closed: callers may branch on `code`. */
export const codes = [
  "BUS_INVALID_SUBJECT",
  "BUS_INVALID_MESSAGE",
  "BUS_PAYLOAD_TOO_LARGE",
  "BUS_TIMEOUT",
  "BUS_NO_RESPONDERS",
  "BUS_DISCONNECTED",
  "BUS_CONNECT_FAILED",
  "BUS_CLOSED",
  "BUS_PORT_TAKEN",
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
