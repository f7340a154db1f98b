export interface ObjectStoreOptions {
  /** Bytes in a chunk. Default 131 072. */
  chunkBytes?: number;
  /** Copies in a cluster. Default 1. */
  replicas?: number;
  /** How long a call waits out an interruption of the connection before it ends with a retryable error. Default 15 000 ms. */
  patienceMs?: number;
}

export interface ObjectInfo {
  readonly name: string;
  readonly sizeBytes: number;
  readonly chunks: number;
  /** `SHA-256=` and the digest in base64url, as NATS writes it. */
  readonly digest: string;
  readonly modifiedMs: number;
}

/** Large things by name, cut into chunks (NATS object store, ADR-20). */
export interface ObjectStore extends AsyncDisposable {
  readonly name: string;
  /** Replaces what has the name at once or not at all; a failed put leaves no chunks. */
  put(name: string, source: AsyncIterable<Uint8Array> | Uint8Array, options?: { signal?: AbortSignal }): Promise<ObjectInfo>;
  /** @returns undefined when there is none. Reading ends with BusError `BUS_DIGEST_MISMATCH` when the chunks are not what was put. */
  get(name: string, options?: { signal?: AbortSignal }): Promise<{ readonly info: ObjectInfo; readonly data: AsyncIterable<Uint8Array> } | undefined>;
  info(name: string): Promise<ObjectInfo | undefined>;
  /** Quiet when there is none. */
  delete(name: string): Promise<void>;
  list(): Promise<ObjectInfo[]>;
  destroy(): Promise<void>;
}
