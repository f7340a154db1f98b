import type { Headers, HeadersInit } from "../headers.ts";

export interface WorkQueueOptions {
  /** Time to acknowledge before a job is given to somebody else. Default 30 000 ms. */
  ackWaitMs?: number;
  /** Deliveries of one job before it is given up. Default 5. */
  maxDeliver?: number;
  /** How long the id of a job is remembered. Default 120 000 ms. */
  duplicateWindowMs?: number;
  /** Copies in a cluster. Default 1. */
  replicas?: number;
  /** How long a call waits out an interruption of the connection before it ends with a retryable error. Default 15 000 ms. */
  patienceMs?: number;
}

export interface Job {
  readonly data: Uint8Array;
  readonly headers: Headers | undefined;
  /** 1 for the first delivery. */
  readonly delivery: number;
  /** Done: nobody gets it again. */
  ack(): Promise<void>;
  /** Give it to somebody, after `delayMs`. */
  retry(delayMs?: number): void;
  /** Still at work: the time to acknowledge starts anew. */
  working(): void;
  /** Nobody shall try again. */
  giveUp(): void;
}

/** Work that is done once although workers come and go (NATS JetStream work queue). */
export interface WorkQueue extends AsyncDisposable {
  readonly name: string;
  /** @returns false when a job with this id is already known */
  add(data: Uint8Array | string, options?: { id?: string; headers?: HeadersInit; signal?: AbortSignal }): Promise<boolean>;
  /** Jobs as they come, at most `atOnce` (default 1) unacknowledged. Leaving the loop gives the rest back after the ack wait. */
  take(options?: { atOnce?: number; signal?: AbortSignal }): AsyncIterable<Job> & AsyncDisposable;
  /** Jobs neither done nor given up. */
  pending(): Promise<number>;
  destroy(): Promise<void>;
}
