import { phases, statusGroups } from "../numbers/traffic.ts";
import { family, histogramLines, sample, type Labels } from "./exposition.ts";
import { addApp, type AppSum } from "./merge.ts";
import type { AppReport, RouterReport } from "./report.ts";

/** So many apps are written at a time; requests go between. */
const appsAtATime = 20;

/**
 * The numbers in Prometheus text: first the router's, under gorouter's names where it has one and all durations in seconds, then those of each app.
 * Comes in pieces, since a thousand apps take longer to write than a request should wait.
 */
export async function* metricsText(report: RouterReport, pieces: AsyncIterable<readonly AppReport[]>): AsyncGenerator<string> {
  yield ofRouter(report);
  const apps = await byApp(pieces);
  yield* inPieces(apps, family("app_responses_total", "counter", "Answers by app and group of status."), (labels, { responses }) =>
    statusGroups.map((group, at) => sample("app_responses_total", responses[at] as number, { ...labels, status_group: group })).join(""));
  for (const [name, help, value] of perApp) yield* inPieces(apps, family(name, "counter", help), (labels, traffic) => sample(name, value(traffic), labels));
  yield* inPieces(apps, family("app_request_duration_seconds", "histogram", "Time of requests by app and phase: queue, connect, first_byte, total."), (labels, traffic) =>
    phases.map((phase) => (traffic.phases[phase].count === 0 ? "" : histogramLines("app_request_duration_seconds", traffic.phases[phase], { ...labels, phase }))).join(""));
}

const perApp: readonly (readonly [string, string, (traffic: AppSum) => number])[] = [
  ["app_received_bytes_total", "Body bytes from clients, by app.", ({ bytesIn }) => bytesIn],
  ["app_sent_bytes_total", "Body bytes to clients, by app.", ({ bytesOut }) => bytesOut],
  ["app_upgrades_total", "Connections that left HTTP, by app.", ({ upgrades }) => upgrades],
  ["app_failed_attempts_total", "Attempts that failed, by app.", ({ failedAttempts }) => failedAttempts],
  ["app_router_errors_total", "Answers the router made for want of one of the app's.", ({ routerErrors }) => routerErrors],
];

/** One entry per app; what has no app is told apart by route. Both labels are empty for what is counted together. */
async function byApp(pieces: AsyncIterable<readonly AppReport[]>): Promise<[Labels, AppSum][]> {
  const merged = new Map<string, AppSum>();
  for await (const piece of pieces) for (const report of piece) addApp(merged, report, report.app, report.app === "" ? report.route : "");
  return [...merged.values()].map((traffic) => [{ app: traffic.app, route: traffic.route }, traffic]);
}

async function* inPieces(apps: readonly [Labels, AppSum][], head: string, write: (labels: Labels, traffic: AppSum) => string): AsyncGenerator<string> {
  yield head;
  for (let at = 0; at < apps.length; at += appsAtATime) {
    if (at > 0) await new Promise((resolve) => setImmediate(resolve));
    yield apps.slice(at, at + appsAtATime).map(([labels, traffic]) => write(labels, traffic)).join("");
  }
}

function ofRouter({ total: { counters: held }, components: byComponent, failures, durations, counters, levels, table, sources, ...report }: RouterReport): string {
  const failed = (cause: string): number => failures[cause] ?? 0;
  const sum = (name: string): number => Object.values(sources).reduce((total, counted) => total + (counted[name] ?? 0), 0);
  const counter = (name: string, help: string, value: number): string => family(name, "counter", help) + sample(name, value);
  const gauge = (name: string, help: string, value: number): string => family(name, "gauge", help) + sample(name, value);
  const components = Object.entries(byComponent);
  return family("total_requests", "counter", "Requests, by component of the endpoint.")
    + sample("total_requests", held.requests - components.reduce((total, [, each]) => total + each.counters.requests, 0), { component: "" })
    + components.map(([component, each]) => sample("total_requests", each.counters.requests, { component })).join("")
    + family("responses", "counter", "Answers by group of status.") + statusGroups.map((group) => sample("responses", held[`responses_${group}`], { status_group: group })).join("")
    + counter("rejected_requests", "Requests the router refused itself.", held.bad_requests)
    + counter("bad_gateways", "Requests no endpoint could serve.", held.bad_gateways)
    + counter("truncated_responses", "Answers that were cut short.", held.truncated_responses)
    + counter("backend_exhausted_conns", "Requests for which every endpoint was at its limit.", held.exhausted_connections)
    + counter("backend_invalid_id", "Attempts at which another instance answered.", failed("hostname mismatch"))
    + counter("backend_invalid_tls_cert", "Attempts at which the endpoint could not prove who it is.", failed("invalid certificate"))
    + counter("backend_tls_handshake_failed", "Attempts at which TLS was not agreed upon.", failed("tls handshake failed"))
    + family("failed_attempts", "counter", "Attempts that failed, by cause.") + Object.entries(failures).map(([cause, count]) => sample("failed_attempts", count, { cause })).join("")
    + counter("websocket_upgrades", "Connections that left HTTP.", held.websocket_upgrades)
    + counter("websocket_failures", "Requests to leave HTTP that no endpoint could serve.", held.websocket_failures)
    + counter("received_bytes", "Body bytes from clients.", held.bytes_in) + counter("sent_bytes", "Body bytes to clients.", held.bytes_out)
    + family("request_duration_seconds", "histogram", "Time of requests, to the last byte.") + histogramLines("request_duration_seconds", durations.total)
    + family("gorouter_time_seconds", "histogram", "Of it, the router's part.") + histogramLines("gorouter_time_seconds", durations.router)
    + counter("refused_retries", "Repetitions that were not made, since the budget of the route was spent.", counters.refusedRetries)
    + gauge("waiting_requests", "Requests that wait for a place at an endpoint.", levels.waiting)
    + family("refused_waiting_requests", "counter", "Requests that waited in vain, or could not even wait, by cause.")
    + sample("refused_waiting_requests", counters.refusedWaiting, { cause: "full" }) + sample("refused_waiting_requests", counters.timedOutWaiting, { cause: "timeout" })
    + gauge("active_requests", "Requests and tunnels under way.", levels.requests) + gauge("active_tunnels", "Tunnels under way.", levels.tunnels)
    + gauge("total_routes", "Routes with an endpoint.", table.routes) + gauge("total_addresses", "Distinct addresses.", table.addresses)
    + gauge("ms_since_last_registry_update", "Milliseconds since the table was last told something; -1 before the first time.", table.sinceUpdateMs)
    + family("registry_message", "counter", "Registrations taken in, by what they did.")
    + ["added", "updated", "refreshed", "ignored"].map((action) => sample("registry_message", sum(action), { action })).join("")
    + family("route_registration_latency_seconds", "summary", "Between the change of an endpoint and its first registration here, where the message says when that was.")
    + sample("route_registration_latency_seconds_sum", sum("registration_latency_ms") / 1_000) + sample("route_registration_latency_seconds_count", sum("timed_registrations"))
    + counter("invalid_registry_message", "Messages that were no registrations by their fields.", sum("invalid_messages"))
    + counter("unregistry_message", "Unregistrations taken in.", sum("unregistrations")) + counter("routes_pruned", "Endpoints that left by age.", sum("pruned"))
    + gauge("buffered_messages", "Messages of the bus that wait.", sum("pending_messages")) + counter("total_dropped_messages", "Messages of the bus that were dropped.", sum("dropped_messages"))
    + counter("access_log_dropped_lines", "Lines of the access log nobody took.", counters.droppedLogLines)
    + gauge("apps_counted", "Pairs of app and route that are counted apart.", report.appsCounted)
    + gauge("healthy", "1 while balancers may send requests here.", report.healthy ? 1 : 0)
    + gauge("uptime", "Seconds.", Math.floor((report.nowMs - report.startedAtMs) / 1_000)) + gauge("file_descriptors", "Open files and sockets.", levels.openFiles)
    + gauge("process_resident_memory_bytes", "Memory held.", levels.residentBytes)
    + (report.workers === undefined ? "" : family("worker_up", "gauge", "1 for each worker that answers.")
      + report.workers.map(({ worker, state }) => sample("worker_up", state === "silent" || state === "dead" ? 0 : 1, { worker: String(worker) })).join(""));
}
