import type { BlockList } from "node:net";
import type { LoadBalancing } from "../pool.ts";
import type { BackendTls } from "../trust.ts";
import type { ErrorPage } from "./fault.ts";

/** What governs a request on its way, resolved once when the router is made. */
export interface ProxySettings {
  readonly loadBalancing: LoadBalancing;
  readonly maxAttempts: number;
  readonly endpointTimeoutMs: number;
  readonly dialTimeoutMs: number;
  readonly backendIdleMs: number;
  readonly clientStallMs: number;
  readonly failureMarkMs: number;
  readonly maxFailureMarkMs: number;
  readonly maxConnectionsPerEndpoint: number;
  readonly maxQueuedPerEndpoint: number;
  readonly queueTimeoutMs: number;
  readonly retryMethods: readonly string[];
  readonly retryDeadlineMs: number;
  readonly retryBudgetPercent: number;
  readonly maxRequestBodyBytes: number;
  readonly concurrentReadWrite: boolean;
  readonly reuseExpectConnections: boolean;
  readonly maxRequestHeaderBytes: number;
  readonly maxRequestHeaders: number;
  readonly maxResponseHeaderBytes: number;
  readonly maxResponseHeaders: number;
  readonly stickyCookieNames: readonly string[];
  readonly stickyForNegotiate: boolean;
  readonly secureCookies: boolean;
  readonly forwardedProto: "keep" | "overwrite" | "https";
  readonly forwardedClientCert: "always-forward" | "forward" | "sanitize-set";
  readonly trustedProxies: BlockList | undefined;
  readonly zone: string;
  readonly preferZone: boolean;
  readonly traceKey: string;
  readonly errorPage: ErrorPage;
  readonly backendTls: BackendTls;
}
