import { createHash } from "node:crypto";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createLayers } from "../src/droplet/layers.ts";
import { createDea, type Dea, type Instance, MiB } from "../src/index.ts";
import { linuxBackend } from "../src/linux/linux-backend.ts";
import { probeLinux } from "../src/linux/probe.ts";
import { silentLogger, systemClock } from "../src/ports.ts";
import { temporaryFolder, writeDroplet, writeTar } from "./fixtures/droplet.ts";

const host = await probeLinux();
const script = `
id -u; stat -c '%u %a' staging.txt ../deps; cat staging.txt
echo $CF_INSTANCE_INDEX >staging.txt && mkdir -p deep && echo more >deep/er.txt && chmod 600 staging.txt && mv tool.sh other.sh && rm gone.txt
cat staging.txt; ls; echo by name >/dev/stdout; (echo 3 >/proc/1/fd/3) 2>/dev/null || echo refused; echo done; exec sleep 1000`;
const files = { "staging.txt": "as staged\n", "tool.sh": "#!/bin/sh\n", "gone.txt": "x" };

describe.skipIf(!host.able)(`a droplet that instances share${host.able ? "" : " (this machine cannot run the linux backend)"}`, () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let path: string;
  let sha256: string;
  let dea: Dea;
  const cache = (): string => join(folder.path, "cache");
  beforeAll(async () => {
    folder = await temporaryFolder();
    path = await writeDroplet(join(folder.path, "app.tgz"), files, script);
    sha256 = createHash("sha256").update(await readFile(path)).digest("hex");
    dea = await createDea({ backend: await linuxBackend(), dropletCacheDir: cache(), memoryBytes: 1_024 * MiB });
  }, 60_000);
  afterAll(async () => {
    await dea.close();
    await folder[Symbol.asyncDispose]();
  }, 60_000);

  const start = (index: number, diskBytes = 64 * MiB): Promise<Instance> => dea.start({ droplet: { path, sha256 }, index, memoryBytes: 64 * MiB, diskBytes, healthCheck: { type: "process" }, graceMs: 0 });
  const words = async (instance: Instance): Promise<string[]> => {
    const said: string[] = [];
    for await (const { stream, text } of instance.logs({ signal: AbortSignal.timeout(60_000) })) {
      if (stream !== "platform") said.push(text);
      if (text === "done") return said;
    }
    throw new Error(`said only ${said.join(", ")}`);
  };

  test("each owns what it sees and changes only its own; it is unpacked once; outputs can be opened by name, the pipe of the first process cannot", async () => {
    const instances = await Promise.all([start(0), start(1)]);
    const said = await Promise.all(instances.map(words));
    expect(said).toEqual([0, 1].map((index) => ["1000", "1000 755", "1000 755", "as staged", String(index), "deep", "other.sh", "staging.txt", "by name", "refused", "done"]));
    const layer = join(cache(), "layers", `sha256-${sha256}`);
    expect(await readFile(join(layer, "app/staging.txt"), "utf8")).toBe("as staged\n");
    expect((await readdir(join(layer, "app"))).sort()).toEqual(["gone.txt", "staging.txt", "tool.sh"]);
    expect((await stat(join(layer, "app/staging.txt"))).uid).toBe(process.getuid?.());
    expect(await readdir(join(cache(), "layers"))).toHaveLength(2);
    await Promise.all(instances.map((instance) => instance.stop()));
    expect(await readFile("/proc/self/mountinfo", "utf8")).not.toContain(layer);
  }, 120_000);

  test("an instance whose disk is too small for it is refused, others are not", async () => {
    const big = await writeTar(join(folder.path, "big.tgz"), [{ name: "app/zeros", body: Buffer.alloc(3 * MiB) }, { name: "staging_info.yml", body: '{"start_command":"sleep 1000"}' }]);
    const source = { path: big, sha256: createHash("sha256").update(await readFile(big)).digest("hex") };
    const outcomes = await Promise.all([1, 16].map(async (mib) => {
      const instance = await dea.start({ droplet: source, memoryBytes: 64 * MiB, diskBytes: mib * MiB, healthCheck: { type: "process" }, graceMs: 0 });
      const ready = await instance.ready.then(() => "ready", () => instance.exit?.description);
      await instance.stop();
      return ready;
    }));
    expect(outcomes[0]).toBe("disk quota exceeded");
    expect(outcomes[1]).toBe("ready");
  }, 120_000);
});

describe("the cache of layers", () => {
  test("what exceeds the space leaves, the least recently used first; what is in the middle of being made is not taken for whole", async () => {
    await using folder = await temporaryFolder();
    const archive = await writeDroplet(join(folder.path, "a.tgz"), { f: "x".repeat(1_000) });
    let now = Date.now();
    const layers = createLayers({ dir: join(folder.path, "layers"), bytes: 2_500, clock: { ...systemClock, now: () => now }, log: silentLogger });
    const { signal } = new AbortController();
    for (const key of ["one", "two", "three"]) {
      await layers.open(key, archive, { maxBytes: MiB, signal });
      now += 1_000;
    }
    const there = async (): Promise<string[]> => (await readdir(join(folder.path, "layers"))).filter((name) => !name.endsWith(".json")).sort();
    await layers.reap(() => true);
    expect(await there()).toEqual(["one", "three", "two"]);
    now += 120_000;
    await layers.open("one", archive, { maxBytes: MiB, signal });
    await layers.reap(() => true);
    expect(await there()).toEqual(["one", "three"]);
    now += 120_000;
    await layers.reap((key) => key === "one");
    expect(await there()).toEqual(["one"]);
  });

  test("a layer of another boot, or without its note, is made anew", async () => {
    await using folder = await temporaryFolder();
    const archive = await writeDroplet(join(folder.path, "a.tgz"), { f: "whole" });
    const dir = join(folder.path, "layers");
    const open = (): Promise<{ dir: string }> => createLayers({ dir, bytes: MiB, clock: systemClock, log: silentLogger }).open("k", archive, { maxBytes: MiB, signal: new AbortController().signal });
    await open();
    for (const spoil of [() => rm(join(dir, "k.json")), () => writeFile(join(dir, "k.json"), '{"boot":"another","bytes":5,"entries":1}')]) {
      await writeFile(join(dir, "k/app/f"), "half");
      await spoil();
      await open();
      expect(await readFile(join(dir, "k/app/f"), "utf8")).toBe("whole");
    }
    expect(await readdir(dir)).toHaveLength(2);
  });
});
