import { constants, type ServerHttp2Stream } from "node:http2";
import { Writable } from "node:stream";
import type { OutgoingHttpHeaders } from "node:http";
import { answerHeaders } from "./head.ts";

type Headers = OutgoingHttpHeaders | readonly string[];

/**
 * An answer over HTTP/2 with the methods of node:http's `ServerResponse`, so that steps and engines need not know the difference.
 * The head waits for the first byte or the end: one without a body leaves as a single frame, as gRPC wants its errors.
 */
export class Http2Response extends Writable {
  statusCode = 200;
  statusMessage = "";
  /** Whether `writeHead` was called. */
  headersSent = false;
  sendDate = true;
  /** Trailers can follow any body here. */
  readonly chunkedEncoding = true;
  readonly shouldKeepAlive = true;
  readonly #stream: ServerHttp2Stream;
  readonly #set = new Map<string, [string, string | string[]]>();
  readonly #bodiless: boolean;
  #head: Record<string, string | string[]> = {};
  #responded = false;
  #trailers: Record<string, string | string[]> = {};

  constructor(stream: ServerHttp2Stream, { method }: { method: string }) {
    super({ highWaterMark: 65_536 });
    this.#stream = stream;
    this.#bodiless = method === "HEAD";
    this.on("error", () => undefined);
    stream.once("close", () => this.destroy());
  }

  get finished(): boolean { return this.writableEnded; }

  setHeader(name: string, value: string | number | readonly string[]): this {
    this.#set.set(name.toLowerCase(), [name, typeof value === "object" ? [...value] : String(value)]);
    return this;
  }
  appendHeader(name: string, value: string | readonly string[]): this {
    const held = this.#set.get(name.toLowerCase())?.[1];
    return this.setHeader(name, held === undefined ? value : [held, value as string | string[]].flat());
  }
  getHeader(name: string): string | string[] | undefined { return this.#set.get(name.toLowerCase())?.[1]; }
  getHeaders(): Record<string, string | string[]> { return Object.fromEntries([...this.#set].map(([lower, [, value]]) => [lower, value])); }
  getHeaderNames(): string[] { return [...this.#set.keys()]; }
  hasHeader(name: string): boolean { return this.#set.has(name.toLowerCase()); }
  removeHeader(name: string): void { this.#set.delete(name.toLowerCase()); }

  writeHead(status: number, reason?: string | Headers, headers?: Headers): this {
    if (this.headersSent) throw new Error("the head is written already");
    this.statusCode = status;
    this.headersSent = true;
    this.#head = answerHeaders(this.#merged(typeof reason === "object" ? reason : headers));
    return this;
  }

  flushHeaders(): void { this.#respond(false); }

  addTrailers(trailers: OutgoingHttpHeaders | readonly (readonly [string, string])[]): void {
    this.#trailers = answerHeaders((Array.isArray(trailers) ? trailers as [string, string][] : Object.entries(trailers)).flatMap(([name, value]) => [value].flat().flatMap((one) => [name, String(one)])));
  }

  writeContinue(): void { this.#inform({ ":status": 100 }); }
  writeProcessing(): void { this.#inform({ ":status": 102 }); }
  writeInformation(status: number, flat: readonly string[]): void { this.#inform({ ":status": status, ...answerHeaders(flat) }); }
  writeEarlyHints({ link }: { link: string | string[] }): void { this.#inform({ ":status": 103, link }); }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (chunk.length === 0 || this.#bodiless) {
      callback();
      return;
    }
    if (!this.#respond(false)) callback(gone());
    else this.#stream.write(chunk, encoding, callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    const trailing = Object.keys(this.#trailers).length > 0;
    if (!this.#respond(!trailing)) callback(gone());
    else if (this.#stream.writableFinished || this.#stream.destroyed) callback();
    else this.#stream.end(() => callback());
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const stream = this.#stream;
    if (!stream.closed) {
      if (!this.writableFinished) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      // Whatever the client still sends is for nobody (RFC 9113, 8.1).
      else if (!stream.readableEnded && !stream.endAfterHeaders) stream.close(constants.NGHTTP2_NO_ERROR);
    }
    callback(error);
  }

  /** Sends the head, if it is not under way yet. @returns false when there is nobody to send it to */
  #respond(ends: boolean): boolean {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return false;
    if (this.#responded) return true;
    if (!this.headersSent) this.writeHead(this.statusCode);
    this.#responded = true;
    const endStream = ends || this.#bodiless || this.statusCode === 204 || this.statusCode === 304;
    stream.respond({ ":status": this.statusCode, ...this.#head }, { endStream, waitForTrailers: !endStream, sendDate: this.sendDate } as object);
    if (!endStream) stream.once("wantTrailers", () => stream.sendTrailers(this.#trailers));
    return true;
  }

  #inform(headers: Record<string, number | string | string[]>): void {
    if (!this.#stream.headersSent && !this.#stream.destroyed) this.#stream.additionalHeaders(headers);
  }

  /** What `setHeader` has said, but for what this head says itself. */
  #merged(given: Headers = []): string[] {
    const flat = Array.isArray(given) ? given as string[] : Object.entries(given).flatMap(([name, value]) => [value ?? []].flat().flatMap((one) => [name, String(one)]));
    if (this.#set.size === 0) return flat;
    const named = new Set(flat.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase()));
    return [...flat, ...[...this.#set].flatMap(([lower, [name, value]]) => (named.has(lower) ? [] : [value].flat().flatMap((one) => [name, one])))];
  }
}

const gone = (): Error => new Error("the client is gone");
