import { performance } from "node:perf_hooks";
import type { Endpoint } from "../endpoint.ts";
import type { BodyReader } from "../http1/body.ts";
import { createBodyReader } from "../http1/body-reader.ts";
import type { ResponseHead } from "../http1/head.ts";
import type { Refusal } from "../http1/refusal.ts";
import { noteDial } from "../proxy/dial-times.ts";
import { beginAnswer, flushHead } from "../proxy/answer.ts";
import { unfitCode } from "../proxy/answer-limit.ts";
import type { CloseListener, Exchange } from "../proxy/exchange.ts";
import { classify, isIdempotent, type FailedAttempt, type Progress } from "../proxy/failure.ts";
import { pairsOf } from "../proxy/flat-headers.ts";
import { passInterim } from "../proxy/interim.ts";
import { cut } from "../proxy/respond.ts";
import { beginRepeated } from "./repeated-answer.ts";
import { ClientResponse } from "./client-response.ts";
import type { BackendConnection, ConnectionUser } from "./connection.ts";
import { beginCut } from "./cut-answer.ts";
import type { ConnectionPool, Dialler } from "./connection-pool.ts";
import { RequestForm } from "./repeated-request.ts";
import type { OutboundHead } from "./request-head.ts";
import { writeThisTurn } from "./turn.ts";
import { RequestPump, type PumpOwner } from "./request-pump.ts";

type Over = (failure: FailedAttempt | undefined) => void;

/** Memory of a connection that is on its way to the client. `kept`: whether the connection has gone on to other memory since. */
interface Loan { kept: boolean }

/**
 * One request on one connection. Its life: born → connected → answered → over;
 * an idle connection that turns out to be dead takes it back to the beginning once, where repeating can do no harm.
 */
export class Attempt implements ConnectionUser, Dialler, PumpOwner, CloseListener {
  readonly #exchange: Exchange;
  readonly #endpoint: Endpoint;
  readonly #pool: ConnectionPool;
  readonly #head: OutboundHead | RequestForm;
  readonly #done: Over;
  /** For attempts that dial; connections that are there have their own. */
  #timer: NodeJS.Timeout | undefined = undefined;
  #undial: (() => void) | undefined = undefined;
  #connection: BackendConnection | undefined = undefined;
  #pump: RequestPump | undefined = undefined;
  #answer: ResponseHead | undefined = undefined;
  #body: BodyReader | undefined = undefined;
  #held: Buffer | undefined = undefined;
  /** Whether what is held may be kept beyond this moment. */
  #lasting = false;
  #loan: Loan | undefined = undefined;
  #progress: Progress = "unsent";
  #reused = false;
  #heard = false;
  /** Whether the piece that is being read began with the answer's head. */
  #oneMoment = false;
  #over = false;

  constructor(exchange: Exchange, endpoint: Endpoint, { pool, head, over }: { pool: ConnectionPool; head: OutboundHead | RequestForm; over: Over }) {
    this.#exchange = exchange;
    this.#endpoint = endpoint;
    this.#pool = pool;
    this.#head = head;
    this.#done = over;
    exchange.whenClosed(this);
  }

  onClosed(): void {
    this.stop("CLIENT_GONE");
  }

  begin(): void {
    // The client may have left before it began.
    if (this.#over) return;
    const idle = this.#pool.take(this.#exchange.attemptMs);
    if (idle === undefined) {
      this.#timer = setTimeout(expire, this.#exchange.endpointTimeoutMs, this);
      this.#undial = this.#pool.dial(this);
    } else {
      idle.expireAfter(this.#exchange.endpointTimeoutMs, this.#exchange.attemptMs);
      this.#send(idle, true);
    }
  }

  onConnected(connection: BackendConnection): void {
    this.#undial = undefined;
    this.#send(connection, false);
  }

  onRefused(error: NodeJS.ErrnoException): void {
    this.#undial = undefined;
    this.#fail(error.code ?? "", error.message);
  }

  #send(connection: BackendConnection, reused: boolean): void {
    const exchange = this.#exchange;
    this.#connection = connection;
    this.#reused = reused;
    connection.user = this;
    connection.requests += 1;
    connection.parser.method = exchange.method;
    noteDial(exchange, connection.times, connection.localAddress);
    connection.times = undefined;
    this.#progress = "sent";
    exchange.appStartedMs = reused ? exchange.attemptMs : performance.now();
    const head = this.#head;
    if (head instanceof RequestForm) return writeThisTurn(connection.socket, head.bytes, head);
    if (!exchange.hasBody) return writeThisTurn(connection.socket, head.bytes);
    connection.socket.write(head.bytes);
    this.#pump = new RequestPump(exchange, connection.socket, head.length, this);
    this.#pump.start();
  }

  onDrain(): void {
    this.#pump?.resume();
  }

  onBroken(message: string): void {
    this.#fail("CLIENT_GONE", message);
  }

  onTooLarge(): void {
    this.#fail("BODY_TOO_LARGE", "the body is larger than the route takes");
  }

  onBytes(chunk: Buffer, lasting: boolean): boolean {
    this.#lasting = lasting;
    this.#loan = undefined;
    this.#read(chunk);
    const { response } = this.#exchange;
    // What the client's connection has taken to the end is nobody's any more.
    const kept = lasting && !(response instanceof ClientResponse && response.writableLength === 0);
    if (this.#loan !== undefined) (this.#loan as Loan).kept = kept;
    return kept;
  }

  #read(chunk: Buffer): void {
    this.#heard = true;
    this.#oneMoment = false;
    let at = 0;
    while (at < chunk.length && !this.#over) {
      const body = this.#body;
      const next = body === undefined ? this.#readHead(chunk, at) : body.push(chunk, at, (this.#connection as BackendConnection).take);
      if (next === undefined) return;
      if (typeof next !== "number") return this.#refuse(next);
      at = next;
      if (this.#body?.done === true) return this.#complete(at === chunk.length);
    }
    this.#flush();
  }

  /** @returns where the body begins; undefined when there is nothing more to be done with this chunk */
  #readHead(chunk: Buffer, at: number): number | Refusal | undefined {
    const { parser } = this.#connection as BackendConnection;
    const head = parser.push(chunk, at);
    if (head === undefined || head.kind === "refusal") return head;
    if (head.interim) {
      return passInterim(this.#exchange, head.status, head.rawHeaders) ? parser.next : this.#abandon("more interim answers than are taken");
    }
    if (head.status === 101) return this.#abandon("the endpoint changed the protocol unasked");
    const { response } = this.#exchange;
    if (!(response instanceof ClientResponse && (beginRepeated(this.#exchange, this.#endpoint, { head, response }) || beginCut(this.#exchange, this.#endpoint, { head, response })))) try {
      beginAnswer(this.#exchange, this.#endpoint, { status: head.status, reason: head.reason, headers: head.rawHeaders });
    } catch (error) {
      this.#fail(unfitCode(error), String(error));
      return undefined;
    }
    this.#answer = head;
    this.#oneMoment = true;
    this.#body = createBodyReader(head.framing, "response");
    // The head leaves together with the first piece of the body, if it is here already; an app that thinks before it speaks is not waited for.
    if (parser.next === chunk.length && !this.#body.done) process.nextTick(flushHead, this.#exchange);
    return parser.next;
  }

  /** Keeps one slice back: the last one goes out together with the end. */
  onBody(slice: Buffer): void {
    this.#exchange.bytesOut += slice.length;
    const held = this.#held;
    this.#held = slice;
    if (held !== undefined) this.#exchange.response.write(this.#handedOn(held));
  }

  /** The slice for somebody who may keep it. */
  #handedOn(slice: Buffer): Buffer {
    const { response } = this.#exchange;
    return this.#lasting || (response instanceof ClientResponse && response.copies(slice.length)) ? slice : Buffer.from(slice);
  }

  /** What is to be called when the piece, the last of its chunk, is written: then the chunk's memory can be read into again. */
  #lend(slice: Buffer): ((error?: Error | null) => void) | undefined {
    const { response } = this.#exchange;
    // Of whoever stands between, as a step may do, nobody knows what he keeps.
    if (!this.#lasting || !(response instanceof ClientResponse) || response.write !== ClientResponse.prototype.write) return undefined;
    const { intake } = this.#connection as BackendConnection;
    const loan: Loan = { kept: false };
    this.#loan = loan;
    return (error) => { if (loan.kept && !error) intake.giveBack(slice); };
  }

  #flush(): void {
    const slice = this.#held;
    if (slice === undefined) return;
    this.#held = undefined;
    const { response } = this.#exchange;
    // A stream says no to every piece above its mark, also to one that the system has taken whole at once.
    if (response.write(this.#handedOn(slice), this.#lend(slice)) || response.writableLength === 0) return;
    const { socket } = this.#connection as BackendConnection;
    socket.pause();
    response.once("drain", () => socket.resume());
  }

  /** `clean`: nothing has come behind the answer. */
  #complete(clean: boolean): void {
    const { response } = this.#exchange;
    const { trailers } = this.#body as BodyReader;
    const connection = this.#connection as BackendConnection;
    const answer = this.#answer as ResponseHead;
    if (trailers.length > 0 && response.chunkedEncoding) response.addTrailers(pairsOf(trailers));
    // An answer that comes in one piece has its head and its end in the same moment.
    const now = this.#oneMoment ? this.#exchange.appHeadersMs : performance.now();
    this.#exchange.appFinishedMs = now;
    connection.user = undefined;
    // An app that answers before it has read everything, or that says more than it was asked, has spoilt its connection.
    if (clean && answer.keepAlive && (this.#pump === undefined || this.#pump.done)) this.#pool.give(connection, connection.keepMs(answer), now);
    else connection.destroy();
    if (this.#held === undefined) response.end();
    else response.end(this.#handedOn(this.#held));
    this.#finish(undefined);
  }

  onEnd(): void {
    if (this.#body?.finish() === undefined && this.#body?.done === true) return this.#complete(false);
    this.#lost("EOF", "the endpoint closed the connection");
  }

  onExpired(): void {
    this.stop("ENDPOINT_TIMEOUT");
  }

  onError(error: NodeJS.ErrnoException): void {
    this.#lost(error.code ?? "", error.message);
  }

  #lost(code: string, message: string): void {
    const { method, hasBody, idempotencyKey } = this.#exchange;
    if (this.#reused && !this.#heard && !this.#over && isIdempotent(method, hasBody, idempotencyKey)) {
      // It had run out while it was idle, and only the writing showed it (RFC 9112 section 9.3.1). Not from the pool again: that may be full of its like.
      (this.#connection as BackendConnection).destroy();
      this.#connection = undefined;
      this.#timer = setTimeout(expire, this.#exchange.endpointTimeoutMs, this);
      this.#undial = this.#pool.dial(this);
      return;
    }
    this.#fail(code, message);
  }

  #refuse({ code, sentence }: Refusal): void {
    this.#fail(code === "head_too_large" || code === "too_many_headers" ? "HEADERS_TOO_LARGE" : "BAD_RESPONSE", sentence);
  }

  #abandon(message: string): undefined {
    this.#fail("BAD_RESPONSE", message);
    return undefined;
  }

  stop(code: "CLIENT_GONE" | "ENDPOINT_TIMEOUT"): void {
    this.#fail(code, code);
  }

  #fail(code: string, message: string): void {
    if (this.#over) return;
    this.#undial?.();
    this.#undial = undefined;
    this.#connection?.destroy();
    const failure: FailedAttempt = { code, message, progress: this.#progress };
    if (this.#answer === undefined) return this.#finish(failure);
    const exchange = this.#exchange;
    exchange.appFinishedMs = performance.now();
    if (code !== "CLIENT_GONE") {
      this.#flush();
      exchange.truncated = classify(failure).cause;
      exchange.context.log.warn("router.answer.truncated", { endpoint: this.#endpoint.address, requestId: exchange.requestId, code, error: message });
      cut(exchange);
    }
    this.#finish(undefined);
  }

  #finish(failure: FailedAttempt | undefined): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#pump?.stop();
    this.#exchange.whenClosed(undefined);
    this.#done(failure);
  }
}

const expire = (attempt: Attempt): void => attempt.stop("ENDPOINT_TIMEOUT");
