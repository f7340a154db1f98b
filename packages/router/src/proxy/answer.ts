import { performance } from "node:perf_hooks";
import type { Endpoint } from "../endpoint.ts";
import { forgive } from "../health.ts";
import { limitHeaders } from "./answer-limit.ts";
import { speaksHttp10, type Exchange } from "./exchange.ts";
import { firstValue } from "./flat-headers.ts";
import { buildResponseHeaders } from "./headers.ts";
import { affinitySetCookie } from "./sticky.ts";
import { endUpload } from "./upload.ts";

/** An answer's head as it came from the endpoint; headers flat, in their order and spelling. */
export interface AnswerHead {
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly string[];
}

/** The head the client gets to see. `mayTrail`: the body is chunked on both sides, so trailers can follow it. */
export function clientHead(exchange: Exchange, endpoint: Endpoint, head: AnswerHead, mayTrail: boolean): string[] {
  // Whoever answers works, whatever the answer is.
  forgive(endpoint.backend);
  const { traceKey, maxResponseHeaders } = exchange.context.settings;
  if (maxResponseHeaders > 0) limitHeaders(head.headers, maxResponseHeaders);
  const { headers, setCookies } = buildResponseHeaders(exchange, head.headers, mayTrail);
  const cookie = affinitySetCookie(exchange, endpoint, setCookies, head.headers);
  if (cookie !== undefined) headers.push("Set-Cookie", cookie);
  if (traceKey !== "" && exchange.received("x-vcap-trace") === traceKey) {
    headers.push("X-Vcap-Router", exchange.context.id, "X-Vcap-Backend", endpoint.address, "X-Cf-RouteEndpoint", endpoint.address);
  }
  return exchange.rewriteAnswer === undefined ? headers : exchange.rewriteAnswer(headers);
}

/** Sends the head of an endpoint's answer to the client. Throws when no HTTP response can be made of it. */
export function beginAnswer(exchange: Exchange, endpoint: Endpoint, head: AnswerHead): void {
  const chunked = !speaksHttp10(exchange) && exchange.method !== "HEAD"
    && head.status !== 204 && head.status !== 304 && firstValue(head.headers, "transfer-encoding") !== undefined;
  exchange.appHeadersMs = performance.now();
  if (!exchange.context.settings.concurrentReadWrite) endUpload(exchange);
  exchange.response.writeHead(head.status, head.reason, clientHead(exchange, endpoint, head, chunked));
  exchange.status = head.status;
}

/** Sends the head of an answer of whose body nothing has come yet. */
export function flushHead({ response, bytesOut }: Exchange): void {
  if (bytesOut === 0 && !response.writableEnded && !response.destroyed) response.flushHeaders();
}
