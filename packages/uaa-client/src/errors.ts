/**
 * Why a token was refused. The names are those of the UAA world; HTTP answers are derived from them in `guard.ts`.
 */
export const refusalCodes = [
  "missing",
  "malformed",
  "wrong_kind",
  "bad_alg",
  "unknown_key",
  "bad_signature",
  "expired",
  "not_yet_valid",
  "wrong_issuer",
  "wrong_audience",
  "wrong_zone",
  "insufficient_scope",
] as const;

/** Every code a {@link UaaError} can carry. The meaning of each stands in docs/errors/uaa-client.md. */
export const codes = [
  ...refusalCodes,
  "keys_unavailable",
  "grant_refused",
  "uaa_unavailable",
  "bad_response",
  "aborted",
  "invalid_options",
] as const;

export type UaaErrorCode = (typeof codes)[number];

export interface UaaErrorOptions {
  cause?: unknown;
  /** Would the same call have a chance a little later? Default false. */
  retryable?: boolean;
  /** HTTP status of the UAA's answer, where there was one. */
  status?: number;
  /** The OAuth `error` word of the UAA's answer (RFC 6749, 5.2), where there was one. */
  oauthError?: string;
  /** Scopes that were asked for, with `insufficient_scope`. */
  scopes?: readonly string[];
}

/** The one error this package throws. Branch on `code`; messages never hold a token, a secret or a password. */
export class UaaError extends Error {
  override readonly name = "UaaError";
  readonly code: UaaErrorCode;
  readonly retryable: boolean;
  readonly status: number | undefined;
  readonly oauthError: string | undefined;
  readonly scopes: readonly string[];

  constructor(code: UaaErrorCode, message: string, options: UaaErrorOptions = {}) {
    const { cause, retryable = false, status, oauthError, scopes = [] } = options;
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retryable = retryable;
    this.status = status;
    this.oauthError = oauthError;
    this.scopes = scopes;
  }
}
