import { loadBalancings } from "../pool.ts";
import { filled, flag, duration, listOf, oneOf, oneOrMore, portNumber, shape, text, wholeFrom } from "./value.ts";
import { honoured, refused, type Row } from "./row.ts";
import { openSslCiphers } from "./ciphers.ts";
import { distinguishedName } from "./subjects.ts";

const mebibyte = 1_048_576;
const tlsVersion = oneOf("", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3");
const old = (value: string): string | undefined => (value === "TLSv1.0" || value === "TLSv1.1" ? "taken for TLSv1.2: the older ones are refused (RFC 8996)" : undefined);
const balancing = oneOf("round-robin", "least-connection", ...loadBalancings.filter((one) => one !== "round-robin" && one !== "hash"));

/** Keys about who comes in, where a request goes, and what it looks like then. */
export const trafficRows: readonly Row[] = [
  honoured("port", portNumber, (draft, value) => { draft.router.port = value; }),
  honoured("disable_http", flag, (draft, value) => { draft.disableHttp = value; }),
  honoured("enable_ssl", flag, (draft, value) => { draft.tls.enabled = value; }),
  honoured("ssl_port", portNumber, (draft, value) => { draft.tls.port = value; }),
  honoured("tls_pem", listOf(shape<{ cert_chain: string; private_key: string }>({ cert_chain: filled, private_key: filled })), (draft, list) => {
    draft.tls.certificates = list.map(({ cert_chain: cert, private_key: key }) => ({ cert, key }));
  }),
  honoured("min_tls_version", tlsVersion, (draft, value) => { draft.tls.minVersion = value === "TLSv1.3" ? value : "TLSv1.2"; }, { why: "", but: old }),
  honoured("max_tls_version", tlsVersion, (draft, value) => { draft.tls.maxVersion = value === "TLSv1.3" ? value : "TLSv1.2"; }, { why: "absent: TLSv1.3", but: old }),
  honoured("cipher_suites", text, (draft, value) => { if (value !== "") draft.tls.ciphers = openSslCiphers(value); }),
  honoured("ca_certs", oneOrMore(text), (draft, list) => { draft.authorities = list.filter((pem) => pem.trim() !== ""); }, "beside the authorities that come with Node"),
  honoured("client_ca_certs", text, (draft, value) => { if (value.trim() !== "") draft.tls.clientCa = value; }),
  honoured("only_trust_client_ca_certs", flag, (draft, value) => { draft.tls.publicClientAuthorities = !value; }),
  honoured("client_cert_validation", oneOf("none", "request", "require"), (draft, value) => { draft.tls.clientCertificates = value; }),
  honoured("enable_verify_client_certificate_metadata", flag, (draft, value) => { draft.tls.checkSubjects = value; }),
  honoured("verify_client_certificate_metadata", listOf(shape<{ issuer_in_chain: Record<string, string | string[]>; valid_cert_subjects: Record<string, string | string[]>[] }>({
    issuer_in_chain: distinguishedName, valid_cert_subjects: listOf(distinguishedName),
  })), (draft, rules) => {
    draft.tls.clientSubjects = rules.map(({ issuer_in_chain: issuer, valid_cert_subjects: subjects }) => ({ issuer, subjects }));
  }),
  honoured("enable_proxy", flag, (draft, value) => { draft.router.proxyProtocol = value ? "optional" : "off"; }, "versions 1 and 2"),
  honoured("skip_ssl_validation", flag, (draft, value) => { draft.services.insecure = value; }, "route services only"),
  honoured("enable_http2", flag, (draft, value) => { draft.router.http2 = value; }, "by prior knowledge too"),
  honoured("enable_http1_concurrent_read_write", flag, (draft, value) => { draft.router.concurrentReadWrite = value; }, "absent: true"),

  honoured("zone", text, (draft, value) => { draft.router.zone = value; }),
  honoured("balancing_algorithm", balancing, (draft, value) => { draft.router.loadBalancing = value === "least-connection" ? "least-connections" : value; }),
  honoured("balancing_algorithm_az_preference", oneOf("none", "locally-optimistic"), (draft, value) => { draft.router.preferZone = value === "locally-optimistic"; }),
  honoured("backends.max_conns", wholeFrom(0), (draft, value) => { draft.router.maxConnectionsPerEndpoint = value; }, "tunnels and bodies under way count"),
  honoured("backends.max_attempts", wholeFrom(0), (draft, value) => { draft.router.maxAttempts = Math.max(1, value); }),
  honoured("backends.cert_chain", text, (draft, value) => { if (value !== "") draft.router.backendCert = value; }),
  honoured("backends.private_key", text, (draft, value) => { if (value !== "") draft.router.backendKey = value; }),
  honoured("endpoint_timeout", duration, (draft, value) => { if (value > 0) draft.router.endpointTimeoutMs = value; }),
  honoured("endpoint_dial_timeout", duration, (draft, value) => { if (value > 0) draft.router.dialTimeoutMs = value; }, "the TLS handshake included"),
  refused("tls_handshake_timeout", duration, "endpoint_dial_timeout covers the handshake"),
  honoured("frontend_idle_timeout", duration, (draft, value) => { if (value > 0) draft.router.clientIdleMs = value; }),
  honoured("read_header_timeout", duration, (draft, value) => { if (value > 0) draft.router.headersTimeoutMs = value; }, {
    why: "0: the 60 s stay", but: (value) => (value === 0 ? "there is always a limit: 60 s" : undefined),
  }),
  honoured("disable_keep_alives", flag, (draft, value) => { if (value) draft.router.backendIdleMs = 0; }),
  refused("max_idle_conns", wholeFrom(0), "idle connections to apps are closed after 4 s, whatever their number"),
  refused("max_idle_conns_per_host", wholeFrom(0), "idle connections to apps are closed after 4 s, whatever their number"),
  refused("endpoint_keep_alive_probe_interval", duration, "connections to apps are not probed; timeouts end them"),
  honoured("keep_alive_100_continue_requests", flag, (draft, value) => { draft.router.reuseExpectConnections = value; }),
  honoured("max_request_header_bytes", wholeFrom(0), (draft, value) => { draft.router.maxRequestHeaderBytes = value || mebibyte; }),
  refused("max_header_bytes", wholeFrom(0), "older name; write max_request_header_bytes", 0),
  honoured("max_request_headers", wholeFrom(0), (draft, value) => { draft.router.maxRequestHeaders = value; }),
  honoured("max_response_header_bytes", wholeFrom(0), (draft, value) => { draft.router.maxResponseHeaderBytes = value || 10 * mebibyte; }),
  honoured("max_response_headers", wholeFrom(0), (draft, value) => { draft.router.maxResponseHeaders = value; }),

  honoured("secure_cookies", flag, (draft, value) => { draft.router.secureCookies = value; }),
  honoured("sticky_session_cookie_names", listOf(filled), (draft, value) => { draft.router.stickyCookieNames = value; }),
  honoured("sticky_sessions_for_auth_negotiate", flag, (draft, value) => { draft.router.stickyForNegotiate = value; }),
  honoured("forwarded_client_cert", oneOf("always_forward", "forward", "sanitize_set"), (draft, value) => {
    draft.router.forwardedClientCert = value === "always_forward" ? "always-forward" : value === "sanitize_set" ? "sanitize-set" : "forward";
  }),
  honoured("force_forwarded_proto_https", flag, (draft, value) => { draft.forceHttps = value; }),
  honoured("sanitize_forwarded_proto", flag, (draft, value) => { draft.sanitizeProto = value; }),
  refused("hop_by_hop_headers_to_filter", listOf(text), "a fixed list is protected: X-Forwarded-*, X-CF-*, X-Vcap-*, X-B3-*, X-Request-Start, trace headers, Host, Content-Length, Cookie, Authorization"),
  honoured("http_rewrite.responses.remove_headers", listOf(shape<{ name: string; value?: string }>({ name: filled, value: text }, ["value"])), (draft, list) => { draft.rewrite.remove = list.map(({ name }) => name); }),
  honoured("http_rewrite.responses.add_headers_if_not_present", listOf(shape<{ name: string; value: string }>({ name: filled, value: text })), (draft, list) => {
    const all: Record<string, string[]> = {};
    for (const { name, value } of list) (all[name] ??= []).push(value);
    draft.rewrite.addIfMissing = all;
  }),
  honoured("html_error_template_file", text, (draft, value) => { if (value !== "") draft.errorTemplate = value; }, "of a template .Status, .StatusText, .Message and .Header.Get are understood"),

  honoured("route_services_secret", text, (draft, value) => { if (value !== "") draft.services.secret = value; }),
  honoured("route_services_secret_decrypt_only", text, (draft, value) => { if (value !== "") draft.services.previousSecret = value; }),
  honoured("route_services_timeout", duration, (draft, value) => { if (value > 0) draft.services.timeoutMs = value; }),
  honoured("route_services_recommend_https", flag, (draft, value) => { draft.services.forwardedScheme = value ? "https" : "http"; }),
  honoured("route_services_hairpinning", flag, (draft, value) => { draft.services.hairpin = value; }),
  honoured("route_services_hairpinning_allowlist", listOf(filled), (draft, value) => { draft.services.allowed = value; }),
  refused("route_services_internal_server_port", portNumber, "services in the table are called directly, without a port in between"),
  honoured("route_services.max_attempts", wholeFrom(0), (draft, value) => { draft.services.maxAttempts = Math.max(1, value); }),
  honoured("route_services.strict_signature_validation", flag, (draft, value) => { draft.services.strict = value; }),
  honoured("route_services.enable_websockets", flag, (draft, value) => { draft.services.webSockets = value; }),
  honoured("route_services.cert_chain", text, (draft, value) => { if (value !== "") draft.services.cert = value; }),
  honoured("route_services.private_key", text, (draft, value) => { if (value !== "") draft.services.key = value; }),
];
