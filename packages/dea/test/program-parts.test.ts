import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readConfigFile, settingsOf } from "../src/cli/config-file.ts";
import { honouredKeys, knownKeys } from "../src/cli/config-keys.ts";
import { endingText } from "../src/cli/ending.ts";
import { lifeTable } from "../src/cli/life.ts";
import { serveOptions } from "../src/cli/serve-options.ts";
import { parsePorts, parseStacks, UsageError } from "../src/cli/usage.ts";
import { discoverDelayMs } from "../src/bus/discover.ts";
import { findRuntimes } from "../src/runtimes.ts";
import { temporaryFolder } from "./fixtures/droplet.ts";

describe("dea §1: keys of a DEA's file", () => {
  test.each([
    ["base_dir: /d", { dataDir: "/d" }],
    ["nats_servers: [nats://a:1, nats://b:2]", { nats: ["nats://a:1", "nats://b:2"] }],
    ["nats_uri: nats://a:1", { nats: ["nats://a:1"] }],
    ["resources: {memory_mb: 8192, memory_overcommit_factor: 1.5, disk_mb: 100, disk_overcommit_factor: 2}", { memoryMb: 8192, memoryOvercommit: 1.5, diskMb: 100, diskOvercommit: 2 }],
    ["intervals: {heartbeat: 10, advertise: 5, router_register_in_seconds: 20}", { heartbeatMs: 10_000, advertiseMs: 5_000, registerMs: 20_000 }],
    ["default_health_check_timeout: 60", { healthTimeoutMs: 60_000 }],
    ["crash_lifetime_secs: 3600", { crashLifetimeMs: 3_600_000 }],
    ["crash_block_usage_ratio_threshold: 0.8\ncrash_inode_usage_ratio_threshold: 0.7", { diskPressureRatio: 0.7 }],
    ["evacuation_bail_out_time_in_seconds: 600", { evacuationMs: 600_000 }],
    ["instance: {nproc_limit: 512, disk_inode_limit: 200000, bandwidth_limit: {rate: 1000, burst: 2000}}", { maxProcesses: 512, inodes: 200_000, bandwidth: { bytesPerSecond: 1_000, burstBytes: 2_000 } }],
    ["stacks: [{name: a, package_path: /a}, {name: b}, c]", { stacks: [{ name: "a", root: "/a" }, { name: "b" }, { name: "c" }] }],
    ["placement_properties: {zone: z1, isolation_segment: blue}", { zone: "z1", isolationSegment: "blue" }],
    ["runtimes: {ruby18: {version: 1.8.7, executable: /r}, java: null}", { runtimes: [{ name: "ruby18", version: "1.8.7" }, { name: "java" }] }],
    ["runtimes: [node, {name: python, version: 3}]", { runtimes: [{ name: "node" }, { name: "python", version: "3" }] }],
    ["max_instances: 50", { maxInstances: 50 }],
    ["", {}],
    ["base_dir:", {}],
  ])("%s", async (text, settings) => {
    await using folder = await temporaryFolder();
    await writeFile(join(folder.path, "dea.yml"), text);
    expect(await readConfigFile(join(folder.path, "dea.yml"))).toEqual({ settings, ignored: [] });
  });

  test("what does nothing is named with its path and the reason", () => {
    const { settings, ignored } = settingsOf({ resources: { memory_mb: 1, wings: 2 }, staging: { enabled: true }, instance: { min_cpu_share_limit: 1 }, constructor: 1, wibble: {} });
    expect(settings).toEqual({ memoryMb: 1 });
    expect(ignored.map(({ key }) => key)).toEqual(["resources.wings", "staging", "instance.min_cpu_share_limit", "constructor", "wibble"]);
    expect(ignored.find(({ key }) => key === "staging")?.why).toContain("opencf-stage");
    expect(ignored.at(-1)?.why).toBe("no such key");
    expect(Object.keys(knownKeys).filter((key) => key in honouredKeys)).toEqual([]);
  });

  test.each([
    [{ resources: { memory_mb: "8G" } }, /resources\.memory_mb must be a number above 0, not "8G"/],
    [{ intervals: { router_register_in_seconds: 0 } }, /intervals\.router_register_in_seconds must be a number above 0/],
    [{ stacks: { name: "a" } }, /stacks must be a list/],
    [{ stacks: [{ package_path: "/x" }] }, /stacks\[0\]\.name must be a text/],
    [{ crash_block_usage_ratio_threshold: 80 }, /must be at most 1/],
    [["a"], /must be a mapping/],
  ])("what cannot be meant is refused: %j", (document, message) => {
    expect(() => settingsOf(document)).toThrow(message);
    expect(() => settingsOf(document)).toThrow(UsageError);
  });
});

describe("options of the program", () => {
  test("the command line wins over the file, the file over the defaults", () => {
    const file = { nats: ["nats://file:1"], memoryMb: 100, memoryOvercommit: 2, zone: "f", dataDir: "/f" };
    expect(serveOptions({ nats: ["nats://a:1,nats://b:2"], memory: "1G", zone: "z", pool: "p" }, file, {})).toMatchObject({
      nats: ["nats://a:1", "nats://b:2"], memoryBytes: 2 ** 30, memoryFactor: 2, zone: "z", isolationSegment: "p", dataDir: "/f", onTerm: "keep", backend: "auto", isolate: "auto", evacuationMs: 600_000,
    });
    expect(serveOptions({}, file, {})).toMatchObject({ nats: ["nats://file:1"], memoryBytes: 100 * 2 ** 20, zone: "f" });
    expect(serveOptions({}, {}, { NATS_URL: "nats://env:1" })).toMatchObject({ nats: ["nats://env:1"], onTerm: "stop", memoryFactor: 1 });
  });

  test.each([
    [{}, /give the bus/],
    [{ nats: ["10.0.0.2"] }, /--nats must be nats:\/\//],
    [{ nats: ["nats://a"], "on-term": "die" }, /--on-term must be keep or stop/],
    [{ nats: ["nats://a"], "on-term": "keep" }, /needs --data-dir/],
    [{ nats: ["nats://a"], overcommit: "0" }, /--overcommit must be a factor/],
    [{ nats: ["nats://a"], "max-instances": "-1" }, /--max-instances must be a whole number/],
    [{ nats: ["nats://a"], ports: "9-1" }, /--ports must be a range/],
    [{ nats: ["nats://a"], isolate: "docker" }, /--isolate must be auto, none, bubblewrap or user-namespace/],
    [{ nats: ["nats://a"], pool: "a", "isolation-segment": "b" }, /one option/],
    [{ nats: ["nats://a"], stacks: ["a=relative"] }, /--stacks must be names/],
    [{ nats: ["nats://a"], host: "example.com" }, /--host must be an IP address/],
  ])("asked wrongly: %j", (values, message) => {
    expect(() => serveOptions(values, {}, {})).toThrow(message);
    expect(() => serveOptions(values, {}, {})).toThrow(UsageError);
  });

  test("lists and ranges", () => {
    expect(parseStacks(["a,b=/b", "c"])).toEqual([{ name: "a" }, { name: "b", root: "/b" }, { name: "c" }]);
    expect(parsePorts("61001-65000")).toEqual({ first: 61_001, last: 65_000 });
  });

  test("dea §12: what signals do: every state ends in three signals, and a repeated USR2 does nothing", () => {
    for (const state of Object.keys(lifeTable) as (keyof typeof lifeTable)[]) {
      let at = state;
      for (let round = 0; round < 3; round++) at = lifeTable[at].SIGTERM ?? at;
      expect(at).toBe("gone");
      expect(lifeTable[state].SIGTERM).toBe(lifeTable[state].SIGINT);
      expect(lifeTable[state].SIGTERM).toBe(lifeTable[state].SIGQUIT);
    }
    expect(lifeTable.serving).toMatchObject({ SIGUSR1: "resting", SIGUSR2: "evacuating" });
    expect(lifeTable.evacuating.SIGUSR2).toBeUndefined();
  });
});

test.each([
  ["exit:3", "exit", 3, "app instance exited with status 3 (exit:3)"],
  ["exit:127", "exit", 127, /not found/],
  ["signal:SIGKILL", "signal", 137, /^app instance exited by SIGKILL \(signal:SIGKILL\): somebody killed it/],
  ["oom", "oom", 137, /used more than 64 MiB; give it more with --memory/],
  ["disk-quota", "disk-quota", 1, /wrote more than 32 MiB/],
  ["port-timeout", "health-timeout", -1, /\(health-timeout: port-timeout\): nothing listened on the port it was given \(PORT, 61001 on this machine\) for 5 s/],
  ["http-timeout", "health-timeout", -1, /GET \/up was not answered with 200 within 5 s/],
  ["stopped", "stopped", 143, "app instance exited (stopped)"],
] as const)("why it died: %s", (reason, kind, status, text) => {
  const said = endingText({ exit: { reason, kind, description: "app instance exited", status }, memoryBytes: 64 * 2 ** 20, diskBytes: 32 * 2 ** 20, port: 61_001, checkTimeoutMs: 5_000, checkPath: "/up" });
  expect(said).toMatch(text);
});

describe("shared runtimes (dea §15 v1)", () => {
  test("programs of a search path are asked for their version, each file once; who says none is none", async () => {
    await using folder = await temporaryFolder();
    const program = async (name: string, text: string): Promise<void> => {
      await writeFile(join(folder.path, name), `#!/bin/sh\n${text}\n`);
      await chmod(join(folder.path, name), 0o755);
    };
    await program("node", "echo v20.19.2");
    await program("node18", "echo v18.1.0");
    await symlink("node", join(folder.path, "nodejs"));
    await program("python3", "echo Python 3.12.1");
    await program("java", "echo 'openjdk version \"1.8.0_402\"' >&2");
    await program("ruby", "echo broken; exit 1");
    await program("php", "exec sleep 100");
    await program("node-gyp", "echo v1.0.0");
    await writeFile(join(folder.path, "go"), "not executable");
    await mkdir(join(folder.path, "sub"));
    const found = await findRuntimes({ path: `${folder.path}:/nonexistent:relative:${join(folder.path, "sub")}`, timeoutMs: 1_000, configured: [{ name: "cobol", version: "85" }, { name: "node", version: "20.19.2" }] });
    expect(found).toEqual([
      { name: "cobol", version: "85", found: "configured" },
      { name: "node", version: "20.19.2", found: "configured" },
      { name: "node", version: "18.1.0", found: join(folder.path, "node18") },
      { name: "python", version: "3.12.1", found: join(folder.path, "python3") },
      { name: "java", version: "8.0_402", found: join(folder.path, "java") },
    ]);
  });

  test("this machine has the node that runs this", async () => {
    const found = await findRuntimes({ path: `${join(process.execPath, "..")}` });
    expect(found).toContainEqual({ name: "node", version: process.versions.node, found: process.execPath });
  });
});

test.each([
  ["an empty host answers at once", { reserved: 0, apps: 0 }, 0],
  ["10 ms for each instance of the app", { reserved: 0, apps: 3 }, 30],
  ["100 ms by the share of memory that is promised", { reserved: 512, apps: 0 }, 50],
  ["never more than 250 ms", { reserved: 512, apps: 100 }, 250],
  ["who has no room says nothing", { reserved: 1_000, apps: 0 }, undefined],
  ["nor who lacks the runtime", { reserved: 0, apps: 0, runtime: "ruby" }, undefined],
])("dea §11 (v1), dea.discover: %s", (_title, { reserved, apps, runtime }: { reserved: number; apps: number; runtime?: string }, expected) => {
  const amount = (total: number, taken: number) => ({ totalBytes: total * 2 ** 20, reservedBytes: taken * 2 ** 20, freeBytes: (total - taken) * 2 ** 20 });
  const capacity = { memory: amount(1_024, reserved), disk: amount(10_000, 0), instances: { limit: 10, present: 0 } };
  expect(discoverDelayMs({ droplet: "a", limits: { mem: 128, disk: 10 }, ...(runtime ? { runtime } : {}) }, { capacity, instancesOfApp: apps, runtimes: [{ name: "node" }] })).toBe(expected);
});
