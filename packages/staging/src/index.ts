export { stage, defaultStack, defaultWorkDir, type StagingJob, type StageOptions, type Droplet } from "./stage.ts";
export { StagingError, codes, toWire, fromWire, type StagingErrorCode, type StagingErrorId, type StagingFailure, type StagingPhase, type WireStagingError } from "./errors.ts";
export { systemBuildpacks, type SystemBuildpack, type CatalogEntry } from "./buildpack/system.ts";
export { recoverStaging, type Recovery } from "./script/work-folder.ts";
export type { StagedBuildpack } from "./build.ts";
export type { Sidecar } from "./outputs.ts";
export type { StagingLine } from "./lines.ts";
export type { VcapServices } from "./environment.ts";
// For those who take packages from strangers:
export { inspectZip, unpackZip, type InspectOptions, type UnpackOptions, type PackageSummary, type ZipSummary } from "./package/unpack.ts";
export { inspectBuildpack, type BuildpackSummary, type InspectBuildpackOptions } from "./buildpack/inspect.ts";
export type { PackageLimits } from "./package/limits.ts";
// For those who make archives of their own:
export { packFolder, type PackedArchive, type PackOptions } from "./droplet/pack.ts";
export type { Clock, Fetch, Logger } from "./ports.ts";
