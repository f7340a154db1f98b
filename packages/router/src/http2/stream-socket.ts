import { constants, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Http2Response } from "./response.ts";

/**
 * What a request over HTTP/2 calls its socket: one stream of the connection. Who closes it closes this request and no other.
 * It has of a socket what the proxy needs of one.
 */
export class StreamSocket {
  readonly #stream: ServerHttp2Stream;
  readonly #response: () => Http2Response;

  constructor(stream: ServerHttp2Stream, response: () => Http2Response) {
    this.#stream = stream;
    this.#response = response;
  }

  get #socket(): Socket | undefined { return this.#stream.session?.socket as Socket | undefined; }
  get remoteAddress(): string | undefined { return this.#socket?.remoteAddress; }
  get remotePort(): number | undefined { return this.#socket?.remotePort; }
  get localAddress(): string | undefined { return this.#socket?.localAddress; }
  get localPort(): number | undefined { return this.#socket?.localPort; }
  get encrypted(): boolean { return (this.#socket as { encrypted?: boolean } | undefined)?.encrypted === true; }
  get destroyed(): boolean { return this.#stream.destroyed; }
  get readableHighWaterMark(): number { return 65_536; }

  /** After this time without a byte the stream is given up. */
  setTimeout(ms: number): this {
    if (!this.#stream.destroyed) this.#stream.setTimeout(ms, () => this.#stream.close(constants.NGHTTP2_CANCEL));
    return this;
  }

  /** What is written is delivered, and then the client is told that it is not the whole (RFC 9113, 8.1.1). */
  destroySoon(): void {
    const response = this.#response();
    if (response.destroyed || response.writableEnded) this.resetAndDestroy();
    else response.write(Buffer.alloc(0), () => this.resetAndDestroy());
  }

  resetAndDestroy(): this {
    if (!this.#stream.closed) this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    return this;
  }

  destroy(): this { return this.resetAndDestroy(); }
}
