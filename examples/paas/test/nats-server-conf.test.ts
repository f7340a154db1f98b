import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { natsAuthorization } from "@opencf/bus/permissions";

// `UPDATE_DOCS=1 npx vitest run examples/paas/test/nats-server-conf.test.ts` writes the file anew.
const file = fileURLToPath(new URL("../nats-server.conf", import.meta.url));

const head = `# A NATS server for a platform in several processes: each part has a user of its own and may say and hear only what its role
# needs. A stolen router can route, but it cannot start or stop apps. The rules are made from the catalogue of messages; a test
# keeps this file true and runs the whole platform under it. The passwords come from the server's environment:
#
#   NATS_CONTROLLER_PASSWORD=... NATS_UAA_PASSWORD=... NATS_ROUTER_PASSWORD=... NATS_EXECUTOR_PASSWORD=... \\
#   NATS_STAGER_PASSWORD=... NATS_MONITOR_PASSWORD=... NATS_TOOL_PASSWORD=... \\
#   nats-server -c nats-server.conf -sd /var/lib/nats
#
#   opencf-paas --roles router --nats nats://router:PASSWORD@10.0.0.2:4222,nats://router:PASSWORD@10.0.0.3:4222
#
# Leases and presence live in JetStream. For a cluster give every server its name and the routes to the others:
#
#   server_name: nats-1
#   cluster { name: opencf, listen: "0.0.0.0:6222", routes: ["nats://10.0.0.3:6222", "nats://10.0.0.4:6222"] }
#
# For TLS (then --nats tls://... --nats-ca FILE):
#
#   tls { cert_file: "server.crt", key_file: "server.key", ca_file: "ca.crt", verify: true }

listen: "0.0.0.0:4222"
max_payload: 1MB
jetstream: enabled

`;

const password = (user: string) => ({ env: `NATS_${user.toUpperCase()}_PASSWORD` });
const document = (): string => head + natsAuthorization([
  { role: ["controller", "health-manager"], password: password("controller") },
  { role: ["uaa", "log-store", "blobstore"], password: password("uaa") },
  { role: "router", password: password("router") },
  { role: "executor", password: password("executor") },
  { role: "stager", password: password("stager") },
  { role: "monitor", password: password("monitor") },
  { role: "tool", password: password("tool") },
]);

test("nats-server.conf says what the catalogue says", () => {
  if (process.env["UPDATE_DOCS"]) writeFileSync(file, document());
  expect(readFileSync(file, "utf8")).toBe(document());
});
