import type { ContainerSpec } from "./container.ts";

/** Limits that the kernel keeps for each process (setrlimit(2)), beside core files, of which there are none. */
export interface ProcessLimits {
  /** RLIMIT_NOFILE */
  fileDescriptors: number;
  /** RLIMIT_FSIZE: no single file grows beyond it. Who tries gets SIGXFSZ. */
  fileBytes?: number;
  /** RLIMIT_DATA: memory that one process may have asked for, touched or not. */
  dataBytes?: number;
}

const GiB = 1024 ** 3;

/**
 * What a plain process is given. One file cannot be larger than the whole disk. Memory is asked for long before it is
 * used (thread stacks, heaps that grow), so the limit is far above what the executor allows to be used: it stops who takes
 * everything between two looks. The address space is not limited: runtimes reserve terabytes of it that nobody touches.
 */
export const processLimits = ({ fileDescriptors, diskBytes, memoryBytes }: ContainerSpec): ProcessLimits => ({
  fileDescriptors,
  fileBytes: diskBytes,
  dataBytes: 4 * memoryBytes + 4 * GiB,
});
