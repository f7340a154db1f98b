import { execFileSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createDea } from "../src/index.ts";
import { temporaryFolder, writeDroplet, writeTar } from "./fixtures/droplet.ts";
import { until } from "./fixtures/until.ts";

/** A file system of 2 MiB, or the reason why there is none. */
async function smallDisk(path: string): Promise<Disposable | string> {
  if (process.getuid?.() !== 0) return "only root can mount a small file system";
  await mkdir(path);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs", path], { stdio: "ignore" });
  } catch {
    return "mounting is not allowed here";
  }
  return { [Symbol.dispose]: () => void execFileSync("umount", ["-l", path]) };
}

test("a full disk fails the start, not the executor, and what runs goes on", async ({ skip }) => {
  await using folder = await temporaryFolder();
  const disk = await smallDisk(join(folder.path, "small"));
  if (typeof disk === "string") return skip(disk);
  using _mounted = disk;
  const droplet = await writeDroplet(join(folder.path, "small.tgz"), { x: "" }, "exec sleep 1000");
  const big = await writeTar(join(folder.path, "big.tgz"), [{ name: "app/zeros", body: Buffer.alloc(10_000_000) }]);
  const errors: string[] = [];
  const note = (event: string, data?: object): void => void errors.push(`${event} ${JSON.stringify(data)}`);
  const dea = await createDea({ dataDir: join(folder.path, "small", "dea"), diskBytes: 2 ** 40, log: { info() {}, warn: note, error: note } });
  try {
    const runs = await dea.start({ droplet, healthCheck: { type: "process" }, graceMs: 200 });
    await runs.ready;
    const fails = await dea.start({ droplet: big, command: "true", healthCheck: { type: "process" } });
    await expect(fails.ready).rejects.toMatchObject({ code: "DEA_DROPLET_UNAVAILABLE", message: expect.stringContaining("ENOSPC") });
    await fails.exited;
    // What the failed start wrote is gone: there is room again.
    const again = await dea.start({ droplet, healthCheck: { type: "process" }, graceMs: 200 });
    await again.ready;
    // Somebody else fills the disk: a snapshot cannot be written, and that is said; nothing that runs is harmed.
    await writeFile(join(folder.path, "small", "filler"), Buffer.alloc(4_000_000)).catch(() => {});
    dea.update(runs, { uris: ["a"] });
    await until(() => errors.some((line) => line.startsWith("snapshot.save")));
    expect([runs.state, again.state]).toEqual(["RUNNING", "RUNNING"]);
    expect((await runs.stop()).reason).toBe("stopped");
  } finally {
    await dea.close();
  }
});
