import type { Exchange } from "./exchange.ts";
import { plainErrorPage, type Fault } from "./fault.ts";

/** Sends a router-made answer, and gives a promise for its end. When the answer has begun already, the connection is cut. */
export function respondFault(exchange: Exchange, fault: Fault): Promise<void> {
  sendFault(exchange, fault);
  return ended(exchange);
}

/** The same for those who do not wait: whoever waits for the end of the exchange goes on waiting. */
export function sendFault(exchange: Exchange, fault: Fault): void {
  const { response, context } = exchange;
  exchange.fault = fault;
  exchange.status = fault.status;
  if (exchange.closed) return;
  if (response.headersSent) return cut(exchange);
  const { contentType, body } = pageOf(exchange, fault);
  const bytes = Buffer.from(body);
  const headers = [
    "Content-Type", contentType,
    "Content-Length", String(bytes.length),
    "X-Content-Type-Options", "nosniff",
    "X-Cf-RouterError", fault.code,
  ];
  if (fault.cacheControl !== undefined) headers.push("Cache-Control", fault.cacheControl);
  if (exchange.requestId !== "") headers.push("X-Vcap-Request-Id", exchange.requestId);
  // A client that still holds its body back (Expect) has not been asked for it: it could only be told by closing.
  if (context.draining || fault.status === 408 || (exchange.expectContinue && !exchange.request.complete)) headers.push("Connection", "close");
  response.writeHead(fault.status, exchange.rewriteAnswer === undefined ? headers : exchange.rewriteAnswer(headers));
  if (exchange.method !== "HEAD") exchange.bytesOut = bytes.length;
  response.end(bytes);
}

/** A page of one's own that fails must not take the answer with it. */
function pageOf({ context: { settings, log } }: Exchange, fault: Fault): { contentType: string; body: string } {
  try {
    return settings.errorPage(fault);
  } catch (cause) {
    log.error("router.error-page.failed", { error: String(cause) });
    return plainErrorPage(fault);
  }
}

/** Resolves when the last byte is handed over, or the client is gone. */
export function ended(exchange: Exchange): Promise<void> {
  return exchange.closed ? Promise.resolve() : new Promise((resolve) => exchange.whenClosed(resolve));
}

/**
 * Ends an answer that cannot be completed so that the client notices. What was sent is still delivered where the framing
 * shows that something is missing; where the end of the connection is the end of the body, only a reset can tell.
 */
export function cut({ socket, framed, context }: Exchange): void {
  // What is on its way to a client that reads nothing must not wait for ever.
  socket.setTimeout(context.settings.clientStallMs);
  if (framed) socket.destroySoon();
  else socket.resetAndDestroy();
}
