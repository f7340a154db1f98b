/** A replacement of web instances as it stands. */
export interface Rollout {
  /** Instances the app shall have in the end. */
  target: number;
  /** How many new instances may be starting at the same time. */
  maxInFlight: number;
  /** The new process: how many instances it is set to, and how many of them run. */
  fresh: { instances: number; running: number };
  /** The old processes, oldest first. */
  old: readonly { guid: string; instances: number }[];
  /** Share of the instances, in percent, at which a canary deployment waits; absent when it goes to the end. */
  holdAtPercent?: number | undefined;
}

export interface RolloutStep {
  freshInstances: number;
  old: { guid: string; instances: number }[];
  /** Nothing is left to replace. */
  done: boolean;
  /** The canary runs: somebody decides now. */
  paused: boolean;
}

/** New instances of a canary step: at least one, at most all. */
export const canaryInstances = (target: number, percent: number): number => Math.min(target, Math.max(1, Math.round((target * percent) / 100)));

/**
 * The next step: more new instances once all that were asked for run, and fewer old ones for every new one that runs. The
 * app never has fewer running instances than it shall have (as far as the old ones ran), and never loses an old instance
 * to a new one that does not start.
 */
export function nextStep({ target, maxInFlight, fresh, old, holdAtPercent }: Rollout): RolloutStep {
  const limit = holdAtPercent === undefined ? target : canaryInstances(target, holdAtPercent);
  const freshInstances = fresh.running >= fresh.instances ? Math.min(limit, fresh.running + maxInFlight) : Math.min(limit, fresh.instances);
  // A canary takes the place of one instance less than it has: while people look at it, there is one to spare.
  const floor = holdAtPercent === undefined || holdAtPercent >= 100 ? 0 : target - limit + 1;
  let surplus = Math.max(0, sum(old) - Math.max(floor, target - fresh.running));
  const lowered = old.map(({ guid, instances }) => {
    const gone = Math.min(instances, surplus);
    surplus -= gone;
    return { guid, instances: instances - gone };
  });
  return {
    freshInstances,
    old: lowered,
    done: holdAtPercent === undefined && fresh.running >= target,
    paused: holdAtPercent !== undefined && fresh.running >= limit,
  };
}

const sum = (processes: readonly { instances: number }[]): number => processes.reduce((total, { instances }) => total + instances, 0);
