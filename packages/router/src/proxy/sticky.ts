import type { Endpoint } from "../endpoint.ts";
import type { Exchange } from "./exchange.ts";

/** The cookie that carries the instance id between router and browser. */
export const affinityCookie = "__VCAP_ID__";

/**
 * The instance a request wants to go back to. It must carry the app's own session cookie too:
 * without a session there is nothing that ties it to an instance.
 */
export function stickyInstanceOf(cookies: string | undefined, sessionNames: readonly string[]): string {
  if (cookies === undefined || !cookies.includes(affinityCookie)) return "";
  let instance = "";
  let session = false;
  for (const part of cookies.split(";")) {
    const equals = part.indexOf("=");
    if (equals < 0) continue;
    const name = part.slice(0, equals).trim();
    if (name === affinityCookie) instance ||= unquoted(part.slice(equals + 1).trim());
    else if (sessionNames.includes(name)) session = true;
  }
  return session ? instance : "";
}

/**
 * The `Set-Cookie` that ties the client to the endpoint that answered, or undefined when none is due: the app started (or ended)
 * a session, or the request was tied to an instance that did not answer it. Never in the app's way if it sets the cookie itself.
 */
export function affinitySetCookie(exchange: Exchange, endpoint: Endpoint, setCookies: readonly string[] | undefined): string | undefined {
  if (endpoint.instanceId === "" || exchange.service !== undefined) return undefined;
  const { stickyCookieNames, secureCookies } = exchange.context.settings;
  let session: string | undefined;
  if (setCookies !== undefined) {
    for (const cookie of setCookies) {
      const name = cookie.slice(0, Math.max(0, cookie.indexOf("="))).trim();
      if (name === affinityCookie) return undefined;
      if (session === undefined && stickyCookieNames.includes(name)) session = cookie;
    }
  }
  const moved = exchange.stickyInstance !== "" && exchange.stickyInstance !== endpoint.instanceId;
  if (session === undefined && !moved) return undefined;
  const attributes = session === undefined ? "" : copiedAttributes(session);
  const secure = secureCookies && !/; Secure/.test(attributes) ? "; Secure" : "";
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

const unquoted = (value: string): string => (value.startsWith("\"") && value.endsWith("\"") ? value.slice(1, -1) : value);
