import { Readable } from "node:stream";
import type { Exchange } from "./exchange.ts";

/** Somebody to be told when the first byte is wanted and the client does not send it. */
export interface BodyReader {
  onLateBody(): void;
}

/** As long as gorouter waits for it before it sends the head alone. */
const lateMs = 200;
const tell = (reader: BodyReader): void => reader.onLateBody();

/** More of a body than the route takes. */
export class BodyTooLarge extends Error {
  readonly code = "BODY_TOO_LARGE";

  constructor() { super("the body is larger than the route takes"); }
}

/**
 * The client's body as one attempt reads it. It takes nothing from the client before the attempt asks for the first byte,
 * so an attempt that never came that far leaves the body whole for the next one; and an attempt that destroys
 * its stream does not destroy the client's connection.
 */
export class RequestBody extends Readable {
  readonly #exchange: Exchange;
  readonly #reader: BodyReader | undefined;
  #waiting: NodeJS.Timeout | undefined = undefined;
  /** Whether anything was taken from the client: then no other attempt can send it. */
  started = false;

  constructor(exchange: Exchange, reader?: BodyReader) {
    super({ highWaterMark: 65_536 });
    this.#exchange = exchange;
    this.#reader = reader;
    // Whoever reads this may be gone already when the client breaks off.
    this.on("error", () => undefined);
  }

  override _read(): void {
    const { request, response } = this.#exchange;
    if (this.started) {
      request.resume();
      return;
    }
    this.started = true;
    this.#exchange.upload = this;
    // The client is asked for its body only now, when there is a connection to send it on; never after the answer has begun.
    if (this.#exchange.expectContinue && !response.headersSent) response.writeContinue();
    request.on("data", this.#onData);
    request.on("end", this.#onEnd);
    request.on("error", this.#onError);
    // Another attempt may have stopped it before its first byte.
    if (request.isPaused()) request.resume();
    if (this.#reader !== undefined && request.readableLength === 0 && !request.complete) this.#waiting = setTimeout(tell, lateMs, this.#reader);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.stop();
    callback(error);
  }

  /** Takes nothing more from the client. */
  stop(): void {
    const { request } = this.#exchange;
    clearTimeout(this.#waiting);
    request.off("data", this.#onData);
    request.off("end", this.#onEnd);
  }

  readonly #onData = (chunk: Buffer): void => {
    const exchange = this.#exchange;
    if (this.#waiting !== undefined) this.#here();
    exchange.bytesIn += chunk.length;
    if (exchange.maxBodyBytes > 0 && exchange.bytesIn > exchange.maxBodyBytes) {
      this.destroy(new BodyTooLarge());
      return;
    }
    if (!this.push(chunk)) exchange.request.pause();
  };

  #here(): void {
    clearTimeout(this.#waiting);
    this.#waiting = undefined;
  }

  readonly #onEnd = (): void => {
    this.#here();
    this.push(null);
  };

  // Stays on after destruction: a client that goes away must not become an unhandled error.
  readonly #onError = (error: Error): void => { if (!this.destroyed) this.destroy(error); };
}
