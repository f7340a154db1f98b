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
  BORN: { start: "STARTING", stop: "STOPPED", fail: "CRASHED", evacuate: "EVACUATING" },
  STARTING: { ready: "RUNNING", exit: "CRASHED", fail: "CRASHED", stop: "STOPPING", evacuate: "EVACUATING" },
  RUNNING: { exit: "CRASHED", fail: "CRASHED", stop: "STOPPING", evacuate: "EVACUATING" },
  EVACUATING: { start: "EVACUATING", ready: "EVACUATING", exit: "CRASHED", fail: "CRASHED", stop: "STOPPING" },
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
  /** Has its routes registered, once it is ready. */
  routed: boolean;
  /** Its files can be looked at: of a crashed one what was kept. */
  filesReadable: boolean;
  /** Written down, so that a restarted executor knows it. */
  recorded: boolean;
  /** Nothing follows. */
  final: boolean;
}

const flags = (marks: string): StateFacts => ({
  holdsMemory: marks.includes("M"),
  holdsDisk: marks.includes("D"),
  inHeartbeat: marks.includes("H"),
  routed: marks.includes("R"),
  filesReadable: marks.includes("L"),
  recorded: marks.includes("S"),
  final: marks.includes("F"),
});

/**
 * What each state means for others, one letter per fact: M memory, D disk, H heartbeat, R routed, L files, S recorded,
 * F final. Unlike the first executor, an evacuating instance still counts (it does use the memory) and is recorded,
 * and a crashed one holds no disk: what is kept of it is small.
 */
export const facts: Readonly<Record<InstanceState, StateFacts>> = {
  BORN: flags("MDS"),
  STARTING: flags("MDHLS"),
  RUNNING: flags("MDHRLS"),
  EVACUATING: flags("MDHRLS"),
  STOPPING: flags("MDS"),
  STOPPED: flags("F"),
  CRASHED: flags("HLSF"),
};

export const states = Object.keys(arcs) as readonly InstanceState[];
export const events: readonly InstanceEvent[] = ["start", "ready", "fail", "exit", "stop", "evacuate"];

/** The state after an event, or undefined when the event means nothing there. */
export const next = (state: InstanceState, event: InstanceEvent): InstanceState | undefined => arcs[state][event];

/** As {@link next}; throws DEA_ILLEGAL_TRANSITION. */
export function advance(state: InstanceState, event: InstanceEvent): InstanceState {
  const to = next(state, event);
  if (to === undefined) throw new DeaError("DEA_ILLEGAL_TRANSITION", `Cannot transition from "${state}" by "${event}"`);
  return to;
}
