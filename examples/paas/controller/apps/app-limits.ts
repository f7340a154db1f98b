/** Numbers of the app side, with their defaults. All of them may be set when the controller is made. */
export interface AppLimits {
  /** Default 1024 MB. */
  defaultMemoryMb: number;
  /** Default 1024 MB. */
  defaultDiskMb: number;
  /** Most disk of one instance. Default 2048 MB. */
  maxDiskMb: number;
  /** Default 1 MiB of log lines per second and instance. */
  defaultLogRateBytesPerSecond: number;
  /** Least memory of a build. Default 1024 MB. */
  minStagingMemoryMb: number;
  /** Least disk of a build. Default 4096 MB. */
  minStagingDiskMb: number;
  /** Default 900 s. */
  stagingTimeoutSeconds: number;
  /** Largest upload, and most bytes of its files when unpacked. Default 1 GiB each. */
  maxUploadBytes: number;
  maxPackageBytes: number;
  /** Entries of one package. Default 100 000. */
  maxPackageEntries: number;
  /** Largest droplet. Default 2 GiB. */
  maxDropletBytes: number;
  /** Packages and droplets kept per app, beside the ones in use. Default 5. */
  keptPackages: number;
  keptDroplets: number;
  /** How long a question about something unfinished is held open. Default 2 000 ms. */
  longPollMs: number;
  /** Uploads that are worked on at the same time. Default 4. */
  parallelUploads: number;
}

export const defaultAppLimits: AppLimits = {
  defaultMemoryMb: 1024,
  defaultDiskMb: 1024,
  maxDiskMb: 2048,
  defaultLogRateBytesPerSecond: 1_048_576,
  minStagingMemoryMb: 1024,
  minStagingDiskMb: 4096,
  stagingTimeoutSeconds: 900,
  maxUploadBytes: 1024 ** 3,
  maxPackageBytes: 1024 ** 3,
  maxPackageEntries: 100_000,
  maxDropletBytes: 2 * 1024 ** 3,
  keptPackages: 5,
  keptDroplets: 5,
  longPollMs: 2_000,
  parallelUploads: 4,
};
