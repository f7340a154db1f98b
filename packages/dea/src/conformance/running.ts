import { strict as assert } from "node:assert";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ConformanceCase, opened, owner, path, runToEnd, sh, specOf, until } from "./world.ts";

/** From the start of the main process to its end. */
export const runningCases: readonly ConformanceCase[] = [
  {
    title: "runs a process and keeps its two outputs apart",
    async check(context) {
      const container = await opened(context);
      const { status, out, err } = await runToEnd(container, sh("echo one; echo two >&2; exit 7"));
      assert.deepEqual({ status, out, err }, { status: { code: 7 }, out: "one\n", err: "two\n" });
      await container.destroy();
    },
  },
  {
    title: "tells a signal from a status",
    async check(context) {
      const container = await opened(context);
      const { status, err } = await runToEnd(container, sh("kill -9 $$"));
      assert.deepEqual({ status, err }, { status: { signal: "SIGKILL" }, err: "" });
      await container.destroy();
    },
  },
  {
    title: "gives arguments and environment to the kernel as they are",
    async check(context) {
      const container = await opened(context);
      const values = { A: "$HOME `id` $(id) \\", B: "two\nlines\n", C: "\"'\"'", D: "", E: "ends with \\", "dots.are-names": "x", F: "ü € 😀" };
      const program = "process.stdout.write(JSON.stringify([process.env, process.argv.slice(1)]))";
      const env = [`PATH=${path}`, ...Object.entries(values).map(([name, value]) => `${name}=${value}`)];
      const { out } = await runToEnd(container, { argv: [process.execPath, "-e", program, "$A", "a b"], env });
      const [seen, args] = JSON.parse(out) as [Record<string, string>, string[]];
      for (const [name, value] of Object.entries(values)) assert.equal(seen[name], value, name);
      assert.deepEqual(args, ["$A", "a b"]);
      await container.destroy();
    },
  },
  {
    title: "runs without a port on the host: 0 is none",
    async check(context) {
      await context.backend.open({ dir: context.dir, owner });
      const containers = [];
      // Two at once: no port is no port, not the port 0.
      for (let at = 0; at < 2; at++) containers.push(await context.backend.create(await specOf({ hostPort: 0 })));
      for (const container of containers) assert.equal((await runToEnd(container, sh("echo ran"))).out, "ran\n");
      for (const container of containers) await container.destroy();
    },
  },
  {
    title: "gives nothing of the executor's environment",
    async check(context) {
      process.env["OPENCF_TEST_SECRET"] = "secret";
      try {
        const container = await opened(context);
        const { out } = await runToEnd(container, sh("env"));
        assert.ok(!out.includes("OPENCF_TEST_SECRET"));
        await container.destroy();
      } finally {
        delete process.env["OPENCF_TEST_SECRET"];
      }
    },
  },
  {
    title: "starts in the home folder",
    async check(context) {
      const container = await opened(context);
      await writeFile(join(container.homeDir, "mark"), "here");
      const { out } = await runToEnd(container, sh("cat mark; pwd"));
      assert.equal(out, `here${container.homeInside}\n`);
      await container.destroy();
    },
  },
  {
    title: "runs nothing before its record is stored",
    async check(context) {
      const container = await opened(context);
      let stored = false;
      let early = false;
      const running = await container.run(sh("echo ran"), async () => {
        await new Promise((resolve) => setTimeout(resolve, 100));
        stored = true;
      });
      running.stdout.on("data", () => (early ||= !stored));
      running.stderr.resume();
      await running.exited;
      assert.ok(stored && !early);
      await container.destroy();
    },
  },
  {
    title: "the end of the main process ends its children, and the outputs",
    async check(context) {
      const container = await opened(context);
      const { status, out } = await runToEnd(container, sh("sleep 1000 & setsid sleep 1000 & sleep 0.1; echo done; exit 0"));
      assert.deepEqual(status, { code: 0 });
      assert.equal(out, "done\n");
      await until("nobody is left", async () => (await container.usage()).processes === 0);
      await container.destroy();
    },
  },
  {
    title: "measures memory, processor and disk",
    async check(context) {
      const container = await opened(context);
      const program = "const b = Buffer.alloc(60e6, 1); require('fs').writeFileSync('big', Buffer.alloc(3e6)); while (process.cpuUsage().user < 300e3); console.log('up'); setInterval(() => b[0], 1000)";
      const running = await container.run({ argv: [process.execPath, "-e", program], env: [`PATH=${path}`] });
      running.stderr.resume();
      running.stdout.resume();
      await until("memory shows", async () => {
        const usage = await container.usage();
        return usage.memoryBytes > 60e6 && usage.memoryBytes < 300e6 && usage.cpuMs >= 200 && usage.diskBytes >= 3e6 && usage.processes === 1;
      });
      await container.destroy();
    },
  },
];
