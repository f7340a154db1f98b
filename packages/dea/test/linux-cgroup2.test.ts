import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Cgroups, countsSwap, findCgroups, groupsIn, processesIn, readUse, removeGroup } from "../src/linux/cgroup.ts";
import { killGroup } from "../src/linux/ground.ts";
import { systemClock } from "../src/ports.ts";
import { until } from "./fixtures/until.ts";

/*
 * Where a machine runs on version 2 alone the suites of containers run on it. Where it is mounted beside version 1, as
 * here, controllers of memory, processes and processors stay with version 1: what of our own code touches version 2 is
 * tried on its real hierarchy, and what controllers would say, on files as the kernel writes them.
 */
const unified = readFileSync("/proc/self/mountinfo", "utf8").split("\n").find((line) => line.includes(" - cgroup2 "))?.split(" ")[4];
const writable = unified !== undefined && process.getuid?.() === 0 && existsSync(join(unified, "cgroup.procs"));
const at = (root: string): Cgroups => ({ version: 2, roots: Object.fromEntries(["memory", "cpu", "cpuacct", "pids"].map((name) => [name, root])), hierarchies: [root] });

describe.skipIf(!writable)("cgroups of version 2, on the kernel's own hierarchy", () => {
  test("a process is put in, found, measured and killed; the group and its groups are removed", async () => {
    const cgroups = at(unified ?? "");
    const group = `opencf-dea-test-${process.pid}/a`;
    mkdirSync(join(unified ?? "", group, "inner"), { recursive: true });
    const burner = spawn("sh", ["-c", "while :; do :; done"], { stdio: "ignore" });
    try {
      writeFileSync(join(unified ?? "", group, "inner", "cgroup.procs"), String(burner.pid));
      writeFileSync(join(unified ?? "", group, "cgroup.procs"), String(burner.pid));
      expect(processesIn(cgroups, group)).toEqual([burner.pid]);
      await until(() => readUse(cgroups, group).cpuMs > 20, 20_000);
      expect(await removeGroup(cgroups, group)).toBe(false);
      await killGroup({ cgroups, clock: systemClock }, group);
      expect(processesIn(cgroups, group)).toEqual([]);
      await until(() => removeGroup(cgroups, group), 10_000);
      expect(await groupsIn(cgroups, `opencf-dea-test-${process.pid}`)).toEqual([]);
    } finally {
      burner.kill("SIGKILL");
      await until(() => removeGroup(cgroups, `opencf-dea-test-${process.pid}`), 10_000);
    }
  }, 60_000);
});

describe("cgroups of version 2, from files", () => {
  const withRoot = (check: (root: string, put: (path: string, text: string) => void) => void): void => {
    const root = mkdtempSync(join(tmpdir(), "opencf-cgroup2-"));
    try {
      check(root, (path, text) => {
        mkdirSync(join(root, path, ".."), { recursive: true });
        writeFileSync(join(root, path), text);
      });
    } finally {
      rmSync(root, { recursive: true });
    }
  };
  test.each<[string, Record<string, string>, object]>([
    ["all there", { "memory.current": "1000\n", "memory.stat": "anon 600\nfile 400\ninactive_file 300\nactive_file 100\n", "cpu.stat": "usage_usec 1500\n", "memory.events": "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n" }, { memoryBytes: 700, cpuMs: 1.5, outOfMemoryKills: 2 }],
    ["more cache than use", { "memory.current": "100\n", "memory.stat": "inactive_file 300\n" }, { memoryBytes: 0, cpuMs: 0, outOfMemoryKills: 0 }],
    ["hit its limit and was not killed", { "memory.events": "max 7\noom 0\noom_kill 0\n" }, { memoryBytes: 0, cpuMs: 0, outOfMemoryKills: 0 }],
    ["gone", {}, { memoryBytes: 0, cpuMs: 0, outOfMemoryKills: 0 }],
  ])("use: %s", (_name, files, expected) => withRoot((root, put) => {
    for (const [name, text] of Object.entries(files)) put(`g/${name}`, text);
    expect(readUse(at(root), "g")).toEqual(expected);
  }));
  test("swap counts where a child has a limit of it", () => withRoot((root, put) => {
    put("system.slice/cgroup.procs", "");
    expect(countsSwap(at(root))).toBe(false);
    put("system.slice/memory.swap.max", "max\n");
    expect(countsSwap(at(root))).toBe(true);
  }));
  test.each([
    ["all controllers", "cpuset cpu io memory hugetlb pids\n", true], ["without memory", "cpu pids\n", false], ["without pids", "cpu memory\n", false], ["none delegated", "\n", false],
  ])("found: %s", (_name, controllers, able) => {
    const found = findCgroups("30 24 0:27 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n", () => controllers);
    expect(found !== undefined).toBe(able);
    if (able) expect(found).toMatchObject({ version: 2, hierarchies: ["/sys/fs/cgroup"] });
  });
});
