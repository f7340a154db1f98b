import type { Endpoint } from "../endpoint.ts";
import { cookieOf } from "./cookies.ts";
import type { Exchange } from "./exchange.ts";

/** The cookie that carries the instance id between router and browser. */
export const affinityCookie = "__VCAP_ID__";

/** What is said of the route, or else of the router. */
const sessionNamesOf = ({ route, context }: Exchange): readonly string[] => route?.options.stickyCookieNames ?? context.settings.stickyCookieNames;
const forNegotiate = ({ route, context }: Exchange): boolean => route?.options.stickyForNegotiate ?? context.settings.stickyForNegotiate;

/**
 * The instance a request wants to go back to. It must carry the app's own session cookie too:
 * without a session there is nothing that ties it to an instance.
 */
export function stickyInstanceOf(cookies: string | undefined, sessionNames: readonly string[]): string {
  const instance = cookieOf(cookies, affinityCookie);
  if (instance === undefined || instance === "") return "";
  return sessionNames.some((name) => cookieOf(cookies, name) !== undefined) ? instance : "";
}

/**
 * Ties a request to its instance: softly by the app's session, hard where `Authorization: Negotiate` authenticates a connection and
 * not a request, so that another instance could do nothing with it.
 */
export function readAffinity(exchange: Exchange): void {
  const cookies = exchange.header("cookie");
  // Looked for in the whole first: most requests have none.
  if (cookies === undefined || !cookies.includes(affinityCookie)) return;
  if (forNegotiate(exchange) && isNegotiate(exchange.header("authorization"))) {
    exchange.stickyInstance = cookieOf(cookies, affinityCookie) ?? "";
    exchange.stickyHard = exchange.stickyInstance !== "";
  }
  if (exchange.stickyInstance === "") exchange.stickyInstance = stickyInstanceOf(cookies, sessionNamesOf(exchange));
}

/**
 * The `Set-Cookie` that ties the client to the endpoint that answered, or undefined when none is due: the app started (or ended)
 * a session, the app negotiates, or the request was tied to an instance that did not answer it.
 * Never in the app's way if it sets the cookie itself. `answer`: the headers of the answer, flat.
 */
export function affinitySetCookie(exchange: Exchange, endpoint: Endpoint, setCookies: readonly string[] | undefined, answer: readonly string[]): string | undefined {
  if (endpoint.instanceId === "" || exchange.service !== undefined) return undefined;
  const elsewhere = exchange.stickyInstance !== endpoint.instanceId;
  let session: string | undefined;
  if (setCookies !== undefined) {
    const names = sessionNamesOf(exchange);
    for (const cookie of setCookies) {
      const name = cookie.slice(0, Math.max(0, cookie.indexOf("="))).trim();
      if (name === affinityCookie) return undefined;
      if (session === undefined && names.includes(name)) session = cookie;
    }
  }
  const negotiates = elsewhere && forNegotiate(exchange) && challenges(answer);
  if (session === undefined && !negotiates && (exchange.stickyInstance === "" || !elsewhere)) return undefined;
  // While they negotiate there is no session yet that could tell how long the tie is to hold.
  const attributes = session !== undefined ? copiedAttributes(session) : negotiates ? "; Max-Age=60; SameSite=Strict" : "";
  const secure = exchange.context.settings.secureCookies && !/; Secure/.test(attributes) ? "; Secure" : "";
  return `${affinityCookie}=${endpoint.instanceId}; Path=${exchange.route?.contextPath ?? "/"}; HttpOnly${attributes}${secure}`;
}

/** The two cookies must live and die together, so what bounds the one bounds the other. A positive Max-Age is not copied (as in gorouter). */
function copiedAttributes(session: string): string {
  let copied = "";
  for (const part of session.split(";").slice(1)) {
    const attribute = part.trim();
    if (/^secure$/i.test(attribute)) copied += "; Secure";
    else if (/^partitioned$/i.test(attribute)) copied += "; Partitioned";
    else if (/^(samesite|expires)=/i.test(attribute)) copied += `; ${attribute}`;
    else if (/^max-age=(-\d+|0+)$/i.test(attribute)) copied += `; ${attribute}`;
  }
  return copied;
}

function challenges(answer: readonly string[]): boolean {
  return answer.some((name, at) => at % 2 === 0 && name.length === 16 && name.toLowerCase() === "www-authenticate" && isNegotiate(answer[at + 1]));
}

const isNegotiate = (value: string | undefined): boolean => value !== undefined && /^negotiate/i.test(value);
