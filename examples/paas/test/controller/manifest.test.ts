import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { diffManifest } from "../../controller/manifest/diff.ts";
import { readManifest } from "../../controller/manifest/document.ts";
import { describeApplication, manifestYaml, type AppDescription } from "../../controller/manifest/generate.ts";
import { normaliseApplication, readApplication, type AppManifest } from "../../controller/manifest/message.ts";
import { defaultHostProblem, parseRoute, randomRouteTail } from "../../controller/manifest/route.ts";
import { logRateInBytes, sizeInMegabytes, spellBytes } from "../../controller/manifest/sizes.ts";
import { validateApplication } from "../../controller/manifest/validate.ts";

const rules = { features: ["ssh", "revisions"] };
function application(yaml: string): { problems: string[]; manifest: AppManifest; raw: Record<string, unknown> } {
  const result = readManifest(`applications:\n- ${yaml.trim().split("\n").join("\n  ")}\n`);
  if (!result.ok) throw new Error(result.problem.text);
  const raw = result.applications[0]!;
  const fields = normaliseApplication(raw);
  const problems = validateApplication(fields, rules);
  return { problems, raw, get manifest() { return readApplication(fields, raw); } };
}

describe("the document", () => {
  const wide = `applications:\n- name: x\n  env: {${Array.from({ length: 60_000 }, (_, index) => `k${index}: 1`).join(", ")}}`;
  test.each([
    ["applications:\n- &a {name: x}\n- *a", "bad-request", /does not support Anchors and Aliases/],
    ["a: &a [1]\napplications:\n- name: x\n  <<: *a", "bad-request", /Anchors and Aliases/],
    ["applications: &anchored\n- name: x", "bad-request", /Anchors and Aliases/],
    ["- just a list", "parse", /invalid request body/],
    ["", "parse", /invalid request body/],
    ["applications: [", "parse", /invalid request body/],
    ["a: b: c", "parse", /invalid request body/],
    [`applications: ${"[".repeat(100_000)}`, "parse", /invalid request body/],
    [`applications: ${"[".repeat(100)}${"]".repeat(100)}`, "parse", /invalid request body/],
    [wide, "parse", /invalid request body/],
    ["x".repeat(1024 * 1024 + 1), "bad-request", /too large/],
    ["name: x", "unprocessable", /^Cannot parse manifest with no 'applications' field\.$/],
    ["applications: []", "unprocessable", /no 'applications' field/],
    ["applications: [1]", "unprocessable", /list of objects/],
    ["version: 2\napplications: [{name: x}]", "unprocessable", /^Unsupported manifest schema version\. Currently supported versions: \[1\]\.$/],
  ])("%#", (text, kind, message) => {
    const result = readManifest(text);
    expect(result.ok).toBe(false);
    if (result.ok) return;
    expect(result.problem.kind).toBe(kind);
    expect(result.problem.text).toMatch(message);
  });

  test("numbers of the environment keep their spelling, others are numbers", () => {
    const { manifest } = application("name: x\ninstances: 2\nenv:\n  VERSION: 1.10\n  BIG: 12345678901234567890\n  FLAG: true\n  NONE:\n  LIST: [1, a]");
    expect(manifest.env).toEqual({ VERSION: "1.10", BIG: "12345678901234567890", FLAG: "true", NONE: "", LIST: '[1,"a"]' });
    expect(manifest.processes[0]?.instances).toBe(2);
  });

  test("a key called __proto__ is data", () => {
    const result = readManifest("applications:\n- name: x\n  __proto__: {polluted: yes}");
    expect(result.ok).toBe(true);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  test("never throws", () => fc.assert(fc.property(fc.string({ unit: fc.constantFrom("a", ":", " ", "\n", "-", "&", "*", "[", "{", "}", "]", "'", '"', "|", "?", "!", "#", "%", "@") }), (text) => {
    expect(typeof readManifest(text).ok).toBe("boolean");
  })));
});

describe("validation", () => {
  test.each<[string, string[]]>([
    ["name: x", []],
    ["memory: 256M", ["Name must not be empty"]],
    ["name: 5", ["Name must be a string"]],
    ["name: x\nmemory: 256", ['Process "web": Memory must use a supported unit: B, K, KB, M, MB, G, GB, T, or TB']],
    ["name: x\nmemory: lots", ['Process "web": Memory is not a number']],
    ["name: x\nmemory: 10K", ['Process "web": Memory must be greater than 0MB']],
    ["name: x\nmemory: -5M", ['Process "web": Memory must be greater than 0MB']],
    ["name: x\ndisk-quota: 5Q", ['Process "web": Disk quota must use a supported unit: B, K, KB, M, MB, G, GB, T, or TB']],
    ["name: x\nlog-rate-limit-per-second: -1", []],
    ["name: x\nlog-rate-limit-per-second: 0", []],
    ["name: x\nlog-rate-limit-per-second: 5", ['Process "web": Log rate limit per second must use a supported unit: B, K, KB, M, MB, G, GB, T, or TB']],
    ["name: x\ninstances: -1", ['Process "web": Instances must be greater than or equal to 0']],
    ["name: x\ninstances: 1.5", ['Process "web": Instances must be an integer']],
    ["name: x\ninstances: many", ['Process "web": Instances is not a number']],
    ["name: x\ncommand: ''", ['Process "web": Command must be between 1 and 4096 characters']],
    ["name: x\ncommand: null", []],
    ["name: x\ntimeout: 0", ['Process "web": Timeout must be greater than or equal to 1']],
    ["name: x\nhealth-check-type: none", []],
    ["name: x\nhealth-check-type: tcp", ['Process "web": Health check type must be "port", "process", or "http"']],
    ["name: x\nhealth-check-type: port\nhealth-check-http-endpoint: /x", ['Process "web": Health check type must be "http" to set a health check HTTP endpoint']],
    ["name: x\nhealth-check-http-endpoint: x", ['Process "web": Health check http endpoint must be a valid URI path']],
    ["name: x\nreadiness-health-check-interval: 0", ['Process "web": Readiness health check interval must be greater than or equal to 1']],
    ["name: x\nprocesses: 5", ["Processes must be an array of process configurations"]],
    ["name: x\nprocesses: [{memory: 1G}]", ["All Processes must specify a type"]],
    ["name: x\nprocesses: [{type: web}, {type: web}]", ['Process "web" may only be present once']],
    ["name: x\nprocesses: [{type: worker, memory: 1}]", ['Process "worker": Memory must use a supported unit: B, K, KB, M, MB, G, GB, T, or TB']],
    ["name: x\nsidecars: 1", ["Sidecars must be an array of sidecar configurations"]],
    ["name: x\nsidecars: [{name: s, command: c, process_types: []}]", ['Sidecar "s": Process types must have at least 1 process_type']],
    ["name: x\nbuildpack: a\nbuildpacks: [b]", ["Buildpack and Buildpacks fields cannot be used together."]],
    ["name: x\nbuildpacks: [1]", ["Buildpacks can only contain strings"]],
    ["name: x\nbuildpacks: ['']", ["Buildpacks entries must be between 1 and 4096 characters"]],
    ["name: x\ndocker: {image: y}", ["Feature Disabled: diego_docker"]],
    ["name: x\ndocker: {image: y}\nbuildpacks: [a]", ["Feature Disabled: diego_docker", "Cannot specify both buildpack(s) and docker keys"]],
    ["name: x\nlifecycle: cnb", ["Feature Disabled: diego_cnb"]],
    ["name: x\nenv: []", ["Env must be an object of keys and values"]],
    ["name: x\nenv: {VCAP_X: 1, vmc: 1, PORT: 1, OK: 1}", ["Env cannot start with VCAP_", "Env cannot start with VMC_", "Env cannot set PORT"]],
    ["name: x\nroutes: 1", ["Routes must be a list of route objects"]],
    ["name: x\nroutes: [{}]", ["Routes must be a list of route objects"]],
    ["name: x\nroutes: [{route: 'a b'}]", ["The route 'a b' is not a properly formed URL"]],
    ["name: x\nroutes: [{route: a.b, protocol: ftp}]", ["Route protocol must be 'http1', 'http2' or 'tcp'."]],
    ["name: x\nroutes: [{route: a.b, options: {loadbalancing: best}}]", ["Cannot use loadbalancing value 'best' for Route 'a.b'; Valid values are: 'round-robin, least-connection'"]],
    ["name: x\nroutes: [{route: a.b, options: {x: 1}}]", ["Route 'a.b' contains invalid route option 'x'. Valid keys: 'loadbalancing'"]],
    ["name: x\nno-route: maybe", ["No-route must be a boolean"]],
    ["name: x\nrandom-route: true\ndefault-route: true", ["Random-route and default-route may not be used together"]],
    ["name: x\nservices: {a: 1}", ["Services must be a list of service instances"]],
    ["name: x\nservices: [a, {name: b, parameters: {x: 1}, binding_name: c}]", []],
    ["name: x\nservices: [{name: b, other: 1}]", ["Services must be a list of service instances"]],
    ["name: x\nfeatures: {ssh: true}", []],
    ["name: x\nfeatures: {fly: true}", ["Features must be a map of valid feature names to booleans (true = enabled, false = disabled)"]],
    ["name: x\nunheard-of: 1", []],
  ])("%s", (yaml, expected) => expect(application(yaml).problems).toEqual(expected));
});

describe("reading", () => {
  test("the app's level speaks about the web process, both spellings alike", () => {
    const { manifest } = application("name: x\nmemory: 1G\ndisk-quota: 512MB\nhealth_check_type: http\nhealth-check-http-endpoint: /ok\ntimeout: 5\ncommand: null");
    expect(manifest.processes).toEqual([{
      type: "web", command: null, timeoutSeconds: 5, memoryMb: 1024, diskMb: 512,
      healthCheck: { type: "http", endpoint: "/ok" }, readinessHealthCheck: {},
    }]);
  });
  test("a web entry in processes replaces what the app's level said", () => {
    const { manifest } = application("name: x\nmemory: 1G\nprocesses:\n- type: worker\n  instances: 2\n- type: web\n  instances: 3");
    expect(manifest.processes.map(({ type, memoryMb, instances }) => [type, memoryMb, instances])).toEqual([["web", undefined, 3], ["worker", undefined, 2]]);
  });
  test.each<[string, AppManifest["lifecycle"]]>([
    ["name: x", undefined],
    ["name: x\nbuildpack: null", { buildpacks: [] }],
    ["name: x\nbuildpack: default", { buildpacks: [] }],
    ["name: x\nbuildpack: ruby", { buildpacks: ["ruby"] }],
    ["name: x\nbuildpacks: [a, b]\nstack: s", { buildpacks: ["a", "b"], stack: "s" }],
    ["name: x\nbuildpacks: []", { buildpacks: [] }],
  ])("lifecycle of %s", (yaml, lifecycle) => expect(application(yaml).manifest.lifecycle).toEqual(lifecycle));
  test("secrets are hidden from the audit", () =>
    expect(application("name: x\nenv: {SECRET: s}").manifest.audit).toEqual({ name: "x", env: "[PRIVATE DATA HIDDEN]" }));
});

describe("routes", () => {
  test.each([
    ["shop.example.com", { host: "", domain: "shop.example.com" }, { host: "shop", domain: "example.com" }],
    ["Shop.Example.com/Path", { host: "", domain: "shop.example.com" }, { host: "shop", domain: "example.com" }],
    ["*.example.com", undefined, { host: "*", domain: "example.com" }],
    ["https://a.b", { host: "", domain: "a.b" }, { host: "a", domain: "b" }],
  ])("%s", (text, ...candidates) => expect(parseRoute(text)?.candidates).toEqual(candidates.filter((candidate) => candidate !== undefined)));
  test("ports and paths", () => {
    expect(parseRoute("tcp.example.com:1234")).toMatchObject({ host: "tcp.example.com", port: 1234, path: "" });
    expect(parseRoute("a.b/x/y")).toMatchObject({ path: "/x/y" });
  });
  test.each(["", "a b", "http://", "ftp://a.b", "http://a.b:80", "a.b?x", "user@a.b", 5, null])("%j is none", (text) => expect(parseRoute(text)).toBeUndefined());
  test("a random tail is a valid host name", () => expect(randomRouteTail()).toMatch(/^[a-z]+-[a-z]+-[a-z]{2}$/));
  test("names that are no host", () => {
    expect(defaultHostProblem("good-name_1")).toBeUndefined();
    expect(defaultHostProblem("x".repeat(64))).toBe("Failed to create default route from app name: Host cannot exceed 63 characters");
    expect(defaultHostProblem("no good")).toMatch(/contain only alphanumeric characters/);
  });
});

describe("sizes", () => {
  test.each([["1G", 1024], ["1gb", 1024], ["512MB", 512], ["1.5G", 1536], ["1023K", 0], ["1T", 1_048_576], [undefined, undefined], ["x", undefined], [5, undefined]])("%s in MB", (text, megabytes) => expect(sizeInMegabytes(text)).toBe(megabytes));
  test("log rates", () => expect([-1, "0", "1K", "1M", undefined].map(logRateInBytes)).toEqual([-1, 0, 1024, 1_048_576, undefined]));
  test("what is spelled is read back", () => fc.assert(fc.property(fc.nat(), (bytes) => {
    expect(logRateInBytes(spellBytes(bytes))).toBe(bytes);
  })));
});

const described: AppDescription = {
  name: "shop", lifecycle: { type: "buildpack", buildpacks: ["ruby"], stack: "s1" }, env: { A: "1" }, features: { ssh: true }, labels: { l: "v" }, annotations: {},
  serviceNames: ["zeta", "alpha"], routes: [{ route: "shop.x.y", protocol: "http1" }],
  processes: [{
    type: "web", instances: 1, memoryMb: 1024, diskMb: 512, logRateBytesPerSecond: 1_048_576, command: null, user: null, timeoutSeconds: null,
    healthCheck: { type: "port", endpoint: null, invocationTimeoutSeconds: null, intervalSeconds: null },
    readinessHealthCheck: { type: "process", endpoint: null, invocationTimeoutSeconds: null, intervalSeconds: null },
  }],
  sidecars: [{ name: "cfg", command: "./cfg", processTypes: ["web"], memoryMb: 64 }],
};

describe("the generated manifest", () => {
  test("reads back as what it described", () => {
    const yaml = manifestYaml([describeApplication(described)]);
    const result = readManifest(yaml);
    if (!result.ok) throw new Error(result.problem.text);
    const fields = normaliseApplication(result.applications[0]!);
    expect(validateApplication(fields, rules)).toEqual([]);
    const manifest = readApplication(fields, result.applications[0]!);
    expect(manifest).toMatchObject({ name: "shop", env: { A: "1" }, services: [{ name: "alpha" }, { name: "zeta" }], lifecycle: { buildpacks: ["ruby"], stack: "s1" } });
    expect(manifest.processes[0]).toMatchObject({ memoryMb: 1024, diskMb: 512, logRateBytesPerSecond: 1_048_576, instances: 1 });
  });
});

describe("the diff", () => {
  const existing = (name: string) => (name === "shop" ? describeApplication(described) : undefined);
  const diff = (yaml: string, prune = false) => diffManifest([application(yaml).raw], existing, { prune });
  test.each([
    ["name: shop", []],
    ["name: shop\nmemory: 1G\ndisk-quota: 512M\nlog-rate-limit-per-second: 1M", []],
    ["name: shop\nmemory: 256M", [{ op: "replace", path: "/applications/0/memory", value: "256M", was: "1024M" }]],
    ["name: shop\ninstances: 3", [{ op: "replace", path: "/applications/0/instances", value: 3, was: 1 }]],
    ["name: shop\nenv: {A: 1, B: x}", [{ op: "add", path: "/applications/0/env/B", value: "x" }]],
    ["name: shop\nenv: {A: 2}", [{ op: "replace", path: "/applications/0/env/A", value: "2", was: "1" }]],
    ["name: shop\nservices: [alpha, new]", [{ op: "add", path: "/applications/0/services/1", value: "new" }]],
    ["name: shop\nroutes: [{route: shop.x.y}, {route: b.x.y}]", [{ op: "add", path: "/applications/0/routes/1", value: { route: "b.x.y" } }]],
    ["name: shop\nprocesses: [{type: web, memory: 2G}]", [{ op: "replace", path: "/applications/0/processes/0/memory", value: "2048M", was: "1024M" }]],
    ["name: shop\nprocesses: [{type: worker, instances: 1}]", [{ op: "add", path: "/applications/0/processes/0", value: { type: "worker", instances: 1 } }]],
    ["name: shop\nbuildpacks: [go]", [{ op: "replace", path: "/applications/0/buildpacks/0", value: "go", was: "ruby" }]],
    ["name: shop\nmetadata: {labels: {l: w, m: n}}", [{ op: "replace", path: "/applications/0/metadata/labels/l", value: "w", was: "v" }, { op: "add", path: "/applications/0/metadata/labels/m", value: "n" }]],
    ["name: shop\ndefault-route: true\nunheard: 1\npath: .", []],
    ["name: fresh\nmemory: 1G\ninstances: 2", [{ op: "add", path: "/applications/0/name", value: "fresh" }, { op: "add", path: "/applications/0/instances", value: 2 }]],
  ])("%s", (yaml, expected) => expect(diff(yaml)).toEqual(expected));

  test("what is not named shows up as removed only when pruning", () => {
    expect(diff("name: shop\nenv: {B: x}\nservices: [alpha]", true)).toEqual([
      { op: "add", path: "/applications/0/env/B", value: "x" },
      { op: "remove", path: "/applications/0/env/A", was: "1" },
      { op: "remove", path: "/applications/0/services/1", was: "zeta" },
    ]);
  });
});
