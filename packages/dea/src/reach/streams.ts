import type { WebSocket } from "ws";

/** Places for answers that stay open. */
export interface Streams {
  /** Undefined when all are taken. */
  enter(): Disposable | undefined;
  readonly isFull: boolean;
}

export function createStreams(max: number): Streams {
  let taken = 0;
  return {
    get isFull() { return taken >= max; },
    enter() {
      if (taken >= max) return undefined;
      taken += 1;
      let open = true;
      return {
        [Symbol.dispose]() {
          if (open) taken -= 1;
          open = false;
        },
      };
    },
  };
}

/** Speaks with a socket while it has a place; without one it is told to try again later (1013). */
export async function execInPlace(socket: WebSocket, streams: Streams, speak: () => Promise<void>): Promise<void> {
  using place = streams.enter();
  if (place) await speak();
  else socket.close(1013, "too many streams");
}
