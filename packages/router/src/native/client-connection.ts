import { performance } from "node:perf_hooks";
import type { Socket } from "node:net";
import type { BodyReader } from "../http1/body.ts";
import { createBodyReader } from "../http1/body-reader.ts";
import type { RequestHead } from "../http1/head.ts";
import { createRequestHeadParser, type HeadParser } from "../http1/head-parser.ts";
import type { Refusal } from "../http1/refusal.ts";
import { Exchange } from "../proxy/exchange.ts";
import type { Fault } from "../proxy/fault.ts";
import { restsFromNow, writesFromNow, type ClientConnectionOptions, type Waiting } from "./client-options.ts";
import { ClientArrival } from "./client-arrival.ts";
import { ClientResponse, type ResponseOwner } from "./client-response.ts";
import { Intake } from "./intake.ts";
import { putBack } from "./put-back.ts";
import { readAsStream, readInto } from "./read-into.ts";
import { unsentBytes } from "./write-direct.ts";
import { closingAnswer, faultOf, tooSlow } from "./closing-answer.ts";

/** What a client may send ahead while its request is answered. */
const maxAheadBytes = 65_536;

/** One client's connection: requests one after the other, each with its answer before the next is looked at. */
export class ClientConnection implements Waiting, ResponseOwner {
  readonly socket: Socket;
  deadlineMs: number;
  readonly #options: ClientConnectionOptions;
  readonly #parser: HeadParser<RequestHead>;
  #arrival: ClientArrival | undefined = undefined;
  #response: ClientResponse | undefined = undefined;
  #body: BodyReader | undefined = undefined;
  /** Whether the head being waited for is the first, or has begun. */
  #inHead = true;
  #ahead: Buffer | undefined = undefined;
  /** Where its bytes arrive, from the second reading on. */
  #intake: Intake | undefined = undefined;
  /** Whether what is being read may be kept beyond this moment. */
  #lasting = true;
  /** Whether a piece of it was put aside; whether one was offered to the reader of a body. */
  #kept = false;
  #offered = false;
  #paused = false;
  #left = false;
  /** At the last look, of an answer that is complete and waits for its client. */
  #unsentBytes = 0;

  constructor(socket: Socket, options: ClientConnectionOptions) {
    this.socket = socket;
    this.#options = options;
    this.#parser = createRequestHeadParser({ maxHeadBytes: options.maxHeaderBytes, maxHeaders: 65_536 });
    this.deadlineMs = performance.now() + options.headersTimeoutMs;
    socket.on("data", this.#onData);
    socket.on("drain", this.#onDrain);
    socket.on("end", this.#onEnd);
    socket.on("error", this.#onError);
    socket.on("timeout", this.#onTimeout);
    socket.on("close", this.#onClose);
  }

  get idle(): boolean { return this.#response === undefined && !this.#parser.begun && this.#ahead === undefined; }

  forget(): void { this.#parser.forget(); }

  watchWriting(nowMs: number): void {
    this.#unsentBytes = unsentBytes(this.socket);
    this.deadlineMs = nowMs + this.#options.context.settings.clientStallMs;
  }

  expire(nowMs: number): void {
    if (this.#response !== undefined) {
      // Of a client that takes something now and then nothing is demanded but that it goes on.
      if (unsentBytes(this.socket) < this.#unsentBytes) this.watchWriting(nowMs);
      else this.socket.destroy();
    } else if (this.#inHead) this.#refuse(tooSlow);
    else this.socket.destroySoon();
  }

  readonly #onData = (chunk: Buffer): void => {
    // Those that were there already have come this way.
    if (this.#intake === undefined && this.socket.readableLength === 0) {
      const intake = this.#intake = new Intake(this.#options.scratch);
      intake.taker = this.#onBytes;
      readInto(this.socket, intake.onread);
    }
    this.#read(chunk);
  };

  readonly #onBytes = (chunk: Buffer, lasting: boolean): boolean => {
    this.#lasting = lasting;
    this.#kept = this.#offered = false;
    this.#read(chunk);
    this.#lasting = true;
    // What has been passed on to the end is nobody's any more.
    return this.#kept || (this.#offered && this.#arrival?.request.settled !== true);
  };

  #read(chunk: Buffer): void {
    if (this.#ahead === undefined) this.#consume(chunk, 0);
    else this.#hold(chunk);
  }

  readonly #onDrain = (): void => void this.#response?.emit("drain");
  readonly #onError = (): void => void this.socket.destroy();
  readonly #onTimeout = (): void => void this.socket.destroy();

  readonly #onEnd = (): void => {
    // A client that closes its half has left, as a browser's closed tab looks no different.
    if (this.#response === undefined) this.socket.end();
    else this.socket.destroy();
  };

  readonly #onClose = (): void => {
    this.#left = true;
    this.#options.gone(this);
    // First the exchange hears that its client has left, then who reads the body: or the app would be blamed for it.
    this.#response?.close();
    this.#arrival?.leave();
  };

  #consume(chunk: Buffer, from: number): void {
    let at = from;
    while (at < chunk.length && !this.#left) {
      const body = this.#body;
      if (body !== undefined) {
        const next = body.push(chunk, at, this.#take);
        if (typeof next !== "number") return this.#refuse(faultOf(next));
        at = next;
        if (body.done) this.#bodyDone(body);
      } else if (this.#response !== undefined) return this.#hold(at === 0 ? chunk : chunk.subarray(at));
      else {
        const head = this.#parser.push(chunk, at);
        if (head === undefined) return this.#awaitHead();
        if (head.kind === "refusal") return this.#refuse(faultOf(head as Refusal));
        at = this.#parser.next;
        if (head.upgrade !== undefined || head.method === "CONNECT") return this.#handOver(head, chunk.subarray(at));
        this.#begin(head);
      }
    }
  }

  /** A head has begun: from its first byte on the client has its time for it. */
  #awaitHead(): void {
    if (this.#inHead) return;
    this.#inHead = true;
    this.deadlineMs = performance.now() + this.#options.headersTimeoutMs;
  }

  #begin(head: RequestHead): void {
    const { socket } = this;
    const { context, handle } = this.#options;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    const response = this.#response = new ClientResponse(socket, head, this);
    const arrival = this.#arrival = new ClientArrival(response, head, this.#resume);
    if (head.framing.kind !== "none") this.#body = createBodyReader(head.framing, "request");
    const exchange = new Exchange(context, arrival, response.asServerResponse);
    exchange.expectContinue = head.expectContinue && head.framing.kind !== "none";
    handle(exchange);
  }

  readonly #take = (slice: Buffer): void => {
    const { request } = this.#arrival as ClientArrival;
    // Of an answer that is over, the rest of the request is nobody's.
    if (this.#response === undefined || this.#response.writableFinished || request.destroyed) return;
    this.#offered = true;
    if (!request.offer(this.#lasting ? slice : Buffer.from(slice))) this.#pause();
  };

  #bodyDone(body: BodyReader): void {
    this.#body = undefined;
    this.#intake?.rest();
    const { request } = this.#arrival as ClientArrival;
    if (request.destroyed) request.complete = true;
    else request.finish(body.trailers);
    if (this.#response?.writableFinished === true) this.#next();
  }

  onSlow(): void {
    // Of an answer of which much was waiting already, the socket itself watches how it goes.
    if ((this.socket.timeout ?? 0) === 0) this.deadlineMs = writesFromNow;
  }

  onAnswered(): void {
    this.deadlineMs = Number.POSITIVE_INFINITY;
    const { shouldKeepAlive } = this.#response as ClientResponse;
    this.#liftTimeout();
    if (!shouldKeepAlive) this.socket.destroySoon();
    else if (this.#body === undefined) this.#next();
    else {
      // What is left of the body has to be read to find the next request.
      this.socket.setTimeout(this.#options.context.settings.clientStallMs);
      this.#resume();
    }
  }

  #liftTimeout(): void {
    if ((this.socket.timeout ?? 0) > 0) this.socket.setTimeout(0);
  }

  #next(): void {
    this.#liftTimeout();
    this.#arrival = undefined;
    this.#response = undefined;
    this.#inHead = false;
    this.deadlineMs = restsFromNow;
    const ahead = this.#ahead;
    this.#ahead = undefined;
    if (ahead !== undefined) this.#consume(ahead, 0);
    else if (this.#options.context.draining) this.socket.destroySoon();
    if (this.#ahead === undefined) this.#resume();
  }

  #hold(piece: Buffer): void {
    this.#kept = true;
    this.#ahead = this.#ahead === undefined ? this.#lasting ? piece : Buffer.from(piece) : Buffer.concat([this.#ahead, piece]);
    if (this.#ahead.length > maxAheadBytes) this.#pause();
  }

  #pause(): void {
    this.#paused = true;
    this.socket.pause();
  }

  readonly #resume = (): void => {
    if (!this.#paused) return;
    this.#paused = false;
    this.socket.resume();
  };

  #handOver(head: RequestHead, rest: Buffer): void {
    const { socket } = this;
    socket.off("data", this.#onData).off("drain", this.#onDrain).off("end", this.#onEnd).off("error", this.#onError).off("timeout", this.#onTimeout).off("close", this.#onClose);
    this.#left = true;
    this.#options.gone(this);
    readAsStream(socket);
    putBack(socket, head, rest);
    this.#options.handOver(socket);
  }

  #refuse(fault: Fault): void {
    this.#left = true;
    const { socket } = this;
    // A broken body of a request that is being answered: nothing can be said any more.
    if (this.#response?.headersSent === true || !socket.writable) socket.destroy();
    else {
      socket.setTimeout(this.#options.context.settings.clientStallMs);
      socket.end(closingAnswer(fault), "latin1", () => socket.destroySoon());
      this.#response?.close();
      this.#arrival?.leave();
    }
  }
}
