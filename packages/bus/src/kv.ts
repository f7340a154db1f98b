// Shared state: buckets of keys, leases on them, and what protects from leaders that come late.
export type { Bucket, BucketOptions, DeleteOptions, Entry, ReadOptions, WatchEvent, WatchOptions, WriteOptions } from "./kv/port.ts";
export { openBucket, type BucketCarrier } from "./kv/open.ts";
export { jsonBucket, type JsonBucket, type JsonEntry, type JsonWatchEvent } from "./kv/json.ts";
export { createLease, type Lease, type LeaseChange, type LeaseOptions } from "./kv/lease.ts";
export { createFence, fencedWriter, type Fence, type FencedWriteOptions, type FencedWriter, type FenceOptions, type FenceSource, type FenceToken } from "./kv/fence.ts";
// For those who bring their own transport:
export { createMemoryBuckets, type MemoryBuckets, type MemoryBucketsOptions } from "./kv/memory.ts";
export { openNatsBucket, type NatsBucketOptions } from "./kv/nats.ts";
