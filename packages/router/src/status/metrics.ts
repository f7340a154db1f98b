import { readdirSync } from "node:fs";
import type { AppTraffic } from "../numbers/per-app.ts";
import { phases, statusGroups, Traffic } from "../numbers/traffic.ts";
import { family, histogramLines, sample, type Labels } from "./exposition.ts";
import type { StatusSources } from "./sources.ts";

/** So many apps are written at a time; requests go between. */
const appsAtATime = 20;

/**
 * The numbers in Prometheus text: first the router's, under gorouter's names where it has one and all durations in seconds, then those of each app.
 * Comes in pieces, since a thousand apps take longer to write than a request should wait.
 */
export async function* metricsText(sources: StatusSources): AsyncGenerator<string> {
  yield ofRouter(sources);
  const apps = byApp(sources.numbers.perApp.all());
  yield* inPieces(apps, family("app_responses_total", "counter", "Answers by app and group of status."), (labels, { responses }) =>
    statusGroups.map((group, at) => sample("app_responses_total", responses[at] as number, { ...labels, status_group: group })).join(""));
  for (const [name, help, value] of perApp) yield* inPieces(apps, family(name, "counter", help), (labels, traffic) => sample(name, value(traffic), labels));
  yield* inPieces(apps, family("app_request_duration_seconds", "histogram", "Time of requests by app and phase: queue, connect, first_byte, total."), (labels, traffic) =>
    phases.map((phase) => (traffic.phases[phase].count === 0 ? "" : histogramLines("app_request_duration_seconds", traffic.phases[phase], { ...labels, phase }))).join(""));
}

const perApp: readonly (readonly [string, string, (traffic: Traffic) => number])[] = [
  ["app_received_bytes_total", "Body bytes from clients, by app.", ({ bytesIn }) => bytesIn],
  ["app_sent_bytes_total", "Body bytes to clients, by app.", ({ bytesOut }) => bytesOut],
  ["app_upgrades_total", "Connections that left HTTP, by app.", ({ upgrades }) => upgrades],
  ["app_failed_attempts_total", "Attempts that failed, by app.", ({ failedAttempts }) => failedAttempts],
  ["app_router_errors_total", "Answers the router made for want of one of the app's.", ({ routerErrors }) => routerErrors],
];

/** One entry per app; what has no app is told apart by route. Both labels are empty for what is counted together. */
function byApp(all: Iterable<AppTraffic>): [Labels, Traffic][] {
  const merged = new Map<string, [Labels, Traffic]>();
  for (const { app, route, traffic } of all) {
    const labels = { app, route: app === "" ? route : "" };
    const key = `${app} ${labels.route}`;
    let held = merged.get(key);
    if (held === undefined) merged.set(key, held = [labels, new Traffic(traffic.lastMs)]);
    held[1].merge(traffic);
  }
  return [...merged.values()];
}

async function* inPieces(apps: readonly [Labels, Traffic][], head: string, write: (labels: Labels, traffic: Traffic) => string): AsyncGenerator<string> {
  yield head;
  for (let at = 0; at < apps.length; at += appsAtATime) {
    if (at > 0) await new Promise((resolve) => setImmediate(resolve));
    yield apps.slice(at, at + appsAtATime).map(([labels, traffic]) => write(labels, traffic)).join("");
  }
}

function ofRouter({ table, numbers, clock, startedAtMs, accessLog, inFlight, sources, healthy }: StatusSources): string {
  const held = numbers.snapshot();
  const now = clock.now();
  const failed = (cause: string): number => held.attempt_failures[cause] ?? 0;
  const { requests, tunnels } = inFlight();
  const fromSources = Object.entries(sources());
  const sum = (name: string): number => fromSources.reduce((total, [, counted]) => total + (counted[name] ?? 0), 0);
  const counter = (name: string, help: string, value: number): string => family(name, "counter", help) + sample(name, value);
  const gauge = (name: string, help: string, value: number): string => family(name, "gauge", help) + sample(name, value);
  const components = Object.entries(held.tags.component);
  return family("total_requests", "counter", "Requests, by component of the endpoint.")
    + sample("total_requests", held.requests - components.reduce((total, [, each]) => total + each.requests, 0), { component: "" })
    + components.map(([component, each]) => sample("total_requests", each.requests, { component })).join("")
    + family("responses", "counter", "Answers by group of status.") + statusGroups.map((group) => sample("responses", held[`responses_${group}`], { status_group: group })).join("")
    + counter("rejected_requests", "Requests the router refused itself.", held.bad_requests)
    + counter("bad_gateways", "Requests no endpoint could serve.", held.bad_gateways)
    + counter("truncated_responses", "Answers that were cut short.", held.truncated_responses)
    + counter("backend_exhausted_conns", "Requests for which every endpoint was at its limit.", held.exhausted_connections)
    + counter("backend_invalid_id", "Attempts at which another instance answered.", failed("hostname mismatch"))
    + counter("backend_invalid_tls_cert", "Attempts at which the endpoint could not prove who it is.", failed("invalid certificate"))
    + counter("backend_tls_handshake_failed", "Attempts at which TLS was not agreed upon.", failed("tls handshake failed"))
    + family("failed_attempts", "counter", "Attempts that failed, by cause.") + Object.entries(held.attempt_failures).map(([cause, count]) => sample("failed_attempts", count, { cause })).join("")
    + counter("websocket_upgrades", "Connections that left HTTP.", held.websocket_upgrades)
    + counter("websocket_failures", "Requests to leave HTTP that no endpoint could serve.", held.websocket_failures)
    + counter("received_bytes", "Body bytes from clients.", held.bytes_in) + counter("sent_bytes", "Body bytes to clients.", held.bytes_out)
    + family("request_duration_seconds", "histogram", "Time of requests, to the last byte.") + histogramLines("request_duration_seconds", numbers.durations.total)
    + family("gorouter_time_seconds", "histogram", "Of it, the router's part.") + histogramLines("gorouter_time_seconds", numbers.durations.router)
    + gauge("active_requests", "Requests and tunnels under way.", requests) + gauge("active_tunnels", "Tunnels under way.", tunnels)
    + gauge("total_routes", "Routes with an endpoint.", table.routeCount) + gauge("total_addresses", "Distinct addresses.", table.addressCount)
    + gauge("ms_since_last_registry_update", "Milliseconds since the table was last told something; -1 before the first time.", table.lastUpdateMs === undefined ? -1 : now - table.lastUpdateMs)
    + family("registry_message", "counter", "Registrations taken in, by what they did.")
    + ["added", "updated", "refreshed", "ignored"].map((action) => sample("registry_message", sum(action), { action })).join("")
    + counter("unregistry_message", "Unregistrations taken in.", sum("unregistrations")) + counter("routes_pruned", "Endpoints that left by age.", sum("pruned"))
    + gauge("buffered_messages", "Messages of the bus that wait.", sum("pending_messages")) + counter("total_dropped_messages", "Messages of the bus that were dropped.", sum("dropped_messages"))
    + counter("access_log_dropped_lines", "Lines of the access log nobody took.", accessLog?.droppedLines ?? 0)
    + gauge("apps_counted", "Pairs of app and route that are counted apart.", numbers.perApp.size)
    + gauge("healthy", "1 while balancers may send requests here.", healthy() ? 1 : 0)
    + gauge("uptime", "Seconds.", Math.floor((now - startedAtMs) / 1_000)) + gauge("file_descriptors", "Open files and sockets.", openFiles())
    + gauge("process_resident_memory_bytes", "Memory held.", process.memoryUsage.rss());
}

/** -1 where the system does not tell. */
function openFiles(): number {
  try { return readdirSync("/proc/self/fd").length; } catch { return -1; }
}
