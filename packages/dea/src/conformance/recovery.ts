import { strict as assert } from "node:assert";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Container } from "../container/container.ts";
import { type ConformanceCase, owner, sh, specOf, textOf, until } from "./world.ts";

/** What the next executor finds. */
export const recoveryCases: readonly ConformanceCase[] = [
  {
    title: "another executor finds what runs, its output and its end",
    async check(context) {
      await context.backend.open({ dir: context.dir, owner });
      const spec = await specOf();
      const first = await context.backend.create(spec);
      const running = await first.run(sh("echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; exit 5"));
      running.stderr.resume();
      let out = "";
      running.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
      await until("it is up", async () => out === "one\n");
      const record = JSON.parse(JSON.stringify(first.record())) as ReturnType<Container["record"]>;
      first.release();
      // It goes on, and ends, with nobody there.
      await writeFile(join(first.homeDir, "go"), "");
      await new Promise((resolve) => setTimeout(resolve, 200));
      const backend = await context.again();
      await backend.open({ dir: context.dir, owner });
      assert.deepEqual(await backend.sweep(new Set([spec.handle])), []);
      const { container, process: found } = await backend.adopt(spec, record);
      assert.ok(found, "the process is found");
      found.stderr.resume();
      const [rest, status] = await Promise.all([textOf(found.stdout), found.exited]);
      assert.deepEqual({ rest, status }, { rest: "two\n", status: { code: 5 } });
      await container.destroy();
    },
  },
  {
    title: "adopts nobody on the word of a pid alone",
    async check(context) {
      await context.backend.open({ dir: context.dir, owner });
      const spec = await specOf();
      const container = await context.backend.create(spec);
      const running = await container.run(sh("sleep 1000"));
      running.stdout.resume();
      running.stderr.resume();
      const record = container.record();
      const { process: stranger } = await context.backend.adopt({ ...spec, handle: `${spec.handle}-x` }, record);
      assert.equal(stranger, undefined);
      await container.destroy();
      const { process: dead } = await context.backend.adopt(spec, record);
      assert.equal(dead, undefined);
    },
  },
  {
    title: "sweep: ends what nobody knows, and only what is ours",
    async check(context) {
      await context.backend.open({ dir: context.dir, owner });
      const kept = await context.backend.create(await specOf());
      const lost = await context.backend.create(await specOf());
      for (const container of [kept, lost]) {
        const running = await container.run(sh("setsid sleep 1000 & sleep 1000"));
        running.stdout.resume();
        running.stderr.resume();
        await until("both run", async () => (await container.usage()).processes >= 2);
      }
      assert.deepEqual(await context.backend.sweep(new Set([kept.handle])), [lost.handle]);
      await until("it is gone", async () => (await lost.usage()).processes === 0);
      assert.ok((await kept.usage()).processes >= 2);
      await kept.destroy();
    },
  },
];
