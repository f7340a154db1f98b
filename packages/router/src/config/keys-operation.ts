import { extraLogFields, type ExtraLogField } from "../proxy/access-log.ts";
import { anything, BadValue, duration, filled, flag, isMapping, listOf, oneOf, portNumber, text, wholeFrom, type Read } from "./value.ts";
import { honoured, refused, type Row } from "./row.ts";

const dead = "has no effect in a gorouter either";
const noApi = "routes come from the bus and from files";
const noEnvelopes = "numbers are at /metrics and /varz of the status port";

/** `hosts: [{hostname, port}]`, one entry per server; a plain `host:port` is taken as well. */
const natsHosts: Read<string[]> = (value) => listOf((one) => {
  if (typeof one === "string" && one !== "") return one.includes(":") ? one : `${one}:4222`;
  if (!isMapping(one)) throw new BadValue("a mapping with hostname and port");
  return `${filled(one["hostname"])}:${wholeFrom(1, 65_535)(one["port"] ?? 4_222)}`;
})(value);

const levels: Readonly<Record<string, "debug" | "info" | "warn" | "error">> = { debug: "debug", info: "info", warn: "warn", error: "error", fatal: "error" };

/** Keys about the bus, the table's age, what is told to whom, and the beginning and the end. */
export const operationRows: readonly Row[] = [
  honoured("index", wholeFrom(0), (draft, value) => { draft.router.index = value; }),
  honoured("nats.hosts", natsHosts, (draft, value) => { draft.nats.servers = value; }),
  honoured("nats.user", text, (draft, value) => { if (value !== "") draft.nats.user = value; }),
  honoured("nats.pass", text, (draft, value) => { if (value !== "") draft.nats.password = value; }),
  honoured("nats.tls_enabled", flag, (draft, value) => { draft.nats.tls = value; }),
  honoured("nats.ca_certs", text, (draft, value) => { if (value !== "") draft.nats.ca = value; }),
  honoured("nats.cert_chain", text, (draft, value) => { if (value !== "") draft.nats.cert = value; }),
  honoured("nats.private_key", text, (draft, value) => { if (value !== "") draft.nats.key = value; }),
  honoured("nats_client_ping_interval", duration, (draft, value) => { if (value > 0) draft.nats.staleAfterMs = value; }, "a server silent for so long is taken for gone"),
  honoured("prune_stale_droplets_interval", duration, (draft, value) => { if (value > 0) draft.bus.sweepIntervalMs = value; }),
  honoured("droplet_stale_threshold", duration, (draft, value) => { if (value > 0) draft.bus.staleAfterMs = value; }),
  honoured("start_response_delay_interval", duration, (draft, value) => {
    draft.router.startDelayMs = value;
    if (value > 0) draft.bus.registerIntervalMs = value;
  }),
  honoured("suspend_pruning_if_nats_unavailable", flag, (draft, value) => { draft.bus.keepWhileDisconnected = value; }, "absent: true"),
  honoured("isolation_segments", listOf(filled), (draft, value) => { draft.bus.isolationSegments = value; }),
  honoured("routing_table_sharding_mode", oneOf("all", "shared-and-segments", "segments"), (draft, value) => { draft.bus.sharding = value; }),
  honoured("empty_pool_response_code_503", flag, (draft, value) => { draft.emptyPool.answers503 = value; }),
  honoured("empty_pool_timeout", duration, (draft, value) => { draft.emptyPool.timeoutMs = value; }),
  honoured("publish_active_apps_interval", duration, (draft, value) => { draft.activeAppsMs = value; }, "0: never"),
  refused("routing_api.*", anything, noApi),
  refused("oauth.*", anything, noApi),
  refused("token_fetcher_max_retries", anything, noApi),
  refused("token_fetcher_retry_interval", anything, noApi),
  refused("token_fetcher_expiration_buffer_time", anything, noApi),

  honoured("status.host", text, (draft, value) => { draft.status.host = value; }),
  honoured("status.port", portNumber, (draft, value) => { draft.status.port = value; }),
  honoured("status.user", text, (draft, value) => { if (value !== "") draft.status.user = value; }, "asked for everywhere but on the health pages"),
  honoured("status.pass", text, (draft, value) => { if (value !== "") draft.status.password = value; }),
  honoured("status.tls.port", portNumber, (draft, value) => { draft.statusTls.port = value; }),
  honoured("status.tls.certificate", text, (draft, value) => { if (value !== "") draft.statusTls.cert = value; }),
  honoured("status.tls.key", text, (draft, value) => { if (value !== "") draft.statusTls.key = value; }),
  honoured("status.routes.port", portNumber, (draft, value) => { draft.status.insidePort = value; }, "the page, /varz and /metrics are here too, for this machine only"),
  honoured("status.enable_nontls_health_checks", flag, (draft, value) => { draft.status.plain = value; }),
  honoured("status.enable_deprecated_varz_healthz_endpoints", flag, (draft, value) => { draft.status.everywhere = value; }),
  honoured("healthcheck_user_agent", text, (draft, value) => { draft.router.healthCheckAgent = value; }, "absent: none, where a gorouter takes HTTP-Monitor/1.1"),
  honoured("trace_key", text, (draft, value) => { draft.router.traceKey = value; }),
  honoured("tracing.enable_zipkin", flag, (draft, value) => { draft.tracing.b3 = value; }),
  honoured("tracing.enable_w3c", flag, (draft, value) => { draft.tracing.w3c = value; }),
  honoured("tracing.w3c_tenant_id", text, (draft, value) => { draft.tracing.tenantId = value; }),

  honoured("logging.level", oneOf(...Object.keys(levels)), (draft, value) => { draft.logLevel = levels[value]; }, "what goes to standard error"),
  refused("logging.format.*", anything, "lines begin with the time in UTC, as RFC 3339 has it"),
  honoured("logging.syslog", text, (draft, value) => { if (value !== "") draft.syslog.program = value; }, "access log only, with access_log.enable_streaming"),
  honoured("logging.syslog_addr", text, (draft, value) => { if (value !== "") draft.syslog.address = value; }, "access log only, with access_log.enable_streaming"),
  honoured("logging.syslog_network", oneOf("", "udp", "tcp"), (draft, value) => { if (value !== "") draft.syslog.kind = value; }, "access log only, with access_log.enable_streaming"),
  refused("logging.syslog_truncate", wholeFrom(0), "messages go to standard error", 0),
  honoured("logging.loggregator_enabled", flag, (draft, value) => { draft.appLogs = value; }, {
    why: "each app's lines go to the bus", but: (value) => (value ? "the access lines of each app go to opencf.log on the bus; no envelopes are sent" : undefined),
  }),
  refused("logging.metron_address", text, noEnvelopes, ""),
  honoured("logging.redact_query_params", oneOf("none", "all", "hash"), (draft, value) => { draft.accessLog.redactQuery = value; }),
  honoured("logging.disable_log_forwarded_for", flag, (draft, value) => { draft.accessLog.hideForwardedFor = value; }),
  honoured("logging.disable_log_source_ip", flag, (draft, value) => { draft.accessLog.hidePeer = value; }),
  refused("logging.enable_attempts_details", flag, "write extra_access_log_fields", false),
  honoured("logging.extra_access_log_fields", listOf(text), (draft, list) => {
    draft.accessLog.extraFields = list.filter((one): one is ExtraLogField => (extraLogFields as readonly string[]).includes(one));
  }, {
    why: `known are ${extraLogFields.join(", ")}`,
    but: (list) => {
      const strange = list.filter((one) => !(extraLogFields as readonly string[]).includes(one));
      return strange.length === 0 ? undefined : `not known and left out: ${strange.join(", ")}`;
    },
  }),
  honoured("access_log.file", text, (draft, value) => { if (value !== "") draft.accessLogFile = value; }),
  honoured("access_log.enable_streaming", flag, (draft, value) => { draft.syslog.enabled = value; }, "to logging.syslog_addr"),
  honoured("access_log.extra_headers_to_log", listOf(filled), (draft, value) => { draft.accessLog.extraHeaders = value; }),
  honoured("extra_headers_to_log", listOf(filled), (draft, value) => { draft.accessLog.extraHeaders = value; }),
  honoured("prometheus.port", portNumber, (draft, value) => { draft.prometheus.port = value; }, "0: none"),
  honoured("prometheus.cert_path", text, (draft, value) => { if (value !== "") draft.prometheus.cert = value; }),
  honoured("prometheus.key_path", text, (draft, value) => { if (value !== "") draft.prometheus.key = value; }),
  honoured("prometheus.ca_path", text, (draft, value) => { if (value !== "") draft.prometheus.ca = value; }),
  refused("prometheus.meters.*", anything, "the buckets are fixed"),
  refused("per_request_metrics_reporting", flag, noEnvelopes, true),
  refused("per_app_prometheus_http_metrics_reporting", flag, "numbers per app are always there", true),
  refused("enable_envelope_v1_metrics", flag, noEnvelopes, false),
  refused("send_http_start_stop_server_event", flag, noEnvelopes, false),
  refused("send_http_start_stop_client_event", flag, noEnvelopes, false),
  honoured("route_latency_metric_muzzle_duration", duration, (draft, value) => { draft.bus.muteLatencyMs = value; }, "absent: 30s"),

  honoured("drain_wait", duration, (draft, value) => { draft.drainWaitMs = value; }, "SIGTERM and SIGINT drain as well"),
  honoured("drain_timeout", duration, (draft, value) => { if (value > 0) draft.router.drainTimeoutMs = value; }),
  refused("debug_addr", anything, "there is no debug port", ""),
  refused("go_max_procs", anything, "one process per core: --workers N"),
  refused("websocket_dial_timeout", anything, dead),
  refused("load_balancer_healthy_threshold", anything, dead),
  refused("publish_start_message_interval", anything, dead),
  refused("pid_file", anything, dead),
  refused("healthcheck_poll_interval", anything, dead),
  refused("healthcheck_timeout", anything, dead),
];
