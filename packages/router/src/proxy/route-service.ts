import type { Pool } from "../pool.ts";
import type { RouteService, RouteServices } from "../route-service/services.ts";
import { forwardedUrlHeader, metadataHeader, signatureHeader } from "../route-service/signature.ts";
import { hostOf, pathOf } from "../uri.ts";
import { nextEndpoint } from "./choose.ts";
import { originOf, type Exchange } from "./exchange.ts";
import { faults } from "./fault.ts";
import { forwardTo, type Attempts } from "./forward.ts";
import { buildRequestHeaders, noteForwarding } from "./headers.ts";
import { instanceTarget } from "./instance.ts";
import { FlatHeaders } from "./lines.ts";
import { namesOf } from "./names.ts";
import { momentHeaders } from "./passage.ts";
import type { Step } from "./pipeline.ts";
import { respondFault } from "./respond.ts";

const signatureName = signatureHeader.toLowerCase();
const metadataName = metadataHeader.toLowerCase();
const signatureNames = new Set([signatureName, metadataName, forwardedUrlHeader.toLowerCase()]);

/**
 * Sends a request of a route with a route service there first, and lets it through when it comes back with a signature that is
 * valid, young enough and made for this very route. Other routes are left alone, but for forged signatures where that is asked for.
 */
export const useRouteService: Step = (exchange, next) => {
  const { routeServices } = exchange.context;
  const url = exchange.route?.options.routeServiceUrl ?? "";
  if (url === "" && routeServices?.strict !== true) return next();
  const signature = exchange.header(signatureName) ?? "";
  if (url === "") {
    if (routeServices === undefined || signature === "") return next();
    const verdict = judge(exchange, routeServices, signature);
    return verdict === "expired" ? respondFault(exchange, faults.signatureExpired()) : verdict === undefined ? respondFault(exchange, faults.signatureInvalid(400)) : next();
  }
  if (routeServices === undefined) return respondFault(exchange, faults.routeService());
  if (exchange.upgrade !== undefined && !routeServices.webSockets) return respondFault(exchange, faults.routeServiceUpgrade());
  if (signature === "") return sendToService(exchange, routeServices, url);
  const verdict = judge(exchange, routeServices, signature);
  if (verdict === "expired") return respondFault(exchange, faults.signatureExpired());
  if (verdict === undefined || !isOfThisRoute(exchange, verdict)) return respondFault(exchange, faults.signatureInvalid(502));
  exchange.viaRouteService = true;
  // The way is over: the app sees the request as if the client had made it.
  exchange.requestHeaders = withoutSignature(exchange.currentHeaders);
  return next();
};

/** The URL a signature was made for; undefined when it is nobody's. */
function judge(exchange: Exchange, { signer, timeoutMs }: RouteServices, signature: string): string | "expired" | undefined {
  const signed = signer.open(signature, exchange.header(metadataName));
  if (signed === undefined) return undefined;
  return exchange.context.clock.now() - signed.requestedAtMs > timeoutMs ? "expired" : signed.forwardedUrl;
}

/** Whether what was signed leads where this request goes: to the same route, or, where steps change the way, with the same words. */
function isOfThisRoute(exchange: Exchange, signedUrl: string): boolean {
  const match = /^https?:\/\/([^/?#]*)(.*)$/i.exec(signedUrl);
  if (match === null) return false;
  const [, authority, rest] = match as unknown as [string, string, string];
  const host = hostOf(authority);
  if (host === hostOf(exchange.host) && rest === originOf(exchange.receivedTarget)) return true;
  return exchange.context.table.lookup(host, pathOf(rest)) === exchange.route;
}

async function sendToService(exchange: Exchange, services: RouteServices, url: string): Promise<void> {
  const { context, target, route } = exchange;
  const service = services.at(url);
  if (service === undefined) {
    context.log.error("router.route-service.url", { route: route?.key });
    return respondFault(exchange, faults.routeServiceUrl());
  }
  // Who asks for what is not there is told so now, not by way of the service.
  if ((route as Pool).endpoints.length === 0) return respondFault(exchange, faults.noEndpoints(hostOf(exchange.lookupHost)));
  const instance = instanceTarget(exchange);
  if (instance !== undefined && "status" in instance) return respondFault(exchange, instance);
  if (instance !== undefined && !(route as Pool).endpoints.some(instance.matches)) return respondFault(exchange, faults.unknownInstance(instance.what, hostOf(exchange.lookupHost)));

  const forwardedUrl = `${services.forwardedScheme}://${hostOf(exchange.host)}${originOf(exchange.receivedTarget)}`;
  const { signature, metadata } = services.signer.sign({ forwardedUrl, requestedAtMs: context.clock.now() });
  exchange.requestHeaders = [...withoutSignature(exchange.currentHeaders), signatureHeader, signature, metadataHeader, metadata, forwardedUrlHeader, forwardedUrl];
  const { headers: built, forwarding } = buildRequestHeaders(exchange);
  noteForwarding(exchange, forwarding);
  const headers = [...built, ...momentHeaders(exchange, forwarding)];
  headers[headers.indexOf("Host") + 1] = service.authority;
  for (const name of ["X-CF-App-Instance", "X-CF-Process-Instance"]) {
    const wanted = exchange.header(name.toLowerCase());
    // Meant for the way back, where the endpoint is chosen.
    if (wanted !== undefined) headers.push(name, wanted);
  }
  exchange.outboundHeaders = headers;
  exchange.service = service;
  exchange.target = service.target;
  try {
    const inside = insideRoute(exchange, services, service);
    if (inside === undefined) return await forwardTo(exchange, outside);
    exchange.route = inside;
    // Conditions on the app's endpoints mean nothing here.
    exchange.eligible = undefined;
    await forwardTo(exchange, throughTable);
  } finally {
    exchange.target = target;
    exchange.route = route;
  }
}

/** The service's own route in this table, where it may be used. One with a service before it is reached the long way. */
function insideRoute(exchange: Exchange, { mayHairpin }: RouteServices, { hostname, path }: RouteService): Pool | undefined {
  if (!mayHairpin(hostname)) return undefined;
  const pool = exchange.context.table.lookup(hostname, path);
  return pool !== undefined && pool.endpoints.length > 0 && !pool.options.routeServiceUrl ? pool : undefined;
}

/** The one address of a service outside, as often as allowed. */
const outside: Attempts = {
  next: ({ context, service }, tried) => (service !== undefined && tried.length < (context.routeServices?.maxAttempts ?? 0) ? service.endpoint : "none"),
  max: ({ context }) => context.routeServices?.maxAttempts ?? 0,
  headersFor: ({ outboundHeaders }) => new FlatHeaders(outboundHeaders),
};

/** The endpoints of a service that is an app of this table. */
const throughTable: Attempts = {
  next: nextEndpoint,
  max: ({ context }) => context.settings.maxAttempts,
  headersFor: ({ outboundHeaders }, endpoint) => new FlatHeaders(outboundHeaders, namesOf(endpoint).flat),
};

function withoutSignature(headers: readonly string[]): string[] {
  const out: string[] = [];
  for (let at = 0; at < headers.length; at += 2) {
    if (!signatureNames.has((headers[at] as string).toLowerCase())) out.push(headers[at] as string, headers[at + 1] as string);
  }
  return out;
}
