// haproxy with one thread, connections kept on both sides, a line of log for each request.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort, has } from "../kit/parts.mjs";
import { suite } from "../kit/certificate.mjs";

export const hasHaproxy = () => has("haproxy");

export async function startHaproxy({ parts, backend, certificate }) {
  const port = await freePort();
  const file = join(parts.folder, `haproxy-${port}.cfg`);
  await writeFile(file, `global
  nbthread 1
  maxconn 4096
  log stdout format raw daemon
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 900s
  timeout server 900s
  option forwardfor
  http-reuse always
frontend in
  bind 127.0.0.1:${port}${certificate === undefined ? "" : ` ssl crt ${certificate.both} ssl-min-ver TLSv1.3 ciphersuites ${suite}`}
  http-request set-header X-Forwarded-Proto http${certificate === undefined ? "" : "s"}
  unique-id-format %[uuid()]
  unique-id-header X-Request-Id
  default_backend app
backend app
  server one 127.0.0.1:${backend}
`);
  return { name: "haproxy", port, part: await parts.program("haproxy", ["-db", "-f", file], { port, measured: true, output: join(parts.folder, "haproxy.log") }) };
}
