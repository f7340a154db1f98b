import { strict as assert } from "node:assert";
import { type ConformanceCase, opened, owner, sh, specOf, until } from "./world.ts";

/** Stop and destroy. */
export const stoppingCases: readonly ConformanceCase[] = [
  {
    title: "stop: TERM is enough for those who listen",
    async check(context) {
      const container = await opened(context);
      const running = await container.run(sh("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done"));
      running.stderr.resume();
      let out = "";
      running.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
      await until("it is up", async () => out.includes("up"));
      await container.stop({ graceMs: 10_000 });
      assert.deepEqual(await running.exited, { code: 3 });
      await container.destroy();
    },
  },
  {
    title: "stop: KILL for those who do not, after the grace",
    async check(context) {
      const container = await opened(context);
      const running = await container.run(sh("trap '' TERM; echo up; while :; do sleep 0.05; done"));
      running.stderr.resume();
      let out = "";
      running.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
      await until("it is up", async () => out.includes("up"));
      const before = Date.now();
      await container.stop({ graceMs: 300 });
      assert.ok(Date.now() - before >= 250);
      assert.deepEqual(await running.exited, { signal: "SIGKILL" });
      assert.equal((await container.usage()).processes, 0);
      await container.destroy();
    },
  },
  {
    title: "stop: children die too, also in a session of their own",
    async check(context) {
      const container = await opened(context);
      const running = await container.run(sh("sleep 1000 & setsid sleep 1000 & trap '' TERM; echo up; wait; sleep 1000"));
      running.stderr.resume();
      running.stdout.resume();
      await until("the family is there", async () => (await container.usage()).processes >= 3);
      await container.stop({ graceMs: 100 });
      assert.equal((await container.usage()).processes, 0);
      await container.destroy();
    },
  },
  {
    title: "stop: also in the moment of the start",
    async check(context) {
      await context.backend.open({ dir: context.dir, owner });
      for (let round = 0; round < 10; round++) {
        const container = await context.backend.create(await specOf());
        const running = await container.run(sh("exec sleep 1000"));
        running.stderr.resume();
        running.stdout.resume();
        await container.stop({ graceMs: round % 2 === 0 ? 0 : 5_000 });
        await running.exited;
        assert.equal((await container.usage()).processes, 0);
        await container.destroy();
      }
    },
  },
  {
    title: "destroy: kills, removes, and is quiet the second time",
    async check(context) {
      const container = await opened(context);
      const running = await container.run(sh("sleep 1000"));
      running.stdout.resume();
      running.stderr.resume();
      await container.destroy();
      await running.exited;
      await container.destroy();
      await assert.rejects(container.usage());
    },
  },
];
