import type { Exchange } from "./exchange.ts";
import { cut } from "./respond.ts";

/** For the app to finish an answer that it began before it had everything: long enough for a refusal. */
const finishWithinMs = 1_000;

/**
 * Where an app may not answer while it reads (`concurrentReadWrite: false`; gorouter's `enable_http1_concurrent_read_write`, RFC 9112, 9.5):
 * the answer has begun, so what is left of the client's body goes nowhere. An app that waits for it would wait for ever, and its answer is cut.
 */
export function endUpload(exchange: Exchange): void {
  const { upload } = exchange;
  // Streams of HTTP/2 go both ways by nature.
  if (upload === undefined || exchange.httpVersionMajor > 1) return;
  const { request } = exchange;
  if (request.complete) return;
  upload.stop();
  request.resume();
  setTimeout(giveUp, finishWithinMs, exchange).unref();
}

function giveUp(exchange: Exchange): void {
  if (exchange.closed || exchange.response.writableEnded) return;
  exchange.truncated = "upload ended";
  cut(exchange);
}
