import { DeaError } from "./errors.ts";

export interface Amount {
  totalBytes: number;
  reservedBytes: number;
  /** May be negative after the executor came back smaller than it was. */
  freeBytes: number;
}

export interface Capacity {
  memory: Amount;
  disk: Amount;
  instances: { limit: number; present: number };
}

export interface Holder {
  readonly present: boolean;
  readonly spec: { memoryBytes: number; diskBytes: number };
}

const amount = (totalBytes: number, reservedBytes: number): Amount => ({ totalBytes, reservedBytes, freeBytes: totalBytes - reservedBytes });

/** What is promised: the limits of all that are here, whatever they use now. */
export function measureCapacity(limits: { memoryBytes: number; diskBytes: number; maxInstances: number }, holders: Iterable<Holder>): Capacity {
  let memory = 0;
  let disk = 0;
  let present = 0;
  for (const holder of holders) {
    if (!holder.present) continue;
    present += 1;
    memory += holder.spec.memoryBytes;
    disk += holder.spec.diskBytes;
  }
  return {
    memory: amount(limits.memoryBytes, memory),
    disk: amount(limits.diskBytes, disk),
    instances: { limit: limits.maxInstances, present },
  };
}

/** Throws DEA_NO_CAPACITY, with the words Cloud Foundry shows to users. */
export function checkCapacity(capacity: Capacity, wanted: { memoryBytes: number; diskBytes: number }): void {
  const refuse = (what: string): never => {
    throw new DeaError("DEA_NO_CAPACITY", `Not enough ${what} resource available.`, { retryable: true });
  };
  if (capacity.memory.freeBytes < wanted.memoryBytes) refuse("memory");
  if (capacity.disk.freeBytes < wanted.diskBytes) refuse("disk");
  if (capacity.instances.present >= capacity.instances.limit) refuse("instance");
}
