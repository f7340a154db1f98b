interface Rule {
  /** HTTP status of the answer; 0 = thrown at start, never an answer. */
  status: number;
  /** The `error` word of the answer (Service Broker API, "Service Broker Errors"); most answers have none. */
  word?: string;
  retryable?: boolean;
}

/**
 * What each code becomes on the wire. Closed on purpose: a platform deletes what it was creating when it meets an answer
 * it does not know (a 422 with another word, any 5xx), so an author chooses a meaning and never a status.
 */
export const rules = {
  BROKER_BAD_REQUEST: { status: 400 },
  BROKER_REJECTED: { status: 400 },
  BROKER_UNAUTHORIZED: { status: 401 },
  BROKER_NOT_FOUND: { status: 404 },
  BROKER_METHOD_NOT_ALLOWED: { status: 405 },
  BROKER_CONFLICT: { status: 409 },
  BROKER_GONE: { status: 410 },
  BROKER_VERSION_UNSUPPORTED: { status: 412 },
  BROKER_BODY_TOO_LARGE: { status: 413 },
  BROKER_ASYNC_REQUIRED: { status: 422, word: "AsyncRequired" },
  BROKER_CONCURRENCY: { status: 422, word: "ConcurrencyError", retryable: true },
  BROKER_REQUIRES_APP: { status: 422, word: "RequiresApp" },
  BROKER_MAINTENANCE_INFO_CONFLICT: { status: 422, word: "MaintenanceInfoConflict" },
  BROKER_UPDATE_UNSUPPORTED: { status: 422 },
  BROKER_FAILED: { status: 500, retryable: true },
  BROKER_UNAVAILABLE: { status: 503, retryable: true },
  BROKER_TIMEOUT: { status: 504, retryable: true },
  BROKER_INVALID_CATALOG: { status: 0 },
  BROKER_INVALID_OPTIONS: { status: 0 },
} as const satisfies Record<string, Rule>;

export type BrokerErrorCode = keyof typeof rules;

/** Every code a {@link BrokerError} can carry. The meaning of each stands in docs/errors/broker-api.md. */
export const codes = Object.keys(rules) as BrokerErrorCode[];

export interface BrokerErrorOptions {
  cause?: unknown;
  /** After a failed update or deprovision: may the instance still be used? Default: not said, which means yes. */
  instanceUsable?: boolean;
  /** After a failed update: could the same request work later? Default: not said, which means yes. */
  updateRepeatable?: boolean;
  /** Several faults at once, e.g. of a catalog; `message` holds them too. */
  issues?: readonly string[];
}

/**
 * The one error of this package. Thrown at start for a broken catalog or options; thrown by an author's functions to
 * answer with something other than success. `message` becomes the `description` the platform's user reads.
 */
export class BrokerError extends Error {
  override readonly name = "BrokerError";
  readonly code: BrokerErrorCode;
  readonly status: number;
  /** The `error` word on the wire, if this code has one. */
  readonly word: string | undefined;
  readonly retryable: boolean;
  readonly instanceUsable: boolean | undefined;
  readonly updateRepeatable: boolean | undefined;
  readonly issues: readonly string[];

  constructor(code: BrokerErrorCode, message: string, options: BrokerErrorOptions = {}) {
    const { cause, instanceUsable, updateRepeatable, issues = [] } = options;
    super(message, cause === undefined ? undefined : { cause });
    const rule: Rule = rules[code];
    this.code = code;
    this.status = rule.status;
    this.word = rule.word;
    this.retryable = rule.retryable ?? false;
    this.instanceUsable = instanceUsable;
    this.updateRepeatable = updateRepeatable;
    this.issues = issues;
  }
}

/** Also true for an error of another copy of this package, which `instanceof` would miss. */
export function isBrokerError(error: unknown): error is BrokerError {
  return error instanceof Error && error.name === "BrokerError" && Object.hasOwn(rules, (error as BrokerError).code);
}

export function badRequest(message: string, cause?: unknown): BrokerError {
  return new BrokerError("BROKER_BAD_REQUEST", message, { cause });
}
