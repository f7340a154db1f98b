export { createRouter, type DrainOptions, type Router, type RouterEvents, type RouterState } from "./router.ts";
export type { RouterOptions } from "./options.ts";
export type { EngineName } from "./engines.ts";
export { codes, RouterError, type RouterErrorCode } from "./errors.ts";
export type { Clock, Logger } from "./ports.ts";

// Where clients come in.
export type { ClientSubjectRule, DistinguishedName } from "./edge/client-subjects.ts";
export type { CertificateSource } from "./edge/certificate.ts";
export type { ConnectionInfo } from "./edge/connection.ts";
export type { ProxyProtocol } from "./edge/proxy-protocol.ts";
export type { ClientCertificateMode, TlsOptions, TlsVersion } from "./edge/tls-options.ts";

// The way of a request, for those who change it.
export { assignRequestId, checkServerName, defaultSteps, findRoute, limitHeaders, pickEndpoint, rewriteHeaders } from "./proxy/steps.ts";
export { useRouteService } from "./proxy/route-service.ts";
export type { RouteServiceOptions } from "./route-service/options.ts";

// Below HTTP.
export type { TcpOptions, TcpTlsOptions } from "./tcp/options.ts";
export type { TcpNumbers, TcpRecord } from "./tcp/record.ts";
export { forwardWithRetry } from "./proxy/forward.ts";
export { rewriteAnswers, type RewriteOptions } from "./proxy/rewrite.ts";
export { traceRequests, type TracingOptions } from "./proxy/tracing.ts";
export type { Step } from "./proxy/pipeline.ts";
export type { Engine, Exchange } from "./proxy/exchange.ts";
export { faults, type ErrorPage, type Fault } from "./proxy/fault.ts";
export { htmlErrorPage, htmlErrorPageFrom } from "./proxy/html-error-page.ts";
export { respondFault } from "./proxy/respond.ts";

// What it tells of requests.
export type { RequestRecord } from "./proxy/record.ts";
export { accessLogLine, type AccessLogOptions, type AccessLogSink } from "./proxy/access-log.ts";
export type { RequestNumbers, RouterNumbers } from "./numbers.ts";
export type { StatusAddresses, StatusOptions, StatusView } from "./status.ts";

// Where its log goes.
export type { AccessLogOutput } from "./log/access-log.ts";
export { logToFile, type FileTargetOptions } from "./log/file.ts";
export { logToSocket, type SocketTargetOptions } from "./log/socket.ts";
export { accessLogJson } from "./log/json.ts";
export type { LogTarget, RecordTarget } from "./log/target.ts";

// For those who bring their own source of routes.
export type { RouteSource, RunningSource, SourceContext } from "./source.ts";
export { createRouteTable, type RegisterResult, type RouteSnapshot, type RouteTable, type RouteTableOptions, type TableChange } from "./table/route-table.ts";
export { diffRoutes, type TableDiff } from "./table/diff.ts";
export type { WaitOptions } from "./table/wait.ts";
export { createPruner, type PrunerOptions } from "./table/pruner.ts";
export type { Endpoint, EndpointInit, ModificationTag } from "./endpoint.ts";
export type { LoadBalancing, Pool, RouteOptions } from "./pool.ts";
export { routeKey } from "./uri.ts";
