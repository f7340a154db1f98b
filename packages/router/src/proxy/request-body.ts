import { Readable } from "node:stream";
import type { Exchange } from "./exchange.ts";

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
  /** Whether anything was taken from the client: then no other attempt can send it. */
  started = false;

  constructor(exchange: Exchange) {
    super({ highWaterMark: 65_536 });
    this.#exchange = exchange;
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
    // The client is asked for its body only now, when there is a connection to send it on; never after the answer has begun.
    if (this.#exchange.expectContinue && !response.headersSent) response.writeContinue();
    request.on("data", this.#onData);
    request.on("end", this.#onEnd);
    request.on("error", this.#onError);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    const { request } = this.#exchange;
    request.off("data", this.#onData);
    request.off("end", this.#onEnd);
    callback(error);
  }

  readonly #onData = (chunk: Buffer): void => {
    const exchange = this.#exchange;
    exchange.bytesIn += chunk.length;
    if (exchange.maxBodyBytes > 0 && exchange.bytesIn > exchange.maxBodyBytes) {
      this.destroy(new BodyTooLarge());
      return;
    }
    if (!this.push(chunk)) exchange.request.pause();
  };

  readonly #onEnd = (): void => { this.push(null); };

  // Stays on after destruction: a client that goes away must not become an unhandled error.
  readonly #onError = (error: Error): void => { if (!this.destroyed) this.destroy(error); };
}
