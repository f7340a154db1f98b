import { strict as assert } from "node:assert";
import { enforcedLimits, type LimitName } from "../container/capabilities.ts";
import type { ContainerSpec } from "../container/container.ts";
import { type ConformanceCase, need, opened, owner, path, runOn, runToEnd, sh, specOf, textOf, until } from "./world.ts";

const MiB = 1024 ** 2;
const rest = (name: LimitName): [LimitName, Partial<ContainerSpec>] | undefined => {
  const asked: Partial<Record<LimitName, Partial<ContainerSpec>>> = {
    cpuCap: { cpuCores: 0.5 },
    bandwidth: { bandwidth: { bytesPerSecond: MiB, burstBytes: MiB } },
    egress: { egress: [] },
  };
  return asked[name] && [name, asked[name]];
};

/** What is claimed is kept; what is not claimed is refused, not forgotten. */
export const limitCases: readonly ConformanceCase[] = [
  {
    title: "limits: one that is asked for and not kept is refused",
    async check({ backend, dir }) {
      await backend.open({ dir, owner });
      const kept = enforcedLimits(backend.capabilities);
      for (const name of ["cpuCap", "bandwidth", "egress"] as const) {
        const [, asked] = rest(name) ?? [];
        if (kept.includes(name)) continue;
        await assert.rejects(backend.create(await specOf(asked)), { code: "DEA_UNSUPPORTED" }, name);
      }
      assert.deepEqual(await backend.list(), []);
    },
  },
  {
    title: "limits: open files",
    async check(context) {
      need(context.backend, "fileDescriptors");
      const container = await opened(context, { fileDescriptors: 123 });
      assert.equal((await runToEnd(container, sh("ulimit -n; ulimit -Hn"))).out, "123\n123\n");
      await container.destroy();
    },
  },
  {
    title: "limits: who takes too much memory is killed, and it is named",
    async check(context) {
      need(context.backend, "memory");
      const container = await opened(context, { memoryBytes: 48 * MiB });
      const program = "const all = []; for (;;) all.push(Buffer.alloc(4e6, 1))";
      const { status } = await runToEnd(container, { argv: [process.execPath, "-e", program], env: [`PATH=${path}`] });
      assert.equal(status.outOfMemory, true);
      assert.ok(((await container.usage()).outOfMemoryKills ?? 0) >= 1);
      assert.deepEqual((await container.info()).events, ["out of memory"]);
      await container.destroy();
    },
  },
  {
    title: "limits: processes",
    async check(context) {
      need(context.backend, "pids");
      const container = await opened(context, { maxProcesses: 24 });
      const running = await container.run(sh("i=0; while [ $i -lt 100 ]; do sleep 1000 & i=$((i+1)); done; echo all; wait"));
      running.stderr.resume();
      let out = "";
      running.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
      // A shell that cannot fork gives up, or waits and tries again: in no case are there more.
      let most = 0;
      const deadline = Date.now() + 1_500;
      for (; Date.now() < deadline; await new Promise((resolve) => setTimeout(resolve, 20))) most = Math.max(most, (await container.usage()).processes);
      assert.ok(most <= 24 && !out.includes("all"), `${most} processes, ${out}`);
      await container.destroy();
    },
  },
  {
    title: "limits: disk, by bytes",
    async check(context) {
      need(context.backend, "disk");
      const container = await opened(context, { diskBytes: 24 * MiB });
      const { out, err } = await runToEnd(container, sh("dd if=/dev/zero of=fill bs=1M count=60 2>&1 | grep -o 'No space left'; rm fill; dd if=/dev/zero of=fits bs=1M count=16 2>/dev/null && echo fits"));
      assert.deepEqual({ out, err }, { out: "No space left\nfits\n", err: "" });
      assert.ok((await container.usage()).diskBytes >= 16 * MiB);
      await container.destroy();
    },
  },
  {
    title: "limits: disk, by files",
    async check(context) {
      need(context.backend, "inodes");
      const container = await opened(context, { inodes: 500 });
      const { out } = await runToEnd(container, sh("mkdir many; i=0; while [ $i -lt 2000 ]; do { true >many/$i; } 2>/dev/null || break; i=$((i+1)); done; [ $i -gt 100 ] && [ $i -lt 600 ] && echo bounded || echo $i"));
      assert.equal(out, "bounded\n");
      await container.destroy();
    },
  },
  {
    title: "limits: a cap on the processor",
    async check(context) {
      need(context.backend, "cpuCap");
      const container = await opened(context, { cpuCores: 0.2 });
      await runOn(container, "while :; do :; done");
      const from = (await container.usage()).cpuMs;
      const at = performance.now();
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      const used = (await container.usage()).cpuMs - from;
      const share = used / (performance.now() - at);
      assert.ok(share < 0.4 && used > 0, `used ${share.toFixed(2)} of a core`);
      await container.destroy();
    },
  },
  {
    title: "isolation: its own processes, user and files are all it sees",
    async check(context) {
      const { capabilities } = context.backend;
      const container = await opened(context);
      await runOn(container);
      const process_ = await container.exec(sh("echo pid $$; id -u; [ -e /proc/$1 ] && tr '\\0' ' ' </proc/$1/cmdline; ls -d \"$2\" 2>/dev/null; cat /etc/shadow 2>/dev/null; true", String(process.pid), context.dir));
      process_.stderr.resume();
      const out = await textOf(process_.stdout);
      if (capabilities.processes) assert.ok(Number(/pid (\d+)/.exec(out)?.[1]) < 1_000 && !out.includes(process.execPath), out);
      if (capabilities.user && process.getuid?.() === 0) assert.ok(!/^0$/m.test(out), out);
      if (capabilities.filesystem) assert.ok(!out.includes(context.dir) && !out.includes("root:"), out);
      await container.destroy();
    },
  },
  {
    title: "network: counts what came and went, where it has one of its own",
    async check(context) {
      const container = await opened(context);
      await runOn(container);
      if (context.backend.capabilities.network) {
        await until("the counters are there", async () => (await container.usage()).network !== undefined);
        const { containerAddress, hostAddress } = await container.info();
        assert.ok(containerAddress !== undefined && hostAddress !== undefined && containerAddress !== hostAddress);
      }
      await container.destroy();
    },
  },
];
