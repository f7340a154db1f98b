import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { addressRange, addressText, type EgressRule, parseEgress } from "../src/container/egress.ts";
import { findCgroups, processesIn, readUse } from "../src/linux/cgroup.ts";
import { type ConfigInput, ociConfig, ociMounts, ociProcess, sharesFor } from "../src/linux/config.ts";
import { imageBytes, mountsBelow } from "../src/linux/disk.ts";
import { nameServers, resolvFile, userFiles } from "../src/linux/etc-files.ts";
import { egressRuleset, removalRuleset } from "../src/linux/firewall.ts";
import { containerPaths, idsPerSlot, ownerNames, slotOf, slotsIn } from "../src/linux/names.ts";
import { seccompProfile } from "../src/linux/seccomp.ts";
import { allowedSyscalls, refusedSyscalls } from "../src/linux/syscalls.ts";

const MiB = 1024 ** 2;
const pool = addressRange("10.254.0.0/20");
const slot = slotOf(3, pool);
const input: ConfigInput = {
  slot, hostname: "h", rootDir: "/r", homeDir: "/h", hostPaths: ["/usr"], cgroup: "opencf-dea/t/h", argv: ["/bin/true"], env: ["A=$HOME"], memoryBytes: 256 * MiB,
  swap: true, maxProcesses: 100, cpuShares: 32, cpuCores: 0.5, bandwidth: undefined, hostPath: "/bin", fileDescriptors: 123, arch: "x64",
};

describe("names", () => {
  test("a slot decides addresses, link and ids, and no two share any", () => {
    expect(slot).toEqual({ number: 3, hostAddress: "10.254.0.13", address: "10.254.0.14", link: "ocf3", peer: "ocf3p", firstId: 1_200_000_000 + 3 * idsPerSlot });
    const all = Array.from({ length: slotsIn(pool) }, (_, number) => slotOf(number, pool));
    expect(all).toHaveLength(1_024);
    for (const key of ["hostAddress", "address", "link", "peer", "firstId"] as const) expect(new Set(all.map((one) => one[key])).size).toBe(1_024);
    // IFNAMSIZ, and user ids that every program takes for positive.
    expect(all.every(({ peer, firstId }) => peer.length <= 15 && firstId + idsPerSlot < 2 ** 31)).toBe(true);
  });
  test("everything of an owner carries its tag, and two owners have two", () => {
    const [one, other] = [ownerNames("a"), ownerNames("b")];
    expect(one.tag).not.toBe(other.tag);
    expect([one.runDir, one.cgroup, one.table, one.mountLabel, containerPaths(one, "h").home].every((name) => name.includes(one.tag))).toBe(true);
  });
});

describe("configuration of the OCI runtime", () => {
  const config = ociConfig(input) as { process: { noNewPrivileges: boolean; capabilities: Record<string, string[]>; user: object; env: string[] }; linux: Record<string, unknown>; hooks: object };
  test("is a pure function and plain JSON", () => {
    expect(ociConfig(input)).toEqual(config);
    expect(JSON.parse(JSON.stringify(config))).toEqual(config);
  });
  test("no right, none to be had, and a user of the app's own", () => {
    expect(config.process.noNewPrivileges).toBe(true);
    expect(Object.values(config.process.capabilities).flat()).toEqual([]);
    expect(config.process.user).toEqual({ uid: 1_000, gid: 1_000 });
    expect(config.process.env).toEqual(["A=$HOME"]);
    expect((config.linux["namespaces"] as { type: string }[]).map(({ type }) => type).sort()).toEqual(["cgroup", "ipc", "mount", "network", "pid", "user", "uts"]);
    expect(config.linux["uidMappings"]).toEqual([{ containerID: 0, hostID: slot.firstId, size: 65_536 }]);
  });
  test("limits", () => {
    expect(config.linux["resources"]).toMatchObject({ memory: { limit: 256 * MiB, swap: 256 * MiB }, pids: { limit: 100 }, cpu: { shares: 32, period: 100_000, quota: 50_000 } });
    expect(ociConfig({ ...input, swap: false, cpuCores: undefined })).toMatchObject({ linux: { resources: { memory: { limit: 256 * MiB }, cpu: { shares: 32 } } } });
    expect(JSON.stringify(ociConfig({ ...input, swap: false, cpuCores: undefined }))).not.toMatch(/"swap"|"quota"/);
    expect((config.linux["resources"] as { devices: object[] }).devices[0]).toEqual({ allow: false, access: "rwm" });
  });
  test("the host is seen read-only, without programs of other users and devices", () => {
    const mounts = ociMounts(input);
    expect(mounts.find(({ destination }) => destination === "/usr")?.options).toEqual(["rbind", "ro", "nosuid", "nodev"]);
    for (const { destination, options } of mounts) if (!destination.startsWith("/dev")) expect(options, destination).toEqual(expect.arrayContaining(["nosuid", "nodev"]));
    expect(mounts.map(({ destination }) => destination)).not.toEqual(expect.arrayContaining(["/root", "/home", "/var", "/run"]));
  });
  test("exec: as root of the container still without a right", () => {
    expect(ociProcess({ argv: ["a"], env: [], user: "root", fileDescriptors: 9, terminal: { columns: 5, rows: 6 } })).toMatchObject({
      terminal: true, consoleSize: { width: 5, height: 6 }, user: { uid: 0, gid: 0 }, noNewPrivileges: true, capabilities: { bounding: [] },
    });
  });
  test.each([[64, 8], [256, 32], [1_024, 128], [2_048, 256], [65_536, 256], [1, 1]])("section 7, weight: %d MB is %d", (mem, shares) => {
    expect(sharesFor(mem * MiB)).toBe(shares);
  });
  test("system calls: no name in both lists, and nothing that makes namespaces", () => {
    const allowed = new Set(Object.values(allowedSyscalls).flat());
    expect(refusedSyscalls.filter((name) => allowed.has(name))).toEqual([]);
    for (const name of ["clone", "clone3", "unshare", "setns", "mount", "ptrace", "bpf", "keyctl", "io_uring_setup", "socket"]) expect(allowed.has(name), name).toBe(false);
    const { syscalls, defaultAction } = seccompProfile("x64");
    expect(defaultAction).toBe("SCMP_ACT_ERRNO");
    expect(syscalls.find(({ names }) => names[0] === "clone")?.args).toEqual([{ index: 0, value: 0x7e02_0000, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }]);
  });
});

describe("files of /etc", () => {
  test("vcap takes its name and number from whoever had them", () => {
    const { passwd, group } = userFiles("root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\nvcap:x:77:77::/:/bin/sh\n", "root:x:0:\nvcap:x:9:\n");
    expect(passwd).toBe("root:x:0:0::/root:/bin/sh\nvcap:x:1000:1000::/home/vcap:/bin/sh\n");
    expect(group).toBe("root:x:0:\nvcap:x:1000:\n");
    expect(userFiles().passwd).toContain("root:x:0:0:");
  });
  test.each([
    ["nameserver 10.0.0.2\nnameserver ::1\n", undefined, ["10.0.0.2"]],
    ["nameserver 127.0.0.53\nnameserver 127.0.0.1\n", undefined, ["10.254.0.13"]],
    ["nameserver 10.0.0.2\n", ["8.8.8.8", "8.8.8.8"], ["8.8.8.8"]],
    ["", undefined, []],
  ])("name servers of %j with %j", (text, configured, expected) => {
    expect(nameServers(text, configured, "10.254.0.13")).toEqual(expected);
  });
  test("search and options stay", () => expect(resolvFile("search a b\nnameserver 1.1.1.1\noptions ndots:2\n", ["9.9.9.9"])).toBe("nameserver 9.9.9.9\nsearch a b\noptions ndots:2\n"));
});

describe("section 10: egress rules", () => {
  const at = { slot, hostPort: 61_001, containerPort: 8_080, pool, dns: ["10.0.0.53"] };
  const linesOf = (rules: EgressRule[] | undefined, chain: "way" | "host"): string[] =>
    egressRuleset("t", { ...at, rules: rules && parseEgress(rules) }).split("\n").filter((line) => line.startsWith(`add rule inet t ${chain}_3 `)).map((line) => line.slice(`add rule inet t ${chain}_3 `.length));
  const guard = (lines: string[]): number => lines.findIndex((line) => line.includes("169.254.0.0-169.254.255.255"));

  test.each<[EgressRule, string]>([
    [{ protocol: "tcp", destination: "1.2.3.4", ports: "80,443" }, "ip daddr 1.2.3.4 tcp dport { 80, 443 } accept"],
    [{ protocol: "tcp", destination: "10.0.0.0/8", ports: "8000-9000" }, "ip daddr 10.0.0.0-10.255.255.255 tcp dport { 8000-9000 } accept"],
    [{ protocol: "udp", destination: "1.2.3.4-1.2.3.9" }, "ip daddr 1.2.3.4-1.2.3.9 meta l4proto udp accept"],
    [{ protocol: "icmp", destination: "1.2.3.4", type: 8, code: -1 }, "ip daddr 1.2.3.4 ip protocol icmp icmp type 8 accept"],
    [{ protocol: "all", destination: "1.2.3.4", ports: "80" }, "ip daddr 1.2.3.4 accept"],
    [{ protocol: "all", destination: "0.0.0.0/0" }, "ip daddr 0.0.0.0-255.255.255.255 accept"],
  ])("%j", (rule, expected) => expect(linesOf([rule], "way")).toContain(expected));

  test.each<[EgressRule]>([
    [{ protocol: "sctp" as "tcp", destination: "1.2.3.4" }], [{ protocol: "tcp", destination: "1.2.3" }], [{ protocol: "tcp", destination: "1.2.3.4/33" }],
    [{ protocol: "tcp", destination: "1.2.3.9-1.2.3.4" }], [{ protocol: "tcp", destination: "1.2.3.4", ports: "0" }], [{ protocol: "tcp", destination: "1.2.3.4", ports: "9-1" }],
    [{ protocol: "tcp", destination: "1.2.3.4; flush ruleset" }], [{ protocol: "icmp", destination: "1.2.3.4", type: 256 }], [{ protocol: "tcp", destination: "" }],
  ])("refused: %j", (rule) => expect(() => parseEgress([rule])).toThrow(expect.objectContaining({ code: "DEA_INVALID_SPEC" })));

  test("logging: new tcp connections only, before the verdict", () => {
    const lines = linesOf([{ protocol: "tcp", destination: "1.2.3.4", log: true }], "way");
    const at_ = lines.findIndex((line) => line.includes("log prefix"));
    expect(lines[at_]).toContain("ct state new tcp flags syn");
    expect(lines[at_ + 1]).toBe("ip daddr 1.2.3.4 meta l4proto tcp accept");
  });
  test("without rules: everything but what is guarded; with an empty list: nothing", () => {
    const open = linesOf(undefined, "way");
    expect(open.slice(-2)).toEqual(["accept", "reject with icmpx type admin-prohibited"]);
    expect(guard(open)).toBeLessThan(open.indexOf("accept"));
    expect(linesOf([], "way")).not.toContain("accept");
    expect(linesOf(undefined, "host").filter((line) => line.endsWith("accept"))).toEqual([
      "ct direction reply ct state established,related accept", "ip daddr 10.0.0.53 udp dport 53 accept", "ip daddr 10.0.0.53 tcp dport 53 accept",
    ]);
  });
  test("a rule for everything does not open what is guarded; one that names it does", () => {
    const all = linesOf([{ protocol: "all", destination: "0.0.0.0/0" }], "way");
    expect(all.indexOf("ip daddr 0.0.0.0-255.255.255.255 accept")).toBeGreaterThan(guard(all));
    const metadata = linesOf([{ protocol: "tcp", destination: "169.254.169.254", ports: "80" }], "way");
    expect(metadata.indexOf("ip daddr 169.254.169.254 tcp dport { 80 } accept")).toBeLessThan(guard(metadata));
  });
  test("property: whatever is asked, only numbers of ours and known words reach the firewall", () => {
    const address = fc.integer({ min: 0, max: 2 ** 32 - 1 }).map(addressText);
    const rule = fc.record({ protocol: fc.constantFrom("tcp", "udp", "icmp", "all"), destination: fc.oneof(address, fc.string(), fc.tuple(address, fc.nat(33)).map(([a, b]) => `${a}/${b}`)), ports: fc.oneof(fc.string(), fc.nat(70_000).map(String)) });
    fc.assert(fc.property(rule, (one) => {
      let text: string;
      try {
        text = egressRuleset("t", { ...at, rules: parseEgress([one as EgressRule]) });
      } catch (error) {
        return (error as { code?: string }).code === "DEA_INVALID_SPEC";
      }
      return /^[\w .,:{}!=/-]*$/m.test(text) && text.split("\n").every((line) => line === "" || /^(add rule|flush chain) inet t (way|host)_3( |$)/.test(line));
    }));
  });
  test("removal names only what is the container's", () => expect(removalRuleset("t", at)).not.toMatch(/delete table|flush ruleset|flush table/));
});

describe("cgroups", () => {
  const line = (point: string, type: string, options: string): string => `30 24 0:27 / ${point} rw,relatime shared:9 - ${type} ${type} rw,${options}`;
  const v1 = [line("/sys/fs/cgroup/memory", "cgroup", "memory"), line("/sys/fs/cgroup/pids", "cgroup", "pids"), line("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "cpu,cpuacct")];
  test("version 1, hybrid, version 2, and none", () => {
    expect(findCgroups(v1.join("\n"), () => "")).toMatchObject({ version: 1, roots: { memory: "/sys/fs/cgroup/memory", cpuacct: "/sys/fs/cgroup/cpu,cpuacct" } });
    const hybrid = findCgroups([...v1, line("/sys/fs/cgroup/unified", "cgroup2", "x")].join("\n"), () => "");
    expect(hybrid).toMatchObject({ version: 1 });
    expect(hybrid?.hierarchies).toContain("/sys/fs/cgroup/unified");
    expect(findCgroups(line("/sys/fs/cgroup", "cgroup2", "nsdelegate"), () => "cpu memory pids\n")).toMatchObject({ version: 2, roots: { memory: "/sys/fs/cgroup", pids: "/sys/fs/cgroup" } });
    expect(findCgroups(line("/sys/fs/cgroup", "cgroup2", "nsdelegate"), () => "cpu\n")).toBeUndefined();
    expect(findCgroups("", () => "")).toBeUndefined();
  });
  test("use is read from the files of both versions", () => {
    const dir = mkdtempSync(join(tmpdir(), "opencf-cgroup-"));
    try {
      const put = (path: string, text: string): void => {
        mkdirSync(join(dir, path, ".."), { recursive: true });
        writeFileSync(join(dir, path), text);
      };
      put("two/g/memory.current", "1000\n");
      put("two/g/memory.stat", "anon 1\ninactive_file 300\n");
      put("two/g/cpu.stat", "usage_usec 2500000\nuser_usec 1\n");
      put("two/g/memory.events", "oom 4\noom_kill 2\n");
      put("two/g/cgroup.procs", "5\n6\n");
      const two = findCgroups(line(join(dir, "two"), "cgroup2", ""), () => "memory pids");
      expect(two && readUse(two, "g")).toEqual({ memoryBytes: 700, cpuMs: 2_500, outOfMemoryKills: 2 });
      expect(two && processesIn(two, "g")).toEqual([5, 6]);
      put("one/memory/g/memory.usage_in_bytes", "1000\n");
      put("one/memory/g/memory.stat", "inactive_file 1\ntotal_inactive_file 400\n");
      put("one/memory/g/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
      put("one/cpu/g/cpuacct.usage", "3000000000\n");
      const one = findCgroups([line(join(dir, "one/memory"), "cgroup", "memory,pids"), line(join(dir, "one/cpu"), "cgroup", "cpu,cpuacct")].join("\n"), () => "");
      expect(one && readUse(one, "g")).toEqual({ memoryBytes: 600, cpuMs: 3_000, outOfMemoryKills: 1 });
      expect(one && readUse(one, "gone")).toEqual({ memoryBytes: 0, cpuMs: 0, outOfMemoryKills: 0 });
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describe("disk", () => {
  test("the image is larger than what it offers, by its tables", () => {
    expect(imageBytes(64 * MiB, 1_000)).toBeGreaterThan(64 * MiB + 256_000);
    expect(imageBytes(64 * MiB, 1_000)).toBeLessThan(68 * MiB);
  });
  test("mounts of one folder only, innermost first, with the kernel's escapes", () => {
    const info = ["1 1 0:1 / /run/x/a/disk rw - a a a", "1 1 0:1 / /run/x/a/root\\040b rw - a a a", "1 1 0:1 / /run/x/ab/disk rw - a a a", "1 1 0:1 / / rw - a a a"].join("\n");
    expect(mountsBelow("/run/x/a", info)).toEqual(["/run/x/a/root b", "/run/x/a/disk"]);
  });
});
