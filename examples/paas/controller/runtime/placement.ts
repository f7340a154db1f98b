import type { Bus, Logger } from "@opencf/bus";
import { followExecutors, requestOf, sendStart } from "@opencf/dea/bus-link";
import { createPlacer, type PlacementHost, type PlacementRefusal } from "@opencf/dea/placement";
import { presenceTtlMs } from "./actual.ts";

type Command = Parameters<typeof sendStart>[1];

/** `sent`: an executor has it, or may have it. `broken`: the bus is away; nobody refused. */
export type Sent = { readonly state: "sent"; readonly executor: string } | { readonly state: "refused"; readonly refusal: PlacementRefusal } | { readonly state: "broken" };

/** The executors that have room, as they say themselves, less what was promised since they said it. */
export interface Pool extends Disposable {
  /** Sends one instance to the executor that suits it best, and at once to another one where that refuses. */
  start(command: Command, options: { commandId: string; isolationSegment?: string | undefined }): Promise<Sent>;
  /** For an operator's eyes, and for tests. */
  hosts(): PlacementHost[];
}

/** How a user reads it, in the words that Cloud Foundry begins with. */
export const refusalWords = ({ text }: PlacementRefusal): string => `insufficient resources: ${text}`;

export function createPool(bus: Bus, { now, log }: { now?: () => number; log?: Logger } = {}): Pool {
  const placer = createPlacer({ hostTtlMs: presenceTtlMs, ...(now && { now }) });
  const following = followExecutors(placer, bus, log ? { log } : {});
  return {
    async start(command, { commandId, isolationSegment }) {
      // While it is away the silence of executors means nothing, so nobody is judged by it.
      if (!bus.connected) return { state: "broken" };
      const delivery = await placer.deliver(requestOf(command, { isolationSegment }), sendStart(bus, command), { id: commandId });
      switch (delivery.state) {
        case "accepted":
        case "unsure":
          return { state: "sent", executor: delivery.host };
        case "refused":
          return { state: "refused", refusal: delivery.refusal };
        case "stopped":
          return { state: "broken" };
      }
    },
    hosts: () => placer.hosts(),
    [Symbol.dispose]: () => following[Symbol.dispose](),
  };
}
