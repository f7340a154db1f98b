import type { Clock } from "../ports.ts";
import type { WorkQueue, WorkQueueOptions } from "./port.ts";

export interface MemoryQueues {
  /** The same name opens the same queue. */
  open(name: string, options?: WorkQueueOptions): Promise<WorkQueue>;
}
/** Work queues within the process. */
export function createMemoryQueues(options: { clock?: Clock } = {}): MemoryQueues {
  return { open: () => Promise.reject(new Error(`to come ${typeof options}`)) };
}
