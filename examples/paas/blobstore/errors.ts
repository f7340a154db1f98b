export const codes = [
  "BLOB_NOT_FOUND",
  "BLOB_KEY_INVALID",
  "BLOB_REQUEST_INVALID",
  "BLOB_TOO_LARGE",
  "BLOB_STORE_FULL",
  "BLOB_DIGEST_MISMATCH",
  "BLOB_LINK_INVALID",
  "BLOB_LINK_EXPIRED",
  "BLOB_UNAVAILABLE",
] as const;
export type BlobErrorCode = (typeof codes)[number];

/** What each failure looks like over HTTP, and whether the same call may succeed later. */
export const failureRules: Readonly<Record<BlobErrorCode, { status: number; retryable: boolean }>> = {
  BLOB_NOT_FOUND: { status: 404, retryable: false },
  BLOB_KEY_INVALID: { status: 400, retryable: false },
  BLOB_REQUEST_INVALID: { status: 400, retryable: false },
  BLOB_TOO_LARGE: { status: 413, retryable: false },
  BLOB_STORE_FULL: { status: 507, retryable: true },
  BLOB_DIGEST_MISMATCH: { status: 422, retryable: true },
  BLOB_LINK_INVALID: { status: 403, retryable: false },
  BLOB_LINK_EXPIRED: { status: 403, retryable: false },
  BLOB_UNAVAILABLE: { status: 503, retryable: true },
};

/** Every failure of the blobstore; branch on `code`. */
export class BlobError extends Error {
  override readonly name = "BlobError";
  readonly code: BlobErrorCode;
  readonly retryable: boolean;
  constructor(code: BlobErrorCode, message: string, { cause }: { cause?: unknown } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retryable = failureRules[code].retryable;
  }
}

/** No space, quota used up, or a file larger than the file system takes: all mean "the disk will not hold this". */
const fullDisk = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

/** Turns whatever was thrown into a `BlobError`, keeping it as the cause. */
export function asBlobError(error: unknown): BlobError {
  if (error instanceof BlobError) return error;
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code !== undefined && fullDisk.has(code))
    return new BlobError("BLOB_STORE_FULL", "The disk of the blobstore is full", { cause: error });
  if (code === "ENOENT") return new BlobError("BLOB_NOT_FOUND", "No such blob", { cause: error });
  return new BlobError("BLOB_UNAVAILABLE", "The blobstore could not do it", { cause: error });
}

/** A failure as JSON, without causes (they may name paths of the server). */
export const toWire = (error: BlobError) => ({ error: { code: error.code, message: error.message } });

/** The reverse of `toWire`; anything unreadable becomes BLOB_UNAVAILABLE. */
export function fromWire(status: number, body: unknown): BlobError {
  const { code, message } = (body as { error?: { code?: string; message?: string } } | undefined)?.error ?? {};
  const known = codes.find((name) => name === code);
  if (known) return new BlobError(known, message ?? known);
  return new BlobError("BLOB_UNAVAILABLE", `The blobstore answered ${status}`);
}
