import type { Exchange, ProxyContext } from "./exchange.ts";

/** What the log says of a request whose target has a `;` (gorouter `handlers/query_param.go`). */
export const semicolonMark = "deprecated-semicolon-params";

/** Every such request is marked in the access log; the log of the router itself hears of them once a second. */
const quietMs = 1_000;

interface Said { untilMs: number; unsaid: number }
const said = new WeakMap<ProxyContext, Said>();

/**
 * Parsers disagree about `;` in a query: some take it for `&`, some for a letter like any other. The router passes it on as it is, and says so:
 * this gives the mark for the access log, and a warning with the number of requests that had none of their own since the last one.
 */
export function markSemicolons({ target, context, requestId, host }: Exchange): string | undefined {
  if (!target.includes(";")) return undefined;
  const now = context.clock.now();
  let held = said.get(context);
  if (held === undefined) said.set(context, held = { untilMs: Number.NEGATIVE_INFINITY, unsaid: 0 });
  // A clock that was set back must not keep it silent for long.
  if (now < held.untilMs && held.untilMs - now <= quietMs) held.unsaid += 1;
  else {
    context.log.warn("router.target.semicolon", { mark: semicolonMark, requestId, host, unsaid: held.unsaid });
    held.untilMs = now + quietMs;
    held.unsaid = 0;
  }
  return semicolonMark;
}
