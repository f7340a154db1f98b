import type { IncomingMessage } from "node:http";
import type { Endpoint } from "../endpoint.ts";
import { beginAnswer } from "./answer.ts";
import type { Exchange } from "./exchange.ts";
import { pairsOf } from "./flat-headers.ts";
import { cut } from "./respond.ts";

/** Streams an answer of node:http to the client, trailers included. */
export async function relay(exchange: Exchange, endpoint: Endpoint, answer: IncomingMessage): Promise<void> {
  const { response } = exchange;
  beginAnswer(exchange, endpoint, { status: answer.statusCode as number, reason: answer.statusMessage ?? "", headers: answer.rawHeaders });
  response.flushHeaders();
  exchange.whenClosed(() => answer.destroy());
  answer.on("data", (chunk: Buffer) => {
    exchange.bytesOut += chunk.length;
    if (response.write(chunk)) return;
    answer.pause();
    response.once("drain", () => answer.resume());
  });
  const complete = await new Promise<boolean>((resolve) => {
    answer.on("end", () => resolve(answer.complete));
    answer.on("error", () => resolve(false));
    answer.on("close", () => resolve(false));
  });
  exchange.appFinishedMs = performance.now();
  if (complete) {
    if (answer.rawTrailers.length > 0 && response.chunkedEncoding) response.addTrailers(pairsOf(answer.rawTrailers));
    response.end();
  } else if (!exchange.closed) {
    exchange.truncated = "EOF";
    cut(exchange);
  }
}
