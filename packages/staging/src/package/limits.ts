/** What a package may contain. The same rules hold for a zip and for a folder. */
export interface PackageLimits {
  /** Files, folders and links together, folders that exist only as part of a name included. Default 50 000. */
  maxEntries?: number;
  /** Bytes of all files when unpacked. Default 1 GiB. */
  maxBytes?: number;
  /** Unpacked bytes per byte of the archive, looked at once 16 MiB are exceeded. Default 200. */
  maxRatio?: number;
  /** `inside`: a link must stay in the package (default); `any`: links are kept as they are; `refuse`: none at all. */
  symlinks?: "inside" | "any" | "refuse";
}

export type ResolvedLimits = Required<PackageLimits>;

/** Below this many bytes no ratio is too good to be true. */
export const ratioFloorBytes = 16 * 1024 * 1024;

export const resolveLimits = ({ maxEntries = 50_000, maxBytes = 1024 ** 3, maxRatio = 200, symlinks = "inside" }: PackageLimits = {}): ResolvedLimits =>
  ({ maxEntries, maxBytes, maxRatio, symlinks });
