import { createHash, timingSafeEqual } from "node:crypto";
import { respondFault, type Step } from "@opencf/router";

/**
 * A step of one's own: to `route` only those get through who name a key in `Authorization: Bearer`. Stands after `findRoute`: it asks
 * where a request goes, not how its path is spelled.
 * Who it was goes on to the app in `X-Caller`; what clients say there themselves is taken away on every route.
 * @param keys name of the caller by key
 */
export function requireKey(route: string, keys: ReadonlyMap<string, string>): Step {
  // Compared as digests: how long it takes tells nothing about how much of a key was right.
  const callers = [...keys].map(([key, name]) => ({ digest: digestOf(key), name }));
  return (exchange, next) => {
    exchange.requestHeaders = withoutCaller(exchange.requestHeaders);
    if (exchange.route?.key !== route) return next();
    const given = /^Bearer (\S+)$/i.exec(exchange.header("authorization") ?? "")?.[1] ?? "";
    const digest = digestOf(given);
    const caller = callers.find((one) => timingSafeEqual(one.digest, digest));
    if (caller === undefined) {
      exchange.response.setHeader("WWW-Authenticate", "Bearer");
      return respondFault(exchange, { status: 401, code: "key_required", message: "Give a key: Authorization: Bearer KEY" });
    }
    exchange.setHeader("X-Caller", caller.name);
    return next();
  };
}

const digestOf = (key: string): Buffer => createHash("sha256").update(key).digest();

/** Apps in the manner of CGI read `X_Caller` as `X-Caller`. */
const withoutCaller = (headers: readonly string[]): string[] =>
  headers.filter((_, at) => !/^x[-_]caller$/i.test(headers[at - (at % 2)] as string));
