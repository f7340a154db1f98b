import { type Clock, elapsed } from "../ports.ts";

/** Lines one instance may say a second; for a second or two it may say them faster. */
export const defaultLogLinesPerSecond = 100_000;
const burstSeconds = 2;
const noticeMs = 1_000;

export interface LogLimitOptions {
  /** Default 100 000; Infinity for no bound. */
  linesPerSecond?: number;
  clock: Clock;
  /** Takes the word that lines are missing, at most once a second and once at the end. */
  notice(text: string): void;
}

export interface LogLimit {
  /** Whether what comes now shall be read as lines; else it is only to be counted. */
  open(): boolean;
  passed(lines: number): void;
  dropped(lines: number): void;
  /** Says what is not said yet. */
  end(): void;
}

/**
 * Bounds the lines of one instance, so that an app which prints as fast as it can takes neither the executor's time nor
 * the neighbours'. What goes beyond is read all the same, so the app never waits; it is counted, dropped and said.
 */
export function createLogLimit({ linesPerSecond = defaultLogLinesPerSecond, clock, notice }: LogLimitOptions): LogLimit {
  const most = linesPerSecond * burstSeconds;
  let room = most;
  let at = elapsed(clock);
  let missing = 0;
  let timer: Disposable | undefined;
  const say = (): void => {
    timer?.[Symbol.dispose]();
    timer = undefined;
    if (missing > 0) notice(`${missing} log lines dropped: more than ${linesPerSecond} a second`);
    missing = 0;
  };
  return {
    open() {
      if (linesPerSecond === Number.POSITIVE_INFINITY) return true;
      const now = elapsed(clock);
      room = Math.min(most, room + ((now - at) / 1_000) * linesPerSecond);
      at = now;
      return room >= 1;
    },
    passed: (lines) => void (room -= lines),
    dropped(lines) {
      missing += lines;
      if (missing > 0) timer ??= clock.after(noticeMs, say);
    },
    end: say,
  };
}
