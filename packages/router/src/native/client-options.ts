import type { Socket } from "node:net";
import type { Exchange, ProxyContext } from "../proxy/exchange.ts";

/** Instead of a deadline: the connection rests since the last look at it, and has its whole time from the next look on. Reading the clock for each request costs more. */
export const restsFromNow = -1;

/** The same for one whose last bytes wait for the client to make room. */
export const writesFromNow = -2;

/** A client's connection as its front sees it. */
export interface Waiting {
  readonly socket: Socket;
  /** Monotonic, milliseconds: when the client has let us wait for too long; `restsFromNow` or `writesFromNow`. */
  deadlineMs: number;
  /** Whether no request has begun. */
  readonly idle: boolean;
  /** Lets go of what it has kept in case that the next request is like the last. */
  forget(): void;
  /** Its last bytes have waited since the last look: from `nowMs` on it has its time for them. */
  watchWriting(nowMs: number): void;
  /** Its time is over. */
  expire(nowMs: number): void;
}

/** What all connections of a front share. */
export interface ClientConnectionOptions {
  readonly context: ProxyContext;
  readonly headersTimeoutMs: number;
  readonly clientIdleMs: number;
  readonly maxHeaderBytes: number;
  /** Into this all connections read, one after the other. */
  readonly scratch: Buffer;
  /** Takes an exchange to its end; never throws. */
  readonly handle: (exchange: Exchange) => void;
  /** Takes over a connection on which the next request leaves HTTP; the request is put back before what followed it. */
  readonly handOver: (socket: Socket) => void;
  /** It is of no use any more. */
  readonly gone: (connection: Waiting) => void;
}
