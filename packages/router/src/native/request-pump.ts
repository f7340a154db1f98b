import type { Socket } from "node:net";
import { encodeChunk, encodeLastChunk } from "../http1/chunked-writer.ts";
import type { Exchange } from "../proxy/exchange.ts";

/** What a pump tells of the client. */
export interface PumpOwner {
  /** The client broke off, or sent more or less than it had announced. */
  onBroken(message: string): void;
  /** The client has sent more than the route takes. */
  onTooLarge(): void;
}

/**
 * Carries the client's body to the endpoint, at the speed of the slower of the two.
 * It takes nothing from the client before it is started, so an attempt that never came that far leaves the body whole for the next one.
 */
export class RequestPump {
  readonly #exchange: Exchange;
  readonly #socket: Socket;
  /** Bytes still announced; -1: in chunks. */
  #left: number;
  readonly #owner: PumpOwner;
  /** Whether all of it is written. */
  done = false;

  constructor(exchange: Exchange, socket: Socket, length: number, owner: PumpOwner) {
    this.#exchange = exchange;
    this.#socket = socket;
    this.#left = length;
    this.#owner = owner;
  }

  start(): void {
    this.#exchange.upload = this;
    const { request, response, expectContinue } = this.#exchange;
    // The client is asked for its body only now, when there is a connection to send it on.
    if (expectContinue) response.writeContinue();
    request.on("data", this.#onData);
    request.on("end", this.#onEnd);
    request.on("error", this.#onError);
  }

  /** There is room again. */
  resume(): void {
    if (!this.done) this.#exchange.request.resume();
  }

  stop(): void {
    const { request } = this.#exchange;
    request.off("data", this.#onData);
    request.off("end", this.#onEnd);
    request.off("error", this.#onError);
    // A client that goes away later on must not become an unhandled error.
    if (!this.done) request.on("error", ignore);
  }

  readonly #onData = (chunk: Buffer): void => {
    const exchange = this.#exchange;
    const socket = this.#socket;
    exchange.bytesIn += chunk.length;
    if (exchange.maxBodyBytes > 0 && exchange.bytesIn > exchange.maxBodyBytes) return this.#owner.onTooLarge();
    let room: boolean;
    if (this.#left < 0) {
      socket.cork();
      room = true;
      for (const piece of encodeChunk(chunk)) room = socket.write(piece);
      socket.uncork();
    } else {
      this.#left -= chunk.length;
      if (this.#left < 0) return this.#owner.onBroken("the body is longer than it was announced");
      room = socket.write(chunk);
    }
    if (!room) exchange.request.pause();
  };

  readonly #onEnd = (): void => {
    if (this.#left > 0) return this.#owner.onBroken("the body is shorter than it was announced");
    this.done = true;
    // Trailers of requests stay here: nobody behind expects any (RFC 9110 section 6.5.1).
    if (this.#left < 0) this.#socket.write(encodeLastChunk());
  };

  readonly #onError = (error: Error): void => this.#owner.onBroken(error.message);
}

const ignore = (): void => undefined;
