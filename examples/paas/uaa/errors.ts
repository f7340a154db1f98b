/** Error names of OAuth 2 and of UAA, with the status each is answered with unless the place says otherwise. */
export const statuses = {
  invalid_request: 400,
  invalid_client: 401,
  invalid_grant: 400,
  unauthorized: 401,
  unauthorized_client: 401,
  unsupported_grant_type: 400,
  unsupported_response_type: 400,
  invalid_scope: 400,
  invalid_token: 401,
  insufficient_scope: 403,
  access_denied: 403,
  method_not_allowed: 405,
  not_found: 404,
  invalid_scim_resource: 400,
  scim_resource_not_found: 404,
  scim_resource_already_exists: 409,
  scim_resource_conflict: 409,
  invalid_password: 422,
  invalid_self_edit: 403,
  server_error: 500,
  temporarily_unavailable: 503,
} as const;

export type UaaServerErrorCode = keyof typeof statuses;
export const codes = Object.keys(statuses) as readonly UaaServerErrorCode[];

/** What a client is told. The message is its `error_description`, so it never holds a secret. */
export class UaaServerError extends Error {
  override readonly name = "UaaServerError";
  readonly code: UaaServerErrorCode;
  readonly status: number;
  readonly retryable: boolean;
  /** More fields of the body, such as `user_id` of the user that is in the way. */
  readonly extra: Readonly<Record<string, unknown>>;
  constructor(code: UaaServerErrorCode, message: string, { status = statuses[code], extra = {}, cause }: { status?: number; extra?: Record<string, unknown>; cause?: unknown } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.status = status;
    this.retryable = status === 503;
    this.extra = extra;
  }
}

/** The texts that clients compare, letter by letter. */
export const badCredentials = () => new UaaServerError("unauthorized", "Bad credentials");
export const accountLocked = () =>
  new UaaServerError("unauthorized", "Your account has been locked because of too many failed attempts to login.");
export const invalidToken = (message: string) => new UaaServerError("invalid_token", message);
export const insufficientScope = (needed: readonly string[]) =>
  new UaaServerError("insufficient_scope", "Insufficient scope for this resource", { extra: { scope: needed.join(" ") } });
