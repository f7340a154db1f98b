import { execFileSync } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { createDea } from "../src/index.ts";
import { journalPath } from "../src/journal/journal.ts";
import { temporaryFolder, writeDroplet, writeTar } from "./fixtures/droplet.ts";
import { until } from "./fixtures/until.ts";

vi.setConfig({ testTimeout: 120_000 });

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
  const notes: string[] = [];
  const note = (event: string, data?: object): void => void errors.push(`${event} ${JSON.stringify(data)}`);
  const dea = await createDea({ dataDir: join(folder.path, "small", "dea"), diskBytes: 2 ** 40, samplingMs: 100, log: { info: (event) => void notes.push(event), warn: note, error: note } });
  try {
    const runs = await dea.start({ droplet, healthCheck: { type: "process" }, graceMs: 200 });
    await runs.ready;
    const fails = await dea.start({ droplet: big, command: "true", healthCheck: { type: "process" } });
    await expect(fails.ready).rejects.toMatchObject({ code: "DEA_DROPLET_UNAVAILABLE", message: expect.stringContaining("ENOSPC") });
    await fails.exited;
    // What the failed start wrote is gone: there is room again.
    const again = await dea.start({ droplet, healthCheck: { type: "process" }, graceMs: 200 });
    await again.ready;
    // Somebody else fills the disk: the journal cannot be written, and that is said; nothing that runs is harmed.
    const filler = join(folder.path, "small", "filler");
    await writeFile(filler, Buffer.alloc(4_000_000)).catch(() => {});
    await until(() => {
      dea.update(runs, { uris: ["a".repeat(1_000)] });
      return errors.some((line) => line.startsWith("journal.write"));
    });
    expect([runs.state, again.state]).toEqual(["RUNNING", "RUNNING"]);
    expect((await runs.stop()).reason).toBe("stopped");
    // There is room again: what could not be written is made up for, without anybody asking.
    await rm(filler);
    await until(() => notes.includes("journal.caught-up"));
    const told = async (): Promise<string> => await readFile(journalPath(join(folder.path, "small", "dea")), "utf8");
    expect(await told()).toContain(again.id);
    // Not a word of who has gone, or the last word is that it has.
    await until(async () => (await told()).split("\n").findLast((line) => line.includes(runs.id))?.includes(`{"drop":"${runs.id}"}`) ?? true);
    // A disk that is full when an executor starts keeps it from nothing that it needs to take over what runs.
    await dea.close({ instances: "keep" });
    await writeFile(filler, Buffer.alloc(4_000_000)).catch(() => {});
    await using next = await createDea({ dataDir: join(folder.path, "small", "dea"), diskBytes: 2 ** 40, samplingMs: 100, log: { info() {}, warn: note, error: note } });
    expect(next.resumed.adopted.map(({ id, state }) => ({ id, state }))).toEqual([{ id: again.id, state: "RUNNING" }]);
    expect((await next.resumed.adopted[0]?.stop())?.reason).toBe("stopped");
  } finally {
    await dea.close();
  }
});
