import { chmod, copyFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDea, type DeaOptions, MiB } from "../../src/index.ts";
import { linuxBackend } from "../../src/linux/linux-backend.ts";
import { probeLinux } from "../../src/linux/probe.ts";
import { temporaryFolder, writeDroplet } from "../fixtures/droplet.ts";
import { tracesOf } from "../fixtures/linux-traces.ts";

const host = await probeLinux();
const lacks = host.findings.filter(({ ok, needed }) => needed && !ok).map(({ name }) => name).join(", ");

describe.skipIf(!host.able)(`faults: the OCI runtime${host.able ? "" : ` (this machine lacks ${lacks})`}`, () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let droplet: string;
  const real = host.runtime?.path ?? "";
  beforeAll(async () => {
    folder = await temporaryFolder();
    droplet = await writeDroplet(join(folder.path, "app.tgz"), { x: "" }, "echo here; exec sleep 1000");
  });
  afterAll(() => folder[Symbol.asyncDispose]());
  const spec = (): { droplet: string; memoryBytes: number; diskBytes: number; healthCheck: { type: "process" }; graceMs: number } => ({ droplet, memoryBytes: 32 * MiB, diskBytes: 16 * MiB, healthCheck: { type: "process" }, graceMs: 500 });
  const open = async (runtime: string, more: DeaOptions = {}) => createDea({ backend: await linuxBackend({ runtime }), dataDir: join(folder.path, "dea"), samplingMs: 200, memoryBytes: 1_024 * MiB, ...more });

  test("is missing at the start: DEA_UNSUPPORTED, and what to do", async () => {
    await expect(linuxBackend({ runtime: join(folder.path, "nothing-here") })).rejects.toMatchObject({ code: "DEA_UNSUPPORTED", message: expect.stringMatching(/runtime/i) as string });
  });

  test("goes missing: what runs goes on and can be stopped, starts fail and say it, and work again when it is back", async () => {
    const runtime = join(folder.path, host.runtime?.name ?? "runc");
    await copyFile(real, runtime);
    await chmod(runtime, 0o755);
    const dea = await open(runtime);
    try {
      const [one, two] = [await dea.start(spec()), await dea.start(spec())];
      await Promise.all([one.ready, two.ready]);
      // Without a health check of its own an instance is ready once it is begun: the runtime may not have been called yet.
      for (const instance of [one, two]) for await (const line of instance.logs()) if (line.text === "here") break;
      await rename(runtime, `${runtime}.away`);
      const failed = await dea.start(spec());
      await expect(failed.ready).rejects.toMatchObject({ code: "DEA_CONTAINER", message: expect.stringContaining(runtime) as string });
      expect((await failed.exited).reason).toBe("start-failed");
      expect([one.state, two.state]).toEqual(["RUNNING", "RUNNING"]);
      const stopped = await one.stop();
      expect(stopped.reason).toBe("stopped");
      expect(stopped.left).toBeUndefined();
      await rename(`${runtime}.away`, runtime);
      const third = await dea.start(spec());
      await third.ready;
    } finally {
      await dea.close();
    }
    expect(await tracesOf(dea.id, join(folder.path, "dea", "instances"))).toEqual([]);
  }, 120_000);

  test("fails to kill and to delete: containers end and go all the same", async () => {
    const wrapper = join(folder.path, "stubborn");
    await writeFile(wrapper, `#!/bin/sh\nfor word in "$@"; do case $word in kill|delete) echo "cannot" >&2; exit 1;; esac; done\nexec "${real}" "$@"\n`, { mode: 0o755 });
    const dea = await open(wrapper);
    try {
      const instance = await dea.start(spec());
      await instance.ready;
      expect(await instance.stop()).toMatchObject({ reason: "stopped" });
      expect(instance.exit?.left).toBeUndefined();
    } finally {
      await dea.close();
    }
    expect(await tracesOf(dea.id, join(folder.path, "dea", "instances"))).toEqual([]);
  }, 120_000);
});
