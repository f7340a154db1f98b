import type { Socket } from "node:net";
import type { Clock } from "../ports.ts";
import type { Acceptor } from "./proxy-protocol.ts";

/** How a connection begins whose client knows beforehand that we speak HTTP/2 (RFC 9113, 3.4). */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export interface PrefaceOptions {
  /** For the first bytes of a connection. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** This one speaks HTTP/2; everybody else HTTP/1.1. Called before the connection is handed on. */
  readonly knows: (socket: Socket) => void;
}

/** Looks at the first bytes of a connection, and puts them back. They are enough: no request of HTTP/1.1 begins like this. */
export function acceptPreface({ timeoutMs, clock, knows }: PrefaceOptions): Acceptor {
  return (socket, next) => {
    let heard: Buffer = Buffer.alloc(0);
    const decide = (): void => {
      stop();
      if (heard.length > 0) socket.unshift(heard);
      // As a server hands it over: neither flowing nor paused, so that the next reader starts it.
      (socket as Socket & { readableFlowing: boolean | null }).readableFlowing = null;
      next(socket);
    };
    const hear = (chunk: Buffer): void => {
      heard = heard.length === 0 ? chunk : Buffer.concat([heard, chunk]);
      const known = Math.min(heard.length, preface.length);
      if (heard.compare(preface, 0, known, 0, known) !== 0) decide();
      else if (known === preface.length) {
        knows(socket);
        decide();
      }
    };
    const leave = (): void => {
      stop();
      socket.destroy();
    };
    // Who says nothing in all that time has no request; who says half of it hears from HTTP/1.1 what that has to say.
    const timer = clock.after(timeoutMs, () => { if (heard.length === 0) leave(); else decide(); });
    function stop(): void {
      timer[Symbol.dispose]();
      socket.off("data", hear).off("end", leave).off("close", stop).off("error", leave);
    }
    socket.on("error", leave).on("data", hear).on("end", leave).on("close", stop);
  };
}
