import { deaStartInstance } from "@opencf/bus/messages";
import { describe, expect, test } from "vitest";
import { specOfMessage, type StartMessage } from "../../src/bus/start-message.ts";
import { MiB } from "../../src/index.ts";
import { type InstanceSpec, instanceSpec } from "../../src/instance/spec.ts";

const base: StartMessage = {
  droplet: "app-guid", version: "v1", index: 2, name: "shop", limits: { mem: 256, disk: 512, fds: 100 },
  sha1: "a".repeat(40), executableUri: "http://user:secret@blobs/droplet",
};
/** As it comes over the wire, and what the executor makes of it. */
const read = (change: Record<string, unknown>): InstanceSpec => {
  const parsed = deaStartInstance.body.parse(Buffer.from(JSON.stringify({ ...base, ...change })));
  if (!parsed.ok) throw new Error(JSON.stringify(parsed));
  return instanceSpec(specOfMessage(parsed.body, ["cflinuxfs4"], [{ name: "node", version: "20" }]));
};

describe("dea §2 the start message, field by field", () => {
  test.each([
    ["droplet: text", {}, { processGuid: "app-guid", appId: "app-guid" }],
    ["droplet: a number, as in v1", { droplet: 42 }, { processGuid: "42", appId: "42" }],
    ["version", { version: "v2" }, { version: "v2" }],
    ["version: a number", { version: 7 }, { version: "7" }],
    ["index", { index: 3 }, { index: 3 }],
    ["name", { name: "cart" }, { name: "cart" }],
    ["uris", { uris: ["a.example.com", "b.example.com"] }, { uris: ["a.example.com", "b.example.com"], healthCheck: { type: "port" } }],
    ["uris: none means no check and no routes", { uris: [] }, { uris: [], healthCheck: { type: "process" } }],
    ["uris: null", { uris: null }, { uris: [] }],
    ["stack: one of ours", { stack: "cflinuxfs4" }, { name: "shop" }],
    ["sha1", { sha1: "B".repeat(40) }, { droplet: { sha1: "b".repeat(40) } }],
    ["sha256", { sha256: "c".repeat(64) }, { droplet: { sha256: "c".repeat(64) } }],
    ["executableUri may hold credentials", {}, { droplet: { url: "http://user:secret@blobs/droplet" } }],
    ["executableFile means nothing", { executableFile: "deprecated" }, { name: "shop" }],
    ["start_command", { start_command: "node x.js" }, { command: "node x.js" }],
    ["start_command: null", { start_command: null }, { command: undefined }],
    ["limits", {}, { memoryBytes: 256 * MiB, diskBytes: 512 * MiB, fileDescriptors: 100 }],
    ["limits: none, as in v1", { limits: undefined }, { memoryBytes: 512 * MiB, diskBytes: 256 * MiB, fileDescriptors: 1_024 }],
    ["env is split at the first =", { env: ["A=1", "B=x=y", "C="] }, { env: [["A", "1"], ["B", "x=y"], ["C", ""]] }],
    ["services", { services: [{ name: "n", label: "db", credentials: { p: "$x" } }] }, { services: { db: [{ name: "n", label: "db", credentials: { p: "$x" } }] } }],
    ["vcap_application", { vcap_application: { application_id: "guid", space_name: "dev" } }, { appId: "guid", application: { space_name: "dev" } }],
    ["health_check_timeout", { health_check_timeout: 90 }, { healthCheck: { timeoutMs: 90_000 } }],
    ["health_check_timeout: null", { health_check_timeout: null }, { healthCheck: { timeoutMs: 60_000 } }],
    ["health_check_timeout: held below ten minutes", { health_check_timeout: 86_400 }, { healthCheck: { timeoutMs: 600_000 } }],
    ["egress_network_rules", { egress_network_rules: [{ protocol: "tcp", destination: "10.0.0.0/8", ports: "80" }] }, { egress: [{ protocol: "tcp", destination: "10.0.0.0/8", ports: "80" }] }],
    ["cc_partition", { cc_partition: "default" }, { partition: "default" }],
    ["prod, debug, console are passed over", { prod: true, debug: "run", console: true }, { name: "shop" }],
    ["flapping: nothing is kept of a crash", { flapping: true }, { keepCrashFiles: false }],
    ["not flapping", { flapping: false }, { keepCrashFiles: true }],
    ["users, framework are passed over", { users: ["a@b"], framework: "sinatra" }, { name: "shop" }],
    ["runtime: one that is here", { runtime: "node20" }, undefined],
    ["what only a snapshot has is no business of a message", { instance_id: "x", warden_handle: "y" }, { name: "shop" }],
    ["ours: health check", { health_check_type: "http", health_check_http_endpoint: "/up", health_check_interval: 7, health_check_invocation_timeout: 3 }, { healthCheck: { type: "http", path: "/up", intervalMs: 7_000, invocationTimeoutMs: 3_000 } }],
    ["ours: readiness check", { readiness_health_check_type: "http", readiness_health_check_http_endpoint: "/ready", readiness_health_check_interval: 5, readiness_health_check_invocation_timeout: 2 }, { readinessCheck: { type: "http", path: "/ready", intervalMs: 5_000, invocationTimeoutMs: 2_000 } }],
    ["ours: no readiness check", {}, { readinessCheck: { type: "process", intervalMs: 30_000, invocationTimeoutMs: 1_000 } }],
    ["ours: grace", { graceful_shutdown_interval: 25 }, { graceMs: 25_000 }],
    ["ours: grace, held below a quarter of an hour", { graceful_shutdown_interval: 1e6 }, { graceMs: 900_000 }],
  ] as [string, Record<string, unknown>, object | undefined][])("%s", (_name, change, expected) => {
    if (expected) expect(read(change)).toMatchObject(expected);
    else expect(() => read(change)).toThrow(/runtime "node20" does not stand here/);
  });

  test.each([
    ["a stack that is none of ours", { stack: "windows" }, "The requested stack \"windows\" does not exist here."],
    ["no link", { executableUri: null }, "the message names no droplet to download"],
    ["no digest", { sha1: null }, "the message gives no digest of the droplet"],
    ["half a digest", { sha1: "abc" }, "sha1 is not 40 hex digits"],
  ])("refused, and answered: %s", (_name, change, message) => {
    expect(() => read(change)).toThrow(expect.objectContaining({ code: "DEA_INVALID_SPEC", message }) as Error);
  });
});
