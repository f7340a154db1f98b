import { performance } from "node:perf_hooks";
import type { Clock } from "../ports.ts";

/** What is needed of a socket. */
export interface PausableSocket {
  on(event: "data", listener: (chunk: Uint8Array) => void): unknown;
  pause(): unknown;
  resume(): unknown;
}

export interface TurnOptions {
  /** Bytes in one turn of the event loop; what one reading brings is never cut. */
  readonly turnBytes: number;
  /** Between a turn that was full and the next one, unless nobody else has anything to do. Default 0. */
  readonly restMs?: number;
  /** Begins to watch the event loop; what it gives tells the share of the time since then in which something was done. */
  readonly watch?: () => () => number;
  /** From then on, without a turn that had room, twice as much with each second. */
  readonly patienceMs: number;
  readonly clock: Pick<Clock, "now" | "after">;
}

/**
 * Takes no more than so much from a socket in one turn of the event loop. Node reads on as long as there is something, up to 2 MiB, and whoever else
 * waits for the process waits until all of that is handled. What is not read yet waits with the server, and that has little patience: it
 * gives up a client with whom too much waits, and the answers to our own questions whether it is there come behind everything else. So a
 * flood that does not end is read ever faster.
 */
export function readInTurns(socket: PausableSocket, { turnBytes, restMs = 0, watch = watchLoop, patienceMs, clock }: TurnOptions): void {
  let taken = 0;
  let allowed = turnBytes;
  let watching = false;
  /** Since when no turn has had room. */
  let fullSinceMs: number | undefined;

  function turned(): void {
    const full = taken >= allowed;
    if (!full) fullSinceMs = undefined;
    else fullSinceMs ??= clock.now();
    const waitedMs = fullSinceMs === undefined ? 0 : clock.now() - fullSinceMs - patienceMs;
    allowed = waitedMs < 0 || fullSinceMs === undefined ? turnBytes : turnBytes * 2 ** Math.min(20, 1 + Math.floor(waitedMs / 1_000));
    // One turn more: whether anything comes now tells a flood from its end.
    watching = taken > 0;
    taken = 0;
    const goOn = (): void => {
      if (watching) setImmediate(turned);
      if (full) socket.resume();
    };
    // A flood that has outlasted our patience gets no rest.
    if (full && restMs > 0 && waitedMs < 0) rest(restMs, goOn);
    else goOn();
  }

  /** In looks of a millisecond: once there was hardly anything to do in one of them, what was read is handled and nobody else waits. */
  function rest(leftMs: number, goOn: () => void): void {
    const busyShare = watch();
    const ms = Math.min(leftMs, lookMs);
    clock.after(ms, () => (leftMs <= ms || busyShare() < idleShare ? goOn() : rest(leftMs - ms, goOn)));
  }

  socket.on("data", (chunk) => {
    taken += chunk.length;
    if (!watching) {
      watching = true;
      setImmediate(turned);
    }
    if (taken >= allowed) socket.pause();
  });
}

const lookMs = 1;
/** Less to do than this, and the loop is as good as idle. */
const idleShare = 0.1;

function watchLoop(): () => number {
  const begun = performance.eventLoopUtilization();
  return () => performance.eventLoopUtilization(begun).utilization;
}
