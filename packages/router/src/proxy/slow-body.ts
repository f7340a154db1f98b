import type { IncomingMessage } from "node:http";
import type { Exchange } from "./exchange.ts";
import { faults } from "./fault.ts";
import { sendFault } from "./respond.ts";

interface Seen { bytes: number; sinceMs: number }

/**
 * Ends requests whose body does not come on: 408 when for `stallMs` nothing has come that the app waited for. A body that is held
 * back because the app reads slowly, or because there is no connection to send it on, is not the client's fault; once the app has
 * begun to answer it is a conversation, which may pause; streams of HTTP/2 (gRPC) may pause too.
 * One look over all requests now and then, so that none costs anything by itself.
 */
export function watchSlowBodies(underWay: Iterable<Exchange>, stallMs: number): Disposable {
  const seen = new WeakMap<Exchange, Seen>();
  const look = (): void => {
    const nowMs = performance.now();
    for (const exchange of underWay) {
      if (!isAwaited(exchange)) {
        seen.delete(exchange);
        continue;
      }
      const before = seen.get(exchange);
      if (before === undefined || before.bytes !== exchange.bytesIn) seen.set(exchange, { bytes: exchange.bytesIn, sinceMs: nowMs });
      else if (nowMs - before.sinceMs >= stallMs) sendFault(exchange, faults.slowBody());
    }
  };
  const timer = setInterval(look, Math.min(5_000, Math.max(20, stallMs / 4)));
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

const isAwaited = (exchange: Exchange): boolean =>
  exchange.hasBody && !exchange.closed && exchange.upgrade === undefined && exchange.httpVersionMajor === 1 && !exchange.response.headersSent && isFlowing(exchange.request);

/** `isAwaited`: of a request whose body is taken without its stream. */
const isFlowing = ({ complete, readableFlowing, isAwaited }: IncomingMessage & { isAwaited?: boolean }): boolean => !complete && (readableFlowing === true || isAwaited === true);
