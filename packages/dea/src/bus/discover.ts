import type { Body } from "@opencf/bus";
import type { deaDiscover } from "@opencf/bus/messages";
import type { Capacity } from "../capacity.ts";
import { MiB } from "../instance/spec.ts";
import { runtimeAnswers, runtimeWish } from "../placement/runtime.ts";
import type { RuntimeOffer } from "../placement/shapes.ts";

/** Longest wait before an answer, for each instance of the app, and for a host whose memory is all promised (DEA v1 `process_dea_discover`). */
const mostMs = 250;
const perInstanceMs = 10;
const fullMemoryMs = 100;

/** Sizes of a request that names none, as v1 had them. */
const usual = { mem: 512, disk: 256 };

export interface DiscoverFacts {
  capacity: Capacity;
  /** Instances of the app that are here. */
  instancesOfApp: number;
  runtimes: readonly RuntimeOffer[] | undefined;
}

/**
 * How long an executor waits before it says "I have room" to `dea.discover`: who asks takes the first that answers, so the
 * wait is the placement. Undefined: it says nothing, for it has no room, or lacks the runtime.
 */
export function discoverDelayMs({ limits, runtime }: Body<typeof deaDiscover>, { capacity, instancesOfApp, runtimes }: DiscoverFacts): number | undefined {
  const { memory, disk, instances } = capacity;
  const { mem = usual.mem, disk: diskMb = usual.disk } = limits ?? {};
  if (memory.freeBytes < mem * MiB || disk.freeBytes < diskMb * MiB || instances.present >= instances.limit) return undefined;
  if (runtime && runtimes && !runtimes.some((each) => runtimeAnswers(each, runtimeWish(runtime)))) return undefined;
  return Math.min(mostMs, perInstanceMs * instancesOfApp + (fullMemoryMs * memory.reservedBytes) / memory.totalBytes);
}
