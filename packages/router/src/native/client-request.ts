import { IncomingMessage, type IncomingHttpHeaders } from "node:http";
import type { Socket } from "node:net";
import type { RequestHead } from "../http1/head.ts";

/** Who takes a body without the stream between: most bodies are large or in a hurry, and the stream costs more than all the rest. */
export interface BodyTaker {
  /** @returns whether there is room for more; when not, `more` is called when there is */
  onData(chunk: Buffer): boolean;
  /** Whether the system has all that was given. */
  readonly settled: boolean;
  onEnd(): void;
}

/** A request that the router's own reader has read, with the fields, the body and the errors of one of node:http. */
export class ClientRequest extends IncomingMessage {
  /** Whether the client is to be heard again: somebody has taken what came last. */
  readonly #wanted: () => void;
  #headers: IncomingHttpHeaders | undefined = undefined;
  #taker: BodyTaker | undefined = undefined;
  /** Whether the client is waited for: somebody takes the body, and has room. */
  isAwaited = false;

  constructor(socket: Socket, { method, target, version, rawHeaders, framing }: RequestHead, wanted: () => void) {
    super(socket);
    this.#wanted = wanted;
    this.method = method;
    this.url = target;
    this.rawHeaders = rawHeaders.slice();
    this.httpVersion = version;
    this.httpVersionMajor = 1;
    this.httpVersionMinor = version === "1.1" ? 1 : 0;
    this.complete = framing.kind === "none";
  }

  /** By lower-case name, made when somebody asks. */
  get named(): IncomingHttpHeaders {
    return this.#headers ??= namedOf(this.rawHeaders);
  }

  override _read(): void {
    if (this.complete) this.push(null);
    else this.#wanted();
  }

  /**
   * Gives the body to `taker` from now on, with what the stream holds of it first.
   * @returns false when somebody reads the stream already, or all of it is here: then it is to be read as a stream
   */
  giveTo(taker: BodyTaker): boolean {
    if (this.complete || this.destroyed || this.readableFlowing !== null || this.listenerCount("readable") > 0) return false;
    this.#taker = taker;
    this.isAwaited = true;
    for (let held = this.read() as Buffer | null; held !== null && this.#taker === taker; held = this.read() as Buffer | null) this.#hand(held);
    if (this.isAwaited) this.#wanted();
    return true;
  }

  /** The taker has room again. */
  more(): void {
    if (this.#taker === undefined) return;
    this.isAwaited = true;
    this.#wanted();
  }

  /** What comes from now on is the stream's again. */
  takeBack(): void {
    this.#taker = undefined;
    this.isAwaited = false;
  }

  /** Whether nobody keeps a piece of the body any more. */
  get settled(): boolean { return this.#taker?.settled === true; }

  /** A piece of the body. @returns whether the client may go on */
  offer(chunk: Buffer): boolean { return this.#taker === undefined ? this.push(chunk) : this.#hand(chunk); }

  #hand(chunk: Buffer): boolean {
    const room = (this.#taker as BodyTaker).onData(chunk);
    if (!room) this.isAwaited = false;
    return room;
  }

  /** The last of the body is here. */
  finish(trailers: readonly string[]): void {
    this.complete = true;
    this.rawTrailers = [...trailers];
    const taker = this.#taker;
    if (taker === undefined) this.push(null);
    else {
      this.takeBack();
      taker.onEnd();
    }
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    // What follows on the connection can be told from the body only by reading it.
    if (!this.complete && !this.socket.destroyed) this.socket.destroy();
    // Nobody listens: then nobody must die of it either.
    callback(this.listenerCount("error") > 0 ? error : null);
  }

  /** The client is gone. */
  leave(): void {
    if (this.complete || this.destroyed) return;
    (this as { aborted: boolean }).aborted = true;
    this.destroy(Object.assign(new Error("aborted"), { code: "ECONNRESET" }));
  }
}

// The base class has its own accessor here, which knows nothing of headers that did not come through its parser.
Object.defineProperty(ClientRequest.prototype, "headers", { configurable: true, get(this: ClientRequest) { return this.named; } });

/** Headers of which a second one does not count, as node:http has it; others are joined. */
const single = new Set([
  "age", "authorization", "content-length", "content-type", "etag", "expires", "from", "host", "if-modified-since", "if-unmodified-since",
  "last-modified", "location", "max-forwards", "proxy-authorization", "referer", "retry-after", "server", "user-agent",
]);

function namedOf(flat: readonly string[]): IncomingHttpHeaders {
  const out = Object.create(null) as Record<string, string | string[]>;
  for (let at = 0; at < flat.length; at += 2) {
    const name = (flat[at] as string).toLowerCase();
    const value = flat[at + 1] as string;
    const held = out[name];
    if (name === "set-cookie") out[name] = held === undefined ? [value] : [...held, value];
    else if (held === undefined) out[name] = value;
    else if (!single.has(name)) out[name] = `${held as string}${name === "cookie" ? "; " : ", "}${value}`;
  }
  return out;
}
