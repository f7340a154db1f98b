import { DeaError } from "../errors.ts";

/** States as they appear in heartbeats. */
export type InstanceState = "BORN" | "STARTING" | "RUNNING" | "STOPPING" | "STOPPED" | "CRASHED" | "EVACUATING";
/**
 * What can happen to an instance: `start` its turn has come, `ready` the health check passed, `fail` it could not
 * start or must not go on, `exit` its process ended, `stop` somebody wants it gone, `evacuate` the host is being emptied.
 */
export type InstanceEvent = "start" | "ready" | "fail" | "exit" | "stop" | "evacuate";

/** The life cycle; what is not listed cannot happen. */
export const arcs: Readonly<Record<InstanceState, Readonly<Partial<Record<InstanceEvent, InstanceState>>>>> = {
  BORN: { start: "STARTING", stop: "STOPPED", fail: "CRASHED" },
  STARTING: { ready: "RUNNING", exit: "CRASHED", fail: "CRASHED", stop: "STOPPING", evacuate: "EVACUATING" },
  RUNNING: { exit: "CRASHED", fail: "CRASHED", stop: "STOPPING", evacuate: "EVACUATING" },
  EVACUATING: { ready: "EVACUATING", exit: "CRASHED", fail: "CRASHED", stop: "STOPPING" },
  STOPPING: { exit: "STOPPED", fail: "STOPPED" },
  STOPPED: {},
  CRASHED: {},
};

export interface StateFacts {
  /** Counts against the executor's memory. */
  holdsMemory: boolean;
  /** Counts against the executor's disk. */
  holdsDisk: boolean;
  /** Listed in heartbeats. */
  inHeartbeat: boolean;
  /** Has its routes registered. */
  routed: boolean;
  /** Nothing follows. */
  final: boolean;
}

const fact = (holdsMemory: boolean, holdsDisk: boolean, inHeartbeat: boolean, routed: boolean, final: boolean): StateFacts =>
  ({ holdsMemory, holdsDisk, inHeartbeat, routed, final });

/**
 * What each state means for others. Unlike the first executor, an evacuating instance still counts (it does use
 * the memory), and a crashed one holds no disk: its folder is gone.
 */
export const facts: Readonly<Record<InstanceState, StateFacts>> = {
  //               memory disk   heart. routed final
  BORN:       fact(true,  true,  false, false, false),
  STARTING:   fact(true,  true,  true,  false, false),
  RUNNING:    fact(true,  true,  true,  true,  false),
  EVACUATING: fact(true,  true,  true,  true,  false),
  STOPPING:   fact(true,  true,  false, false, false),
  STOPPED:    fact(false, false, false, false, true),
  CRASHED:    fact(false, false, true,  false, true),
};

export const states = Object.keys(arcs) as readonly InstanceState[];
export const events: readonly InstanceEvent[] = ["start", "ready", "fail", "exit", "stop", "evacuate"];

/** The state after an event, or undefined when the event means nothing there. */
export const next = (state: InstanceState, event: InstanceEvent): InstanceState | undefined => arcs[state][event];

/** As {@link next}; throws DEA_ILLEGAL_TRANSITION. */
export function advance(state: InstanceState, event: InstanceEvent): InstanceState {
  const to = next(state, event);
  if (to === undefined) throw new DeaError("DEA_ILLEGAL_TRANSITION", `"${event}" means nothing to an instance that is ${state}`);
  return to;
}
