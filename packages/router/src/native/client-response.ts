import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Stream } from "node:stream";
import { encodeLastChunk } from "../http1/chunked-writer.ts";
import type { RequestHead } from "../http1/head.ts";
import type { GoneListener } from "../proxy/arrival.ts";
import type { AnswerForm } from "./answer-form.ts";
import { writeAnswerHead } from "./answer-head.ts";
import { writeThisTurn } from "./turn.ts";
import { HeaderBag, flatten, type GivenHeaders } from "./header-bag.ts";

/** Up to here copying into one piece is cheaper than telling the system of several. */
const maxCopiedBytes = 16_384;
const none = Buffer.alloc(0);
type Written = (error?: Error | null) => void;
/** More than the lines around a chunk take, but for trailers. */
const chunkRoom = 64;

/** Whose answer it is. */
export interface ResponseOwner {
  /** The last byte is handed over. */
  onAnswered(): void;
  /** The last of it has to wait for the client. */
  onSlow(): void;
}

/**
 * An answer with the methods of node:http's `ServerResponse`, written with as few calls to the system as it takes: the head waits for
 * the first piece of the body, or for `flushHeaders`, and a small answer leaves in one piece.
 */
export interface ClientResponse extends Stream {}
export class ClientResponse {
  statusCode = 200;
  statusMessage = "";
  headersSent = false;
  sendDate = true;
  chunkedEncoding = false;
  shouldKeepAlive: boolean;
  writableEnded = false;
  writableFinished = false;
  destroyed = false;
  readonly socket: Socket;
  readonly #request: RequestHead;
  #listener: GoneListener | undefined = undefined;
  readonly #owner: ResponseOwner;
  #bag: HeaderBag | undefined = undefined;
  /** The head, until it is written: as bytes, as text, or as a form and what is put into it. */
  #head: Buffer = none;
  #text = "";
  #form: AnswerForm | undefined = undefined;
  #id = "";
  #trailers: readonly string[] = [];
  #continued = false;
  #closed = false;

  constructor(socket: Socket, request: RequestHead, owner: ResponseOwner) {
    this.socket = socket;
    this.#request = request;
    this.shouldKeepAlive = request.keepAlive;
    this.#owner = owner;
  }

  /** Who is told first when it is complete, or its client gone. */
  whenGone(listener: GoneListener): void { this.#listener = listener; }

  get finished(): boolean { return this.writableEnded; }
  get writable(): boolean { return !this.writableEnded && !this.destroyed; }
  get writableLength(): number { return this.socket.writableLength + this.#headLength(); }
  get writableHighWaterMark(): number { return this.socket.writableHighWaterMark; }
  get writableNeedDrain(): boolean { return this.socket.writableNeedDrain; }
  get connection(): Socket { return this.socket; }

  setHeader(name: string, value: string | number | readonly string[]): this { this.#ownBag().set(name, value); return this; }
  appendHeader(name: string, value: string | readonly string[]): this { this.#ownBag().append(name, value); return this; }
  getHeader(name: string): string | string[] | undefined { return this.#bag?.get(name); }
  getHeaders(): Record<string, string | string[]> { return this.#bag?.all() ?? {}; }
  getHeaderNames(): string[] { return Object.keys(this.getHeaders()); }
  hasHeader(name: string): boolean { return this.#bag?.get(name) !== undefined; }
  removeHeader(name: string): void { this.#bag?.delete(name); }

  writeHead(status: number, reason?: string | GivenHeaders, headers?: GivenHeaders): this {
    if (this.headersSent) throw Object.assign(new Error("the head is written already"), { code: "ERR_HTTP_HEADERS_SENT" });
    const given = flatten(typeof reason === "object" ? reason : headers);
    const flat = this.#bag === undefined ? given : this.#bag.merged(given);
    const phrase = typeof reason === "string" ? reason : this.statusMessage === "" ? undefined : this.statusMessage;
    const { bytes, chunked, keepAlive } = writeAnswerHead(status, phrase, flat, { http10: this.#request.version === "1.0", head: this.#request.method === "HEAD", keepAlive: this.shouldKeepAlive, sendDate: this.sendDate });
    this.statusCode = status;
    this.#head = bytes;
    this.chunkedEncoding = chunked;
    this.shouldKeepAlive = keepAlive;
    this.headersSent = true;
    return this;
  }

  /** Whether nothing was said of its head so far. */
  get isUntouched(): boolean { return (this.#bag === undefined || this.#bag.isEmpty) && this.sendDate && !this.headersSent && this.statusMessage === ""; }

  /** Its head is this form, with this id. @returns false when the id does not fit: then nothing is changed */
  writeForm(status: number, form: AnswerForm, requestId: string): boolean {
    if (!form.fits(requestId)) return false;
    this.statusCode = status;
    this.#form = form;
    this.#id = requestId;
    this.chunkedEncoding = form.chunked;
    this.headersSent = true;
    return true;
  }

  /** Its head is this: lines that are known to be good and fit the answer, in ISO 8859-1. The connection lives on behind it. */
  writeText(status: number, text: string, chunked: boolean): void {
    this.statusCode = status;
    this.#text = text;
    this.chunkedEncoding = chunked;
    this.headersSent = true;
  }

  flushHeaders(): void {
    if (!this.headersSent) this.writeHead(this.statusCode);
    if (!this.destroyed && this.#headLength() > 0) this.#put("", none, "", undefined);
  }

  write(chunk: Buffer | string, encoding?: BufferEncoding | Written, callback?: Written): boolean {
    const done = typeof encoding === "function" ? encoding : callback;
    if (this.writableEnded || this.destroyed) return false;
    if (!this.headersSent) this.writeHead(this.statusCode);
    const bytes = bytesOf(chunk, encoding);
    if (bytes.length === 0 || this.#isBodiless()) {
      if (done !== undefined) process.nextTick(done);
      return true;
    }
    return this.chunkedEncoding
      ? this.#put(`${bytes.length.toString(16)}\r\n`, bytes, "\r\n", done)
      : this.#put("", bytes, "", done);
  }

  end(chunk?: Buffer | string | (() => void), encoding?: BufferEncoding | (() => void), callback?: () => void): this {
    const done = typeof chunk === "function" ? chunk : typeof encoding === "function" ? encoding : callback;
    if (done !== undefined) this.once("finish", done);
    if (this.writableEnded || this.destroyed) return this;
    const bytes = chunk === undefined || typeof chunk === "function" ? none : bytesOf(chunk, encoding);
    if (!this.headersSent) {
      if (!this.hasHeader("content-length")) this.setHeader("Content-Length", bytes.length);
      this.writeHead(this.statusCode);
    }
    this.writableEnded = true;
    const body = this.#isBodiless() ? none : bytes;
    if (!this.chunkedEncoding) this.#put("", body, "", undefined);
    else this.#put(body.length === 0 ? "" : `${body.length.toString(16)}\r\n`, body, `${body.length === 0 ? "" : "\r\n"}${encodeLastChunk(this.#trailers).toString("latin1")}`, undefined);
    return this;
  }

  addTrailers(trailers: OutgoingHttpHeaders | readonly (readonly [string, string])[]): void {
    this.#trailers = flatten(Array.isArray(trailers) ? (trailers as [string, string][]).flat() : trailers as OutgoingHttpHeaders);
  }

  writeContinue(): void {
    if (this.#continued || this.headersSent || this.destroyed) return;
    this.#continued = true;
    this.socket.write("HTTP/1.1 100 Continue\r\n\r\n", "latin1");
  }

  writeProcessing(): void { if (!this.headersSent) this.socket.write("HTTP/1.1 102 Processing\r\n\r\n", "latin1"); }

  writeEarlyHints({ link }: { link: string | string[] }): void {
    if (this.headersSent || this.destroyed) return;
    const values = [link].flat();
    const { bytes } = writeAnswerHead(103, undefined, values.flatMap((value) => ["Link", value]), { http10: false, head: false, keepAlive: true, sendDate: false });
    this.socket.write(bytes);
  }

  destroy(error?: Error): this {
    this.socket.destroy(error);
    return this;
  }

  cork(): void { this.socket.cork(); }
  uncork(): void { this.socket.uncork(); }

  /** The client is gone, or has everything. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.destroyed = true;
    this.#listener?.markClosed();
    this.#tell("close");
  }

  /** Hardly ever anybody listens. */
  #tell(event: "finish" | "close"): void {
    if ((this as { _events?: object })._events !== undefined) this.emit(event);
  }

  /** Whether a piece of this size is copied at once, so that its memory can be used for something else. */
  copies(bytes: number): boolean { return this.#trailers.length === 0 && this.#headLength() + bytes + chunkRoom <= maxCopiedBytes; }

  /** As which it goes through the steps. */
  get asServerResponse(): ServerResponse { return this as unknown as ServerResponse; }

  #ownBag(): HeaderBag { return this.#bag ??= new HeaderBag(); }
  #isBodiless(): boolean { return this.#request.method === "HEAD" || this.statusCode === 204 || this.statusCode === 304; }

  /** Asked of by who writes: the last of it is the system's. */
  onWritten(): void {
    if (this.#closed) return;
    this.writableFinished = true;
    this.#tell("finish");
    this.close();
    this.#owner.onAnswered();
  }

  /** Asked of by who writes: the client has to make room first. */
  onLate(): void {
    if (!this.#closed) this.#owner.onSlow();
  }

  #headLength(): number { return this.#form === undefined ? this.#head.length + this.#text.length : this.#form.length; }

  /** The end of an answer tells its owner when it is written, all others `done`. */
  #put(before: string, bytes: Buffer, after: string, done: Written | undefined): boolean {
    const { socket } = this;
    const form = this.#form;
    const head = this.#head;
    const text = this.#text;
    const begun = this.#headLength();
    const size = begun + before.length + bytes.length + after.length;
    this.#head = none;
    this.#text = "";
    this.#form = undefined;
    if (size <= maxCopiedBytes) {
      let piece = head;
      if (size !== head.length) {
        piece = Buffer.allocUnsafe(size);
        if (form !== undefined) form.writeTo(piece, this.#id);
        else if (text !== "") piece.write(text, 0, "latin1");
        else if (head.length > 0) head.copy(piece);
        if (before !== "") piece.write(before, begun, "latin1");
        bytes.copy(piece, begun + before.length);
        if (after !== "") piece.write(after, begun + before.length + bytes.length, "latin1");
      }
      if (this.writableEnded) {
        writeThisTurn(socket, piece, this);
        return true;
      }
      return socket.write(piece, done);
    }
    const told = this.writableEnded ? (): void => this.onWritten() : done;
    socket.cork();
    if (form !== undefined) socket.write(form.filled(this.#id));
    else if (text !== "") socket.write(text, "latin1");
    else if (head.length > 0) socket.write(head);
    if (before !== "") socket.write(before, "latin1");
    let room = socket.write(bytes, after === "" ? told : undefined);
    if (after !== "") room = socket.write(after, "latin1", told);
    socket.uncork();
    return room;
  }
}

const bytesOf = (chunk: Buffer | string, encoding: unknown): Buffer =>
  (typeof chunk === "string" ? Buffer.from(chunk, typeof encoding === "string" ? encoding as BufferEncoding : "utf8") : chunk);

// A stream in all that it does. It is none by `extends`, since each one made that way brings a table of listeners along, and this one hardly ever has a listener.
Object.setPrototypeOf(ClientResponse.prototype, Stream.prototype);
