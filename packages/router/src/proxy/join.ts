import type { Duplex } from "node:stream";
import { Flow } from "./flow.ts";
import { FrameWalk } from "./frame-walk.ts";

/** One side of a tunnel: a socket, or a stream that has of one what is needed; and what it said along with the handshake. */
export interface Side { readonly socket: Duplex; readonly head: Buffer }

export interface JoinOptions {
  /** How long the other side may be silent once one has ended. 0: for ever. */
  readonly halfOpenMs: number;
  /** Whether what passes are frames of WebSocket. */
  readonly webSocket: boolean;
  readonly count: (from: "client" | "endpoint", bytes: number) => void;
}

export interface Tunnel {
  /** Both sides are gone. */
  readonly over: Promise<void>;
  /** Tells both sides that the router goes away, and lets them end. */
  leave(): void;
  /** Closes both connections as they are. */
  cut(): void;
}

type Socket = Duplex & { destroySoon?: () => void; resetAndDestroy?: () => unknown; setTimeout?: (ms: number, then?: () => void) => unknown; setNoDelay?: (on: boolean) => unknown; readonly encrypted?: boolean; readonly rstCode?: number };

/** Close frames with 1001, going away (RFC 6455, 7.4.1); the one to the endpoint masked, as from a client. */
const goodbye = { client: Buffer.from([0x88, 0x02, 0x03, 0xe9]), endpoint: Buffer.from([0x88, 0x82, 0x00, 0x00, 0x00, 0x00, 0x03, 0xe9]) };

/**
 * Passes bytes both ways until both sides have ended. The end of one is passed on while the other may still speak, within `halfOpenMs`
 * of silence; a side that breaks off breaks the other off as well, where that can be told from an end.
 */
export function join(client: Side, endpoint: Side, { halfOpenMs, webSocket, count }: JoinOptions): Tunnel {
  const walk = (): FrameWalk | undefined => (webSocket ? new FrameWalk() : undefined);
  const up = new Flow(client.socket, endpoint.socket, { walk: walk(), farewell: goodbye.endpoint, count: (bytes) => count("client", bytes) });
  const down = new Flow(endpoint.socket, client.socket, { walk: walk(), farewell: goodbye.client, count: (bytes) => count("endpoint", bytes) });
  let leaving = false;
  const over = new Promise<void>((resolve) => {
    let open = 2;
    for (const [socket, other] of [[client.socket, endpoint.socket], [endpoint.socket, client.socket]] as [Socket, Socket][]) {
      socket.setTimeout?.(0);
      socket.setNoDelay?.(true);
      socket.on("error", () => undefined);
      socket.on("end", () => {
        if (!other.writableEnded) other.end();
        if (!other.readableEnded && !other.destroyed) other.setTimeout?.(halfOpenMs, () => { breakOff(other); socket.destroy(); });
      });
      socket.on("close", () => {
        open -= 1;
        if (open === 0) return resolve();
        // One that is told that we leave has its time to answer.
        if (leaving && !other.destroyed) { if (!other.writableEnded) other.end(); }
        // What it has said before it went is still delivered.
        else if (socket.readableEnded && (socket.rstCode ?? 0) === 0) other.destroySoon === undefined ? other.destroy() : other.destroySoon();
        else breakOff(other);
      });
    }
    // What either side sent along with its half of the handshake goes first.
    down.start(endpoint.head);
    up.start(client.head);
  });
  return {
    over,
    leave() {
      leaving = true;
      down.leave();
      up.leave();
    },
    cut() {
      client.socket.destroy();
      endpoint.socket.destroy();
    },
  };
}

/** A reset where there is one: below TLS nobody is asked, and behind an end that is on its way none is taken. */
function breakOff(socket: Socket): void {
  if (socket.destroyed) return;
  if (socket.resetAndDestroy === undefined || socket.encrypted === true || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
