import { IncomingMessage, type IncomingHttpHeaders } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { RequestHead } from "./head.ts";
import type { StreamSocket } from "./stream-socket.ts";

/** A request over HTTP/2 as node:http would have shown it: same fields, same body, same errors. */
export class Http2Request extends IncomingMessage {
  readonly #stream: ServerHttp2Stream;
  #reading = false;

  constructor(stream: ServerHttp2Stream, socket: StreamSocket, { method, target, rawHeaders }: RequestHead) {
    super(socket as unknown as Socket);
    this.#stream = stream;
    this.method = method;
    this.url = target;
    this.rawHeaders = rawHeaders;
    this.headers = named(rawHeaders);
    this.httpVersion = "2.0";
    this.httpVersionMajor = 2;
    this.httpVersionMinor = 0;
    // They may be here before anybody reads the body.
    stream.once("trailers", (_: unknown, __: number, raw: string[]) => { this.rawTrailers = raw; });
  }

  override _read(): void {
    if (this.#reading) {
      this.#stream.resume();
      return;
    }
    this.#reading = true;
    const stream = this.#stream;
    stream.on("data", (chunk: Buffer) => { if (!this.push(chunk)) stream.pause(); });
    stream.once("end", () => {
      this.complete = true;
      this.push(null);
    });
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    // Nobody listens: then nobody must die of it either.
    callback(this.listenerCount("error") > 0 ? error : null);
  }

  /** The client is gone. */
  leave(): void {
    if (this.complete || !this.#stream.aborted) return;
    (this as { aborted: boolean }).aborted = true;
    this.destroy(Object.assign(new Error("aborted"), { code: "ECONNRESET" }));
  }
}

/** Headers of which a second one does not count (as node:http has it); others are joined. */
const single = new Set([
  "age", "authorization", "content-length", "content-type", "etag", "expires", "from", "host", "if-modified-since", "if-unmodified-since",
  "last-modified", "location", "max-forwards", "proxy-authorization", "referer", "retry-after", "server", "user-agent",
]);

function named(flat: readonly string[]): IncomingHttpHeaders {
  const out = Object.create(null) as Record<string, string>;
  for (let at = 0; at < flat.length; at += 2) {
    const name = flat[at] as string;
    const value = flat[at + 1] as string;
    const held = out[name];
    if (held === undefined) out[name] = value;
    else if (!single.has(name)) out[name] = `${held}, ${value}`;
  }
  return out;
}
