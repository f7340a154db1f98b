/** Every code a {@link DeaError} can carry. The meaning of each is in `docs/errors.md`. */
export const codes = [
  "DEA_INVALID_SPEC",
  "DEA_INVALID_HOST",
  "DEA_NO_CAPACITY",
  "DEA_NO_PORT",
  "DEA_NO_COMMAND",
  "DEA_DROPLET_UNAVAILABLE",
  "DEA_DROPLET_MISMATCH",
  "DEA_DROPLET_UNSAFE",
  "DEA_DROPLET_TOO_LARGE",
  "DEA_START_FAILED",
  "DEA_HEALTH_TIMEOUT",
  "DEA_TIMEOUT",
  "DEA_EXITED",
  "DEA_STOPPED",
  "DEA_ILLEGAL_TRANSITION",
  "DEA_CONTAINER",
  "DEA_UNSUPPORTED",
  "DEA_INTERRUPTED",
  "DEA_DATA_DIR_BUSY",
  "DEA_JOURNAL",
  "DEA_CLOSED",
] as const;

export type DeaErrorCode = (typeof codes)[number];

export interface DeaErrorOptions {
  cause?: unknown;
  /** True when the same call may succeed later without any change. Default false. */
  retryable?: boolean;
  /** Last lines the app printed, oldest first. */
  lines?: readonly string[];
  /** Of DEA_TIMEOUT: the phase of the start that took too long. */
  phase?: string;
}

/** The only error class this package throws. */
export class DeaError extends Error {
  override readonly name = "DeaError";
  readonly code: DeaErrorCode;
  readonly retryable: boolean;
  /** Last lines the app printed before it failed, oldest first; empty when there is no app to speak of. */
  readonly lines: readonly string[];
  /** Of DEA_TIMEOUT: the phase that took too long, such as `download`. */
  readonly phase: string | undefined;

  constructor(code: DeaErrorCode, message: string, options: DeaErrorOptions = {}) {
    const { cause, retryable = false, lines = [], phase } = options;
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retryable = retryable;
    this.lines = lines;
    this.phase = phase;
  }
}

/** The text of anything that was thrown. */
export const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The `code` of a system error such as ENOENT, or undefined. */
export const systemCode = (error: unknown): string | undefined =>
  typeof error === "object" && error !== null && "code" in error && typeof error.code === "string" ? error.code : undefined;
