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

const flags = (marks: string): StateFacts => ({
  holdsMemory: marks.includes("M"),
  holdsDisk: marks.includes("D"),
  inHeartbeat: marks.includes("H"),
  routed: marks.includes("R"),
  final: marks.includes("F"),
});

/**
 * What each state means for others, one letter per fact: M memory, D disk, H heartbeat, R routed, F final.
 * Unlike the first executor, an evacuating instance still counts (it does use the memory), and a crashed one
 * holds no disk: its folder is gone.
 */
export const facts: Readonly<Record<InstanceState, StateFacts>> = {
  BORN: flags("MD"),
  STARTING: flags("MDH"),
  RUNNING: flags("MDHR"),
  EVACUATING: flags("MDHR"),
  STOPPING: flags("MD"),
  STOPPED: flags("F"),
  CRASHED: flags("HF"),
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
