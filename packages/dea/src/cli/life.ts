/** Signals that a running executor understands (chapter: TERM, INT, QUIT end it, USR1 takes no more work, USR2 evacuates). */
export const lifeSignals = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;
export type LifeSignal = (typeof lifeSignals)[number];

/** `resting` and `evacuating` take no new work; `hurrying` gives nobody time any more; `gone` is the end, whatever is left. */
export type LifeState = "serving" | "resting" | "evacuating" | "leaving" | "hurrying" | "gone";

type Row = Partial<Record<LifeSignal, LifeState>>;
const ending = (next: LifeState): Row => ({ SIGTERM: next, SIGINT: next, SIGQUIT: next });

/** What a signal does. What is not in the table does nothing: a repeated USR2, for one. */
export const lifeTable: Readonly<Record<LifeState, Row>> = {
  serving: { ...ending("leaving"), SIGUSR1: "resting", SIGUSR2: "evacuating" },
  resting: { ...ending("leaving"), SIGUSR2: "evacuating" },
  evacuating: ending("leaving"),
  leaving: ending("hurrying"),
  hurrying: ending("gone"),
  gone: {},
};

export interface Life extends Disposable {
  readonly state: LifeState;
  /** Settles when a signal has ended `serving` and `resting`: with what comes next. */
  readonly over: Promise<"evacuating" | "leaving">;
  /** Aborts when an evacuation shall be waited for no longer. */
  readonly leaving: AbortSignal;
  /** Aborts when nobody shall get time any more. */
  readonly hurrying: AbortSignal;
  /** To be called when an evacuation has come to its end by itself. */
  evacuated(): void;
}

export interface LifeEvents {
  /** Told of each change, with the signal that made it. */
  moved(to: LifeState, signal: LifeSignal): void;
}

/** Listens to signals and walks through the table. */
export function watchLife({ moved }: LifeEvents): Life {
  let state: LifeState = "serving";
  const leaving = new AbortController();
  const hurrying = new AbortController();
  let finish: (next: "evacuating" | "leaving") => void = () => {};
  const over = new Promise<"evacuating" | "leaving">((resolve) => (finish = resolve));
  const hear = (signal: LifeSignal): void => {
    const next = lifeTable[state][signal];
    if (next === undefined) return;
    state = next;
    moved(next, signal);
    if (next === "evacuating" || next === "leaving") finish(next);
    if (next === "leaving") leaving.abort();
    if (next === "hurrying") hurrying.abort();
  };
  const listeners = lifeSignals.map((signal) => [signal, () => hear(signal)] as const);
  for (const [signal, listener] of listeners) process.on(signal, listener);
  return {
    get state() { return state; },
    over,
    leaving: leaving.signal,
    hurrying: hurrying.signal,
    evacuated() {
      if (state === "evacuating") state = "leaving";
    },
    [Symbol.dispose]() {
      for (const [signal, listener] of listeners) process.off(signal, listener);
    },
  };
}
