/** Why a package could not be made of an upload. `message` is what clients read in `package.data.error`. */
export class BitsProblem extends Error {
  override readonly name = "BitsProblem";
  readonly type: "AppBitsUploadInvalid" | "AppPackageInvalid" | "AppResourcesFileModeInvalid" | "AppResourcesFilePathInvalid" | "ResourceChecksumMismatch";
  constructor(type: BitsProblem["type"], detail: string, options?: { cause?: unknown }) {
    super(`${prefixes[type]}${detail}`, options);
    this.type = type;
  }
}

const prefixes: Record<BitsProblem["type"], string> = {
  AppBitsUploadInvalid: "The app upload is invalid: ",
  AppPackageInvalid: "The app package is invalid: ",
  AppResourcesFileModeInvalid: "The resource file mode is invalid: ",
  AppResourcesFilePathInvalid: "The resource file path is invalid: ",
  ResourceChecksumMismatch: "One or more cached resources did not match the given checksum: ",
};
