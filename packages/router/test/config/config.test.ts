import { describe, expect, test } from "vitest";
import { createRouter, type RouterError } from "../../src/index.ts";
import { parseConfig } from "../../src/config/config.ts";
import { knownKeys } from "../../src/config/read.ts";

/** What a release of routing renders, with every key that it has. */
const rendered = `
status:
  host: 0.0.0.0
  port: 8080
  user: router-status
  pass: "s3cret"
  routes: { port: 8082 }
  enable_nontls_health_checks: true
nats:
  hosts: [{ hostname: nats-1.internal, port: 4224 }, { hostname: nats-2.internal, port: 4224 }]
  user: nats
  pass: hush
  tls_enabled: false
  cert_chain:
logging:
  syslog: vcap.gorouter
  level: info
  loggregator_enabled: true
  metron_address: localhost:3457
  disable_log_forwarded_for: true
  redact_query_params: hash
  format: { timestamp: rfc3339 }
  extra_access_log_fields: [failed_attempts, made_up]
port: 80
index: 3
zone: z1
go_max_procs: -1
trace_key: "22"
access_log: { file: /var/vcap/sys/log/gorouter/access.log, enable_streaming: false }
enable_ssl: false
balancing_algorithm: least-connection
balancing_algorithm_az_preference: locally-optimistic
backends: { max_conns: 500, max_attempts: 3 }
route_services: { max_attempts: 2, strict_signature_validation: true }
route_services_secret: tWPE+sWJq+ZnGJpyKkIPYg==
route_services_secret_decrypt_only: ""
route_services_timeout: 60s
route_services_recommend_https: true
route_services_hairpinning: true
route_services_hairpinning_allowlist: ["*.services.example.com"]
prune_stale_droplets_interval: 30s
droplet_stale_threshold: 120s
start_response_delay_interval: 20s
suspend_pruning_if_nats_unavailable: true
empty_pool_response_code_503: true
empty_pool_timeout: 10s
endpoint_timeout: 900s
endpoint_dial_timeout: 5s
tls_handshake_timeout: 10s
frontend_idle_timeout: 900s
drain_wait: 20s
drain_timeout: 900s
disable_keep_alives: false
max_idle_conns: 100
enable_proxy: true
max_request_header_bytes: 1048576
secure_cookies: true
sticky_session_cookie_names: [JSESSIONID, "__Host-session"]
forwarded_client_cert: sanitize_set
sanitize_forwarded_proto: true
isolation_segments: [red]
routing_table_sharding_mode: shared-and-segments
http_rewrite:
  responses:
    add_headers_if_not_present: [{ name: X-Frame-Options, value: DENY }, { name: X-Two, value: a }, { name: X-Two, value: b }]
    remove_headers: [{ name: Server }]
tracing: { enable_zipkin: true, enable_w3c: true, w3c_tenant_id: t }
something_new: true
nested: { thing: 1 }
status_typo: { port: 1 }
pid_file: /run/x.pid
`;

describe("a gorouter's file", () => {
  test("says to the library what its keys mean", async () => {
    const { router, nats, bus, accessLogFile, logLevel, drainWaitMs, hasRoutes } = await parseConfig(rendered, "gorouter.yml");
    expect(router).toMatchObject({
      port: 80, host: "0.0.0.0", pathCase: "insensitive", index: 3, zone: "z1", preferZone: true, traceKey: "22", loadBalancing: "least-connections", maxConnectionsPerEndpoint: 500, maxAttempts: 3,
      startDelayMs: 20_000, emptyPoolTimeoutMs: 10_000, endpointTimeoutMs: 900_000, dialTimeoutMs: 5_000, clientIdleMs: 900_000, drainTimeoutMs: 900_000, proxyProtocol: "optional", maxRequestHeaderBytes: 1_048_576,
      secureCookies: true, stickyCookieNames: ["JSESSIONID", "__Host-session"], forwardedClientCert: "sanitize-set", forwardedProto: "overwrite",
      status: { host: "0.0.0.0", port: 8_080, user: "router-status", password: "s3cret", insidePort: 8_082 },
      routeServices: { secret: "tWPE+sWJq+ZnGJpyKkIPYg==", timeoutMs: 60_000, forwardedScheme: "https", maxAttempts: 2, strict: true, hairpinning: ["*.services.example.com"] },
      accessLogFormat: { hideForwardedFor: true, redactQuery: "hash", extraFields: ["failed_attempts"], extraHeaders: ["X-B3-TraceId", "X-B3-SpanId", "X-B3-ParentSpanId", "b3", "traceparent", "tracestate"] },
    });
    expect(router.steps).toHaveLength((await import("../../src/index.ts")).defaultSteps.length + 2);
    expect(router.routeServices).not.toHaveProperty("previousSecret");
    expect(nats).toEqual({ servers: ["nats://nats-1.internal:4224", "nats://nats-2.internal:4224"], user: "nats", password: "hush" });
    expect(bus).toEqual({ sweepIntervalMs: 30_000, staleAfterMs: 120_000, registerIntervalMs: 20_000, keepWhileDisconnected: true, isolationSegments: ["red"], sharding: "shared-and-segments" });
    expect([accessLogFile, logLevel, drainWaitMs, hasRoutes]).toEqual(["/var/vcap/sys/log/gorouter/access.log", "info", 20_000, false]);
    createRouter(router);
  });

  test("every key that is not honoured is named, and so is every one that is unknown; nothing else is", async () => {
    const { report } = await parseConfig(rendered, "gorouter.yml");
    const said = Object.fromEntries(report.filter(({ state }) => state !== "honoured").map(({ key, state }) => [key, state]));
    expect(said).toEqual({
      "logging.loggregator_enabled": "partly honoured", "logging.metron_address": "not honoured", "logging.format": "not honoured", "logging.extra_access_log_fields": "partly honoured",
      go_max_procs: "not honoured", tls_handshake_timeout: "not honoured", max_idle_conns: "not honoured", pid_file: "not honoured",
      something_new: "unknown", nested: "unknown", status_typo: "unknown",
    });
    for (const { state, why } of report) if (state !== "honoured") expect(why).not.toBe("");
    // Every key of the file is in the report, once; empty ones have said nothing.
    expect(new Set(report.map(({ key }) => key)).size).toBe(report.length);
    for (const key of ["port", "nats.hosts", "http_rewrite.responses.remove_headers", "status.routes.port"]) expect(report.find((one) => one.key === key)?.state).toBe("honoured");
  });

  test("what it does not say is as in a gorouter; the table is not shown to the network without a password", async () => {
    const { router, nats, drainWaitMs } = await parseConfig("zone: z1", "g.yml");
    expect(router).toMatchObject({ port: 8_081, host: "0.0.0.0", pathCase: "insensitive", startDelayMs: 5_000, drainTimeoutMs: 60_000, status: { host: "0.0.0.0", port: 8_080, insidePort: 8_082 } });
    expect([nats, drainWaitMs]).toEqual([{ servers: ["nats://localhost:4222"] }, 0]);
    const open = await parseConfig("status: { enable_deprecated_varz_healthz_endpoints: true }", "g.yml");
    expect(open.router.status).toMatchObject({ everywhere: true, user: "nobody", password: expect.stringMatching(/^[0-9a-f]{48}$/) as string });
    expect((await parseConfig("status: { enable_deprecated_varz_healthz_endpoints: true, host: 127.0.0.1 }", "g.yml")).router.status).not.toHaveProperty("user");
  });

  test("TLS and what belongs to it", async () => {
    const { router } = await parseConfig(`
enable_ssl: true
ssl_port: 8443
disable_http: true
tls_pem: [{ cert_chain: CERT, private_key: KEY }, { cert_chain: C2, private_key: K2 }]
min_tls_version: TLSv1.0
max_tls_version: TLSv1.3
cipher_suites: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:ECDHE-RSA-AES256-GCM-SHA384"
client_ca_certs: CA
only_trust_client_ca_certs: true
client_cert_validation: request
enable_verify_client_certificate_metadata: true
verify_client_certificate_metadata: [{ issuer_in_chain: { common_name: ca }, valid_cert_subjects: [{ common_name: client, organization: [acme] }] }]
ca_certs: [BACKENDS]
backends: { cert_chain: BC, private_key: BK }
enable_http2: false
status: { tls: { port: 8444, certificate: SC, key: SK }, enable_nontls_health_checks: false }
nats: { hosts: [nats.internal], tls_enabled: true, ca_certs: NCA, cert_chain: NC, private_key: NK }
`, "g.yml");
    expect(router).toMatchObject({
      port: false, http2: false, backendCert: "BC", backendKey: "BK",
      tls: {
        port: 8_443, certificates: [{ cert: "CERT", key: "KEY" }, { cert: "C2", key: "K2" }], minVersion: "TLSv1.2", maxVersion: "TLSv1.3", ciphers: "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384",
        clientCa: "CA", publicClientCa: false, clientCertificates: "request", clientSubjects: [{ issuer: { CN: "ca" }, subjects: [{ CN: "client", O: "acme" }] }],
      },
      status: { tls: { port: 8_444, cert: "SC", key: "SK" } },
    });
    expect(router.status).not.toHaveProperty("port");
    expect(router.backendCa?.at(-1)).toBe("BACKENDS");
    expect(router.backendCa?.length).toBeGreaterThan(50);
    const { nats, report } = await parseConfig("min_tls_version: TLSv1.1\nnats: { hosts: [{hostname: n}], tls_enabled: true, ca_certs: NCA }", "g.yml");
    expect(nats).toEqual({ servers: ["tls://n:4222"], tls: { ca: "NCA" } });
    expect(report).toContainEqual({ key: "min_tls_version", state: "partly honoured", why: expect.stringContaining("RFC 8996") as string });
  });

  test("the access log to syslog, and numbers for Prometheus", async () => {
    const { syslog, router } = await parseConfig("access_log: { enable_streaming: true }\nlogging: { syslog: gorouter, syslog_addr: '[::1]:1514', syslog_network: tcp }\nprometheus: { port: 9090 }", "g.yml");
    expect(syslog).toEqual({ kind: "tcp", host: "::1", port: 1_514, program: "gorouter" });
    expect(router.status).toMatchObject({ metrics: { port: 9_090 } });
    await expect(parseConfig("prometheus: { port: 1, cert_path: /nowhere, key_path: /k, ca_path: /c }", "g.yml")).rejects.toThrow(/prometheus\.cert_path: .*ENOENT/);
  });

  test("13.110: bad values are told all at once, each with the path of its key and never with the value", async () => {
    const text = `
port: 70000
endpoint_timeout: 20
enable_ssl: "yes"
balancing_algorithm: magic-hush
nats: { hosts: [{ hostname: "" }], pass: [hush] }
route_services_hairpinning_allowlist: [{}]
tls_pem: [{ cert_chain: hush }]
http_rewrite: { responses: { remove_headers: [{ nom: x }] } }
status: { port: -1 }
`;
    const error = await parseConfig(text, "g.yml").then(() => undefined, (cause: unknown) => cause as RouterError);
    expect(error?.code).toBe("ROUTER_BAD_CONFIG");
    const lines = (error?.message ?? "").split("\n").map((line) => line.trim().split(":")[0]);
    expect(lines).toEqual(["g.yml", "port", "endpoint_timeout", "enable_ssl", "balancing_algorithm", "nats.hosts[0]", "nats.pass", "route_services_hairpinning_allowlist[0]", "tls_pem[0].private_key", "http_rewrite.responses.remove_headers[0].nom", "status.port"]);
    expect(error?.message).not.toContain("hush");
  });

  for (const [text, said] of [
    ["enable_ssl: true", /tls_pem: enable_ssl needs/], ["disable_http: true", /disable_http: .*no port at all/], ["routing_table_sharding_mode: segments", /isolation_segments: /],
    ["min_tls_version: TLSv1.3\nmax_tls_version: TLSv1.2", /max_tls_version: lower/], ["route_services_secret_decrypt_only: x", /route_services_secret_decrypt_only: needs/],
    ["status: { enable_nontls_health_checks: false }", /status.enable_nontls_health_checks: /], ["status: { tls: { key: k } }", /status.tls.certificate and status.tls.key/],
    ["route_services: { cert_chain: c }", /one needs the other/], ["prometheus: { cert_path: c }", /they belong together/],
    ["port: [", /no YAML/], ["- a", /expected a mapping/], ["", /expected a mapping/], ["a: &a [*a]", /no YAML|unknown|mapping/], ["port: 1\nport: 2", /no YAML/],
  ] as const) {
    test(`${JSON.stringify(text)} is refused`, async () => {
      if (text.startsWith("a: &a")) return expect(parseConfig(text, "g.yml").then(({ report }) => report[0]?.state, (error: Error) => error.message)).resolves.toMatch(said);
      await expect(parseConfig(text, "g.yml")).rejects.toThrow(said);
    });
  }
});

describe("a file with routes", () => {
  test("stays on this machine and asks no bus, unless it says so", async () => {
    const plain = await parseConfig("routes: { a.example.com: 127.0.0.1:3001 }", "r.yml");
    expect([plain.hasRoutes, plain.nats, plain.router]).toEqual([true, undefined, {}]);
    const ended = await parseConfig("routes: {}\ntcp_ports: 1-9\ntcp_tls: [{ ports: 1, cert_file: a.pem, key_file: a.key, client_certificates: require, client_ca_file: c.pem }, { ports: 2-3 }]", "r.yml");
    expect(ended.router.tcp).toEqual({ ports: "1-9", tls: [{ ports: "1", certificates: [{ certFile: "a.pem", keyFile: "a.key" }], clientCertificates: "require", clientCaFile: "c.pem" }, { ports: "2-3" }] });
    expect(ended.report).toEqual([]);
    const more = await parseConfig("routes: {}\ntcp_ports: 2000-2100\ntcp_routes: { 2022: '127.0.0.1:22' }\nport: 9000\nstatus: { port: 9001 }\nnats: { hosts: ['n:1'] }", "r.yml");
    expect(more.router).toEqual({ port: 9_000, tcp: { ports: "2000-2100" }, status: { host: "127.0.0.1", port: 9_001 } });
    expect(more.nats).toEqual({ servers: ["nats://n:1"] });
    expect(more.report.map(({ key }) => key)).toEqual(["port", "status.port", "nats.hosts"]);
  });

  for (const [text, said] of [
    ["routes: { a.b: nonsense }", /routes: a\.b: "nonsense" is no address/], ["tcp_routes: { 22: '127.0.0.1:22' }", /tcp_routes: say in tcp_ports/], ["routes: {}\ntcp_ports: 5-1", /tcp_ports: "5-1" is neither/],
    ["tcp_tls: { ports: 1 }", /tcp_tls: say in tcp_ports/], ["tcp_ports: 1-2\ntcp_tls: { ports: 1, cert_file: a }", /tcp_tls\[0\]: expected cert_file and key_file/], ["tcp_ports: 1-2\ntcp_tls: [{ port: 1 }]", /tcp_tls.*no key but ports/],
    ["tcp_ports: 1-2\ntcp_routes: { x: 'a:1' }", /tcp:x.* is no TCP route/],
  ] as const) test(`${JSON.stringify(text)} is refused`, async () => { await expect(parseConfig(text, "r.yml")).rejects.toThrow(said); });
});

test("each key is known once, and says why where it is not honoured", () => {
  expect(new Set(knownKeys.map(({ key }) => key)).size).toBe(knownKeys.length);
  for (const { key, honoured, why } of knownKeys) if (!honoured) expect(why, key).not.toBe("");
  expect(knownKeys.length).toBeGreaterThan(100);
});

test("13.104 who traces logs the headers of the trace, behind those that are listed, each once", async () => {
  const headers = async (more: string): Promise<readonly string[] | undefined> => (await parseConfig(`nats: {hosts: []}\n${more}`, "gorouter.yml")).router.accessLogFormat?.extraHeaders;
  expect(await headers("tracing: {enable_zipkin: true}\nextra_headers_to_log: [X-Own, b3]")).toEqual(["X-Own", "b3", "X-B3-TraceId", "X-B3-SpanId", "X-B3-ParentSpanId"]);
  expect(await headers("tracing: {enable_w3c: true}")).toEqual(["traceparent", "tracestate"]);
  expect(await headers("tracing: {enable_zipkin: false}")).toBeUndefined();
});
