import { performance } from "node:perf_hooks";
import type { Endpoint } from "../endpoint.ts";
import { forgive } from "../health.ts";
import type { HeaderBlock, ResponseHead } from "../http1/head.ts";
import { linesWithout, markNumbers, valueAt } from "../http1/marks.ts";
import {
  bitsOf, CONNECTION, CONTENT_LENGTH, DATE, KEEP_ALIVE, PROXY_CONNECTION, PROXY_SIGNATURE, REQUEST_ID, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE,
} from "../http1/names.ts";
import { isFieldValue } from "../http1/octets.ts";
import type { Exchange } from "../proxy/exchange.ts";
import { affinitySetCookie } from "../proxy/sticky.ts";
import { dateLine } from "./answer-head.ts";
import type { ClientResponse } from "./client-response.ts";

/** With these more has to be done than to pass a line on or to leave it out. */
const unusual = bitsOf(TRAILER, WWW_AUTHENTICATE);
/** These do not reach the client: they speak of the connection to the endpoint, or of how the body came over it. */
const dropped = bitsOf(CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, UPGRADE, TRANSFER_ENCODING, PROXY_SIGNATURE);
const none: readonly string[] = Object.freeze([]);

/** Whether nothing about this answer or its request asks for more than the lines of the endpoint and the id: a step, a drain, an old client, a trace key. */
export function isOrdinary(exchange: Exchange, response: ClientResponse): boolean {
  const { context: { draining, settings } } = exchange;
  return exchange.rewriteAnswer === undefined && !draining && !exchange.closesAfter && settings.traceKey === "" && exchange.httpVersionMinor !== 0
    && (exchange.upload === undefined || settings.concurrentReadWrite) && response.shouldKeepAlive && response.isUntouched;
}

/** The endpoint's answer has begun, and its body is framed. */
export function noteBegun(exchange: Exchange, endpoint: Endpoint, status: number): void {
  // Whoever answers works, whatever the answer is.
  forgive(endpoint.backend);
  exchange.framed = true;
  exchange.appHeadersMs = performance.now();
  exchange.status = status;
}

/**
 * Begins an answer whose head can be cut out of the endpoint's as it stands: what `clientHead` and `writeAnswerHead` say of it, without taking the lines
 * apart and putting them together again. The reader has looked at every letter of them.
 * @returns false when it has to be begun in the ordinary way
 */
export function beginCut(exchange: Exchange, endpoint: Endpoint, { head, response }: { head: ResponseHead; response: ClientResponse }): boolean {
  const { block, status } = head;
  const { requestId, context: { settings: { maxResponseHeaders } } } = exchange;
  if (!block.isRegular || block.namesOptions || (block.seen & unusual) !== 0 || status < 200 || (maxResponseHeaders > 0 && block.count > maxResponseHeaders)
    || !isOrdinary(exchange, response) || !isFieldValue(requestId)) return false;
  const cookie = affinitySetCookie(exchange, endpoint, (block.seen & bitsOf(SET_COOKIE)) === 0 ? undefined : cookiesOf(block), none);
  if (cookie !== undefined && !isFieldValue(cookie)) return false;
  const chunked = exchange.method !== "HEAD" && status !== 204 && status !== 304 && (block.seen & bitsOf(CONTENT_LENGTH)) === 0;
  let text = `HTTP/1.1 ${status} ${head.reason}\r\n${linesWithout(block, dropped)}`;
  if ((block.seen & bitsOf(REQUEST_ID)) === 0) text += `X-Vcap-Request-Id: ${requestId}\r\n`;
  if (cookie !== undefined) text += `Set-Cookie: ${cookie}\r\n`;
  if ((block.seen & bitsOf(DATE)) === 0) text += dateLine();
  noteBegun(exchange, endpoint, status);
  response.writeText(status, text + (chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n"), chunked);
  return true;
}

function cookiesOf(block: HeaderBlock): string[] {
  const { marks } = block;
  const cookies: string[] = [];
  for (let at = 0; at < marks.length; at += markNumbers) if (marks[at] === SET_COOKIE) cookies.push(valueAt(block, at));
  return cookies;
}
