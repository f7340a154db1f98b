import { performance } from "node:perf_hooks";
import type { Socket } from "node:net";
import type { HeaderBlock, ResponseHead } from "../http1/head.ts";
import { createResponseHeadParser, type ResponseHeadParser } from "../http1/head-parser.ts";
import type { Http1Limits } from "../http1/limits.ts";
import { bitsOf, KEEP_ALIVE } from "../http1/names.ts";
import type { DialTimes } from "../proxy/dial-times.ts";
import type { Intake } from "./intake.ts";
import { keepAliveMs } from "./keep-alive.ts";

const keepAlive = bitsOf(KEEP_ALIVE);

/** Whoever has a connection for the time of one request. */
export interface ConnectionUser {
  /** `lasting`: whether the chunk may be kept; else it is good until this returns. @returns whether it is */
  onBytes(chunk: Buffer, lasting: boolean): boolean;
  /** A piece of the answer's body, found in those bytes. */
  onBody(slice: Buffer): void;
  /** What was written is on its way, and there is room for more. */
  onDrain(): void;
  /** The endpoint will say nothing more. */
  onEnd(): void;
  /** The connection broke; `code` is the system's. */
  onError(error: NodeJS.ErrnoException): void;
  /** The time that it asked for with `expireAfter` is over. */
  onExpired(): void;
}

/**
 * A connection to an endpoint. It carries one request at a time, and its listeners are put on once for all of them.
 * While nobody uses it, whatever it says is its end: an endpoint that speaks unasked would answer the next request with it.
 */
export class BackendConnection {
  readonly socket: Socket;
  readonly parser: ResponseHeadParser;
  /** Where its bytes arrive. */
  readonly intake: Intake;
  user: ConnectionUser | undefined = undefined;
  /** For readers of bodies: one for all answers. */
  readonly take = (slice: Buffer): void => this.user?.onBody(slice);
  /** Requests that it has carried. */
  requests = 0;
  /** Monotonic, milliseconds: when it has been idle for too long. */
  idleUntilMs = 0;
  /** How long it took to make; told to its first request. */
  times: DialTimes | undefined;
  /** `address:port` of the router's end. */
  readonly localAddress: string;
  /** Called once, when it is of no use any more. */
  readonly #gone: (connection: BackendConnection) => void;
  #timer: NodeJS.Timeout | undefined = undefined;
  /** Monotonic, milliseconds: when the timer looks, and when the request under way has had its time. */
  #timerEndsMs = 0;
  #deadlineMs = 0;
  #keepBlock: HeaderBlock | undefined = undefined;
  #keepMs = 0;

  constructor(socket: Socket, limits: Http1Limits, { intake, gone, times }: { intake: Intake; gone: (connection: BackendConnection) => void; times: DialTimes | undefined }) {
    this.socket = socket;
    this.intake = intake;
    this.parser = createResponseHeadParser(limits);
    this.times = times;
    this.localAddress = times?.localAddress ?? "";
    this.#gone = gone;
    intake.taker = (chunk, lasting) => {
      if (this.user !== undefined) return this.user.onBytes(chunk, lasting);
      this.destroy();
      return false;
    };
    socket.on("drain", () => this.user?.onDrain());
    socket.on("end", () => {
      if (this.user === undefined) this.destroy();
      else this.user.onEnd();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => this.user?.onError(error));
    socket.on("close", () => {
      clearTimeout(this.#timer);
      this.#gone(this);
      this.user?.onEnd();
    });
  }

  /** What an answer says of how long the endpoint keeps the connection; the same lines say the same. */
  keepMs({ block }: ResponseHead): number {
    if ((block.seen & keepAlive) === 0) return Number.POSITIVE_INFINITY;
    if (block !== this.#keepBlock) {
      this.#keepBlock = block;
      this.#keepMs = keepAliveMs(block.raw);
    }
    return this.#keepMs;
  }

  /** The request that begins now, at `nowMs`, has so long. One timer for all requests: it is not set anew for each, but looks at its end whether it was for nothing. */
  expireAfter(ms: number, nowMs: number): void {
    this.#deadlineMs = nowMs + ms;
    if (this.#timer !== undefined && this.#timerEndsMs <= this.#deadlineMs) return;
    clearTimeout(this.#timer);
    this.#wait(ms, nowMs);
  }

  #wait(ms: number, nowMs: number): void {
    this.#timerEndsMs = nowMs + ms;
    this.#timer = setTimeout(lookAtTime, Math.ceil(ms), this).unref();
  }

  lookAtTime(): void {
    this.#timer = undefined;
    if (this.user === undefined) return;
    const nowMs = performance.now();
    if (nowMs >= this.#deadlineMs) this.user.onExpired();
    else this.#wait(this.#deadlineMs - nowMs, nowMs);
  }

  get usable(): boolean {
    return !this.socket.destroyed && this.socket.writable && !this.socket.readableEnded;
  }

  destroy(): void {
    this.user = undefined;
    this.socket.destroy();
  }
}

const lookAtTime = (connection: BackendConnection): void => connection.lookAtTime();
