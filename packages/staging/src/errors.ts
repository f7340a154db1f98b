/** Where in the path from package to droplet something went wrong. */
export type StagingPhase = "package" | "buildpack" | "detect" | "supply" | "finalize" | "compile" | "release" | "outputs" | "droplet" | "transfer";

/** The error ids which the Cloud Controller API shows to its users. */
export type StagingErrorId =
  | "StagingError"
  | "NoAppDetectedError"
  | "BuildpackCompileFailed"
  | "BuildpackReleaseFailed"
  | "StagingTimeExpired"
  | "InsufficientResources"
  | "AppBitsUploadInvalid"
  | "AppPackageInvalid";

interface Fate {
  /** How the Cloud Controller names it. */
  readonly id: StagingErrorId;
  /** Exit status of the Diego buildpack builder for the same event. */
  readonly builderExit: number;
  /** The same request, unchanged, may succeed later. */
  readonly retryable?: true;
}

const badPackage: Fate = { id: "AppBitsUploadInvalid", builderExit: 1 };
const generic: Fate = { id: "StagingError", builderExit: 1 };
const passing: Fate = { ...generic, retryable: true };

/** Every failure of this package and what it is called elsewhere. The list is closed: callers may branch on `code`. */
export const fates = {
  STAGING_OPTIONS_INVALID: generic,
  STAGING_PACKAGE_NOT_FOUND: generic,
  STAGING_PACKAGE_EMPTY: badPackage,
  STAGING_PACKAGE_CORRUPT: badPackage,
  STAGING_PACKAGE_ENCRYPTED: badPackage,
  STAGING_PACKAGE_METHOD: badPackage,
  STAGING_PACKAGE_NAME_ABSOLUTE: badPackage,
  STAGING_PACKAGE_NAME_DRIVE: badPackage,
  STAGING_PACKAGE_NAME_NUL: badPackage,
  STAGING_PACKAGE_NAME_BACKSLASH: badPackage,
  STAGING_PACKAGE_NAME_PARENT: badPackage,
  STAGING_PACKAGE_NAME_INVALID: badPackage,
  STAGING_PACKAGE_NAME_CONFLICT: badPackage,
  STAGING_PACKAGE_THROUGH_SYMLINK: badPackage,
  STAGING_PACKAGE_SYMLINK_OUTSIDE: badPackage,
  STAGING_PACKAGE_SPECIAL_FILE: badPackage,
  STAGING_PACKAGE_TOO_MANY_ENTRIES: { id: "AppPackageInvalid", builderExit: 1 },
  STAGING_PACKAGE_TOO_LARGE: { id: "AppPackageInvalid", builderExit: 1 },
  STAGING_PACKAGE_RATIO: { id: "AppPackageInvalid", builderExit: 1 },
  STAGING_BUILDPACK_UNKNOWN: generic,
  STAGING_BUILDPACK_NOT_ALLOWED: generic,
  STAGING_BUILDPACK_INVALID: generic,
  STAGING_BUILDPACK_DOWNLOAD_FAILED: passing,
  STAGING_BUILDPACK_CLONE_FAILED: passing,
  STAGING_BUILDPACK_DIGEST_MISMATCH: generic,
  STAGING_STACK_UNSUPPORTED: generic,
  STAGING_NOTHING_DETECTED: { id: "NoAppDetectedError", builderExit: 222 },
  STAGING_SUPPLY_MISSING: { id: "StagingError", builderExit: 225 },
  STAGING_SUPPLY_FAILED: { id: "StagingError", builderExit: 225 },
  STAGING_FINAL_SUPPLY_FAILED: { id: "BuildpackCompileFailed", builderExit: 223 },
  STAGING_FINALIZE_FAILED: { id: "BuildpackCompileFailed", builderExit: 223 },
  STAGING_COMPILE_FAILED: { id: "BuildpackCompileFailed", builderExit: 223 },
  STAGING_RELEASE_FAILED: { id: "BuildpackReleaseFailed", builderExit: 224 },
  STAGING_RELEASE_INVALID: { id: "BuildpackReleaseFailed", builderExit: 224 },
  STAGING_LAUNCH_INVALID: generic,
  STAGING_PROCFILE_INVALID: generic,
  STAGING_SIDECAR_CLASH: generic,
  STAGING_NO_START_COMMAND: generic,
  STAGING_DROPLET_TOO_LARGE: generic,
  STAGING_DROPLET_FAILED: passing,
  STAGING_DISK_FULL: { id: "InsufficientResources", builderExit: 1, retryable: true },
  STAGING_MEMORY_EXCEEDED: { id: "InsufficientResources", builderExit: 1 },
  STAGING_TIMEOUT: { id: "StagingTimeExpired", builderExit: 1 },
  STAGING_CANCELLED: passing,
  STAGING_PACKAGE_DOWNLOAD_FAILED: passing,
  STAGING_DROPLET_UPLOAD_FAILED: passing,
  STAGING_INTERNAL: passing,
} as const satisfies Record<string, Fate>;

export type StagingErrorCode = keyof typeof fates;
export const codes = Object.keys(fates) as readonly StagingErrorCode[];

/** What a script left behind when it failed. */
export interface StagingFailure {
  readonly phase: StagingPhase;
  /** Name or masked URL of the buildpack at work. */
  readonly buildpack?: string;
  /** Exit status of the script, or the name of the signal that ended it. */
  readonly exit?: number | string;
  /** The last lines which the script printed (at most 20). */
  readonly tail?: readonly string[];
}

export interface StagingErrorOptions extends Partial<StagingFailure> {
  cause?: unknown;
}

/** The one error type of this package. `id` and `builderExit` are the names of the same event in the Cloud Controller API and in the Diego builder. */
export class StagingError extends Error {
  override readonly name = "StagingError";
  readonly code: StagingErrorCode;
  readonly retryable: boolean;
  readonly id: StagingErrorId;
  readonly builderExit: number;
  readonly failure: StagingFailure | undefined;

  constructor(code: StagingErrorCode, message: string, { cause, phase, buildpack, exit, tail }: StagingErrorOptions = {}) {
    super(message, { cause });
    const fate: Fate = fates[code];
    this.code = code;
    this.id = fate.id;
    this.builderExit = fate.builderExit;
    this.retryable = fate.retryable ?? false;
    this.failure = phase && {
      phase,
      ...(buildpack !== undefined && { buildpack }),
      ...(exit !== undefined && { exit }),
      ...(tail !== undefined && { tail }),
    };
  }
}

/** Turns whatever was thrown into a `StagingError`; a full disk gets its own code. */
export function toStagingError(error: unknown, code: StagingErrorCode = "STAGING_INTERNAL", what = "staging failed", phase?: StagingPhase): StagingError {
  if (error instanceof StagingError) return error;
  const errno = (error as NodeJS.ErrnoException | undefined)?.code;
  const text = error instanceof Error ? error.message : String(error);
  if (errno === "ENOSPC" || errno === "EDQUOT")
    return new StagingError("STAGING_DISK_FULL", `no room left on the disk: ${text}`, { cause: error, ...(phase && { phase }) });
  return new StagingError(code, `${what}: ${text}`, { cause: error, ...(phase && { phase }) });
}

/** The plain-data form of an error, for a message or a JSON line. */
export interface WireStagingError {
  code: StagingErrorCode;
  message: string;
  failure?: StagingFailure;
}

export const toWire = ({ code, message, failure }: StagingError): WireStagingError => ({ code, message, ...(failure && { failure }) });

export const fromWire = ({ code, message, failure }: WireStagingError): StagingError =>
  new StagingError(code in fates ? code : "STAGING_INTERNAL", message, failure ?? {});
