// A gorouter, where GOROUTER names its program: one thread, its access log on, fed by a router.register message. It needs nats-server.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { request } from "node:http";
import { makeCertificate } from "../kit/certificate.mjs";
import { host } from "../kit/messages.mjs";
import { hasNats, message, publisher, startNats } from "../kit/nats.mjs";
import { freePort } from "../kit/parts.mjs";

export const program = process.env.GOROUTER;
export const hasGorouter = () => program !== undefined && hasNats();

/** @param keepAlive whether it keeps connections to backends, as a release sets it; the program alone does not. */
export async function startGorouter({ parts, backend, certificate, keepAlive }) {
  const [nats, port, tlsPort, status, routes, statusTls, inside, drain] = await Promise.all([startNats(parts), ...Array.from({ length: 7 }, freePort)]);
  const { cert, key } = certificate ?? await makeCertificate(parts.folder, host);
  const [chain, secret] = (await Promise.all([cert, key].map((path) => readFile(path, "utf8")))).map((text) => JSON.stringify(text));
  const file = join(parts.folder, `gorouter-${port}.yml`);
  await writeFile(file, `status: { host: 127.0.0.1, port: ${status}, user: bench, pass: bench, enable_nontls_health_checks: true, routes: { port: ${routes} }, tls: { port: ${statusTls}, certificate: ${chain}, key: ${secret} } }
nats: { hosts: [ { hostname: 127.0.0.1, port: ${nats} } ] }
logging: { level: info, metron_address: "127.0.0.1:${drain}", format: { timestamp: rfc3339 } }
access_log: { file: ${join(parts.folder, `gorouter-${port}-access.log`)}, enable_streaming: false }
port: ${port}
index: 0
go_max_procs: 1
droplet_stale_threshold: 86400s
start_response_delay_interval: 1s
endpoint_timeout: 60s
frontend_idle_timeout: 900s
route_services_internal_server_port: ${inside}
disable_keep_alives: ${!keepAlive}
max_idle_conns: 512
max_idle_conns_per_host: 512
min_tls_version: TLSv1.2
max_tls_version: TLSv1.3
cipher_suites: TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
${certificate === undefined ? "" : `enable_ssl: true\nclient_cert_validation: none\nssl_port: ${tlsPort}\ntls_pem: [ { cert_chain: ${chain}, private_key: ${secret} } ]\n`}`);
  const part = await parts.program(program, ["-c", file], { port, measured: true });
  const bus = await publisher(nats);
  bus.write(message("router.register", { host: "127.0.0.1", port: backend, uris: [host], app: "bench", private_instance_id: "i-0", private_instance_index: "0" }));
  for (let tries = 0; (await statusOf(port)) !== 200; tries += 1) {
    if (tries > 200) throw new Error("gorouter does not know the route");
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  bus.destroy();
  return { name: `gorouter (${keepAlive ? "backend keep-alive" : "its defaults"})`, port: certificate === undefined ? port : tlsPort, part };
}

const statusOf = (port) => new Promise((resolve, reject) => {
  request({ host: "127.0.0.1", port, agent: false, path: "/same/path", headers: { host } }, (answer) => { answer.resume(); resolve(answer.statusCode); }).on("error", reject).end();
});
