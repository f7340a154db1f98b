import { execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { rememberEphemeral } from "../src/linux/ephemeral.ts";
import { linuxBackend } from "../src/linux/linux-backend.ts";
import { ownerNames } from "../src/linux/names.ts";
import { probeLinux } from "../src/linux/probe.ts";
import { createPortPool } from "../src/port-pool.ts";
import { containerEnv as env } from "./fixtures/linux-cell.ts";
import { containerLinks, tracesOf } from "./fixtures/linux-traces.ts";
import { until } from "./fixtures/until.ts";

const host = await probeLinux();
const MiB = 1024 ** 2;

describe.skipIf(!host.able)("linux backend: what is left behind", () => {
  test("a killed executor's containers are found by name and removed with everything they had; foreign things stay", async () => {
    const owner = `left-${randomUUID()}`;
    const dir = await mkdtemp(join(tmpdir(), "opencf-dea-left-"));
    const foreign = `foreign_${process.pid}`;
    const link = `for${process.pid % 100_000}`;
    execFileSync("nft", ["add", "table", "inet", foreign]);
    execFileSync("ip", ["link", "add", link, "type", "veth", "peer", "name", `${link}p`]);
    try {
      const port = await createPortPool().take();
      const first = await linuxBackend();
      await first.open({ dir, owner });
      const spec = { handle: "lost", hostPort: port.number, memoryBytes: 64 * MiB, diskBytes: 16 * MiB, fileDescriptors: 256 };
      const container = await first.create(spec);
      // Two that are half made: never started, and with nothing but a folder.
      await first.create({ ...spec, handle: "made", hostPort: port.number + 1 });
      const running = await container.run({ argv: ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1000; done"], env });
      running.stdout.resume();
      running.stderr.resume();
      await until(async () => (await container.usage()).processes > 0, 30_000);
      container.release();
      expect((await tracesOf(owner, dir)).length).toBeGreaterThan(5);
      const links = containerLinks();
      const second = await linuxBackend();
      await second.open({ dir, owner });
      expect((await second.sweep(new Set())).sort()).toEqual(["lost", "made"]);
      await second[Symbol.asyncDispose]();
      expect(await tracesOf(owner, dir)).toEqual([]);
      expect(containerLinks().length).toBeLessThan(links.length);
      const tables = execFileSync("nft", ["list", "tables"], { encoding: "utf8" });
      expect(tables).toContain(foreign);
      expect(tables).not.toContain(ownerNames(owner).table);
      expect(existsSync(`/sys/class/net/${link}`)).toBe(true);
    } finally {
      execFileSync("nft", ["delete", "table", "inet", foreign]);
      execFileSync("ip", ["link", "delete", link]);
      await rm(dir, { recursive: true, force: true });
    }
  }, 120_000);

  test("a temporary executor that was killed is cleared away by the next that starts, whoever that is", async () => {
    const folder = await mkdtemp(join(tmpdir(), "opencf-dea-killed-"));
    const dir = join(folder, "instances");
    const owner = `killed-${randomUUID()}`;
    const other = await mkdtemp(join(tmpdir(), "opencf-dea-other-"));
    try {
      const port = await createPortPool().take();
      const first = await linuxBackend();
      await first.open({ dir, owner, ephemeral: folder });
      const container = await first.create({ handle: "lost", hostPort: port.number, memoryBytes: 64 * MiB, diskBytes: 16 * MiB, fileDescriptors: 256 });
      const running = await container.run({ argv: ["/bin/sh", "-c", "while :; do sleep 1000; done"], env });
      running.stdout.resume();
      running.stderr.resume();
      await until(async () => (await container.usage()).processes > 0, 30_000);
      container.release();
      const next = async (): Promise<void> => {
        const backend = await linuxBackend();
        await backend.open({ dir: other, owner: `other-${randomUUID()}` });
        await backend[Symbol.asyncDispose]();
      };
      // While it lives (this process) nobody touches it.
      await next();
      expect((await container.usage()).processes).toBeGreaterThan(0);
      const dead = spawn("sleep", ["1000"]);
      await rememberEphemeral(ownerNames(owner), { dir, owner, ephemeral: folder }, dead.pid);
      dead.kill("SIGKILL");
      await new Promise((resolve) => dead.once("exit", resolve));
      await next();
      expect(await tracesOf(owner, dir)).toEqual([]);
      expect(existsSync(folder)).toBe(false);
    } finally {
      await rm(folder, { recursive: true, force: true });
      await rm(other, { recursive: true, force: true });
    }
  }, 120_000);
});
