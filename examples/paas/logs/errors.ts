export const codes = ["LOG_QUERY_INVALID", "LOG_NOT_FOUND", "LOG_TOO_MANY_STREAMS", "LOG_ACCESS_UNKNOWN"] as const;
export type LogErrorCode = (typeof codes)[number];

export const failureRules: Readonly<Record<LogErrorCode, { status: number; retryable: boolean }>> = {
  LOG_QUERY_INVALID: { status: 400, retryable: false },
  // Also for "you may not": a stranger does not learn which apps exist.
  LOG_NOT_FOUND: { status: 404, retryable: false },
  LOG_TOO_MANY_STREAMS: { status: 429, retryable: true },
  LOG_ACCESS_UNKNOWN: { status: 503, retryable: true },
};

/** Every failure of the log store; branch on `code`. */
export class LogError extends Error {
  override readonly name = "LogError";
  readonly code: LogErrorCode;
  readonly retryable: boolean;
  constructor(code: LogErrorCode, message: string, { cause }: { cause?: unknown } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retryable = failureRules[code].retryable;
  }
}
