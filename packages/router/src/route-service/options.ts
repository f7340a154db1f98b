/** How routes with a `routeServiceUrl` are served: each request goes to that service first, and comes back from it. */
export interface RouteServiceOptions {
  /** Signs what goes to the service. All routers of a fleet share it. */
  secret: string;
  /** Signatures made with this one are still accepted, so that the secret can be changed while requests are under way. Default none. */
  previousSecret?: string;
  /** Age at which a signature is no longer taken. Default 60 000 ms. */
  timeoutMs?: number;
  /** Scheme of the address the service is told to call. Default `https`: there is a TLS door before or in this router. */
  forwardedScheme?: "https" | "http";
  /** How often a service that cannot be reached is tried. Default 3. */
  maxAttempts?: number;
  /** Refuses forged and expired signatures on routes without a service too. Default false: they pass, since services themselves have such routes. */
  strict?: boolean;
  /** Services that are apps of this table are reached directly: all of them, or those whose host is listed (`*.` stands for one label). Default false. */
  hairpinning?: boolean | readonly string[];
  /** Whether upgrades go through services too. Default true; else 503. */
  webSockets?: boolean;
  /** For TLS to services: whom to trust instead of the system's authorities, PEM. */
  ca?: string | readonly string[];
  /** For TLS to services: the router's own certificate and its chain, PEM. Default none. */
  cert?: string;
  /** The key to it, PEM. */
  key?: string;
  /** Takes any certificate for the service's. Default false. For test environments only. */
  insecure?: boolean;
}
