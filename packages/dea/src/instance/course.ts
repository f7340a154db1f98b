import type { InstanceRecord } from "../journal/record.ts";
import { advance, facts, type InstanceEvent, type InstanceState } from "./state.ts";

/** The way of one instance through its states. Times are in milliseconds since the epoch. */
export interface Course {
  readonly state: InstanceState;
  readonly since: number;
  /** When it came to each state that it was in. */
  readonly times: Readonly<Partial<Record<InstanceState, number>>>;
  /** Whether nothing follows. */
  readonly final: boolean;
  startedAt: number;
  /** When it was healthy for the first time. */
  readyAt: number | undefined;
  /** Throws DEA_ILLEGAL_TRANSITION. */
  move(event: InstanceEvent): void;
  /** Goes on where an earlier executor left it. */
  resume(record: Pick<InstanceRecord, "state" | "stateSince" | "startedAt" | "readyAt">): void;
  /** Begins again, where nothing of it was started. */
  restart(): void;
}

/** @param moved told of each change of the state */
export function createCourse(now: () => number, moved: (from: InstanceState, to: InstanceState) => void): Course {
  let state: InstanceState = "BORN";
  let since = now();
  const times: Partial<Record<InstanceState, number>> = { BORN: since };
  const course: Course = {
    get state() { return state; },
    get since() { return since; },
    get times() { return { ...times }; },
    get final() { return facts[state].final; },
    startedAt: since,
    readyAt: undefined,
    move(event) {
      const from = state;
      state = advance(from, event);
      if (state === from) return;
      times[state] = since = now();
      if (state === "RUNNING") course.readyAt = since;
      moved(from, state);
    },
    resume(record) {
      ({ state, stateSince: since } = record);
      ({ startedAt: course.startedAt, readyAt: course.readyAt } = record);
      times[state] = since;
    },
    restart() {
      state = "BORN";
      since = now();
    },
  };
  return course;
}
