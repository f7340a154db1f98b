// nginx with one worker, connections kept on both sides, and the headers a router adds.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { host } from "../kit/messages.mjs";
import { freePort, has } from "../kit/parts.mjs";
import { suite } from "../kit/certificate.mjs";

export const hasNginx = () => has("nginx");

/**
 * @param log `plain`: a line is written as it comes, which is what nginx does unless told otherwise. `buffered`: 64 KiB at a time, as this router does.
 * @param buffering whether it may read an answer faster than the client takes it (its default).
 */
export async function startNginx({ parts, backend, certificate, name = "nginx", log = "plain", buffering = true }) {
  const port = await freePort();
  const folder = join(parts.folder, `nginx-${port}`);
  await mkdir(folder);
  const file = join(folder, "nginx.conf");
  await writeFile(file, `daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 65536; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 30000; }
http {
  access_log ${folder}/access.log combined${log === "buffered" ? " buffer=64k flush=1s" : ""};
  client_body_temp_path ${folder}/a; proxy_temp_path ${folder}/b; fastcgi_temp_path ${folder}/c; uwsgi_temp_path ${folder}/d; scgi_temp_path ${folder}/e;
  keepalive_requests 1000000000; keepalive_timeout 900s; client_max_body_size 0;
  map $http_upgrade $connection_for_backend { default upgrade; "" ""; }
  upstream app { server 127.0.0.1:${backend}; keepalive 512; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096${certificate === undefined ? "" : " ssl"}; server_name ${host};
    ${certificate === undefined ? "" : `ssl_certificate ${certificate.cert}; ssl_certificate_key ${certificate.key}; ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites ${suite};`}
    location = /bench-numbers { stub_status; }
    location / {
      proxy_pass http://app; proxy_http_version 1.1; proxy_buffering ${buffering ? "on" : "off"}; proxy_request_buffering off; proxy_read_timeout 900s;
      proxy_set_header Connection $connection_for_backend; proxy_set_header Upgrade $http_upgrade; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Request-Id $request_id;
    }
  }
}
`);
  return { name, port, part: await parts.program("nginx", ["-p", folder, "-c", file], { port, measured: true }) };
}
