import type { RouteOptions } from "../route-options.ts";
import type { Exchange } from "./exchange.ts";
import { headerRewriter } from "./rewrite.ts";

type Rewriter = (headers: string[]) => string[];

/** Made once for each set of options, not for each request. */
const rewriters = new WeakMap<RouteOptions, Rewriter>();

/** What a route wants of the headers of its answers, the router's own included; after what steps want. */
export function rewriteForRoute(exchange: Exchange, options: RouteOptions): void {
  const { removeResponseHeaders: remove, addResponseHeaders: addIfMissing } = options;
  if (remove === undefined && addIfMissing === undefined) return;
  let rewrite = rewriters.get(options);
  if (rewrite === undefined) rewriters.set(options, rewrite = headerRewriter({ ...(remove && { remove }), ...(addIfMissing && { addIfMissing }) }));
  const [mine, before] = [rewrite, exchange.rewriteAnswer];
  exchange.rewriteAnswer = before === undefined ? mine : (headers) => mine(before(headers));
}
