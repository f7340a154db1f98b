import type { Socket } from "node:net";
import { encodeChunk, encodeLastChunk } from "../http1/chunked-writer.ts";
import type { Exchange } from "../proxy/exchange.ts";
import { passedTrailers } from "../proxy/trailers.ts";
import { ClientRequest, type BodyTaker } from "./client-request.ts";

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
export class RequestPump implements BodyTaker {
  readonly #exchange: Exchange;
  readonly #socket: Socket;
  /** Bytes still announced; -1: in chunks. */
  #left: number;
  readonly #owner: PumpOwner;
  /** The request, where its body comes here without a stream between. */
  #direct: ClientRequest | undefined = undefined;
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
    request.on("error", this.#onError);
    if (request instanceof ClientRequest) {
      // Known before the first byte comes: that may end it.
      this.#direct = request;
      if (request.giveTo(this)) return;
      this.#direct = undefined;
    }
    request.on("data", this.#onStreamData);
    request.on("end", this.#onStreamEnd);
  }

  /** There is room again. */
  resume(): void {
    if (this.done) return;
    if (this.#direct === undefined) this.#exchange.request.resume();
    else this.#direct.more();
  }

  stop(): void {
    const { request, bytesIn } = this.#exchange;
    request.off("data", this.#onStreamData);
    request.off("end", this.#onStreamEnd);
    request.off("error", this.#onError);
    if (this.#direct !== undefined && !this.done) {
      this.#direct.takeBack();
      // Nobody else can use what is left of it.
      if (bytesIn > 0) this.#direct.resume();
    }
    // A client that goes away later on must not become an unhandled error.
    if (!this.done) request.on("error", ignore);
  }

  get settled(): boolean { return this.#socket.writableLength === 0; }

  onData(chunk: Buffer): boolean {
    const exchange = this.#exchange;
    const socket = this.#socket;
    exchange.bytesIn += chunk.length;
    if (exchange.maxBodyBytes > 0 && exchange.bytesIn > exchange.maxBodyBytes) {
      this.#owner.onTooLarge();
      return true;
    }
    let room: boolean;
    if (this.#left < 0) {
      socket.cork();
      room = true;
      for (const piece of encodeChunk(chunk)) room = socket.write(piece);
      socket.uncork();
    } else {
      this.#left -= chunk.length;
      if (this.#left < 0) {
        this.#owner.onBroken("the body is longer than it was announced");
        return true;
      }
      room = socket.write(chunk);
    }
    // A stream says no to every piece above its mark, also to one that the system has taken whole at once.
    return room || socket.writableLength === 0;
  }

  readonly #onStreamData = (chunk: Buffer): void => {
    if (!this.onData(chunk)) this.#exchange.request.pause();
  };

  readonly #onStreamEnd = (): void => this.onEnd();

  onEnd(): void {
    if (this.#left > 0) return this.#owner.onBroken("the body is shorter than it was announced");
    this.done = true;
    if (this.#left < 0) this.#socket.write(encodeLastChunk(passedTrailers(this.#exchange.request.rawTrailers)));
  }

  readonly #onError = (error: Error): void => this.#owner.onBroken(error.message);
}

const ignore = (): void => undefined;
