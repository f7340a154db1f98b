import { strict as assert } from "node:assert";
import { readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { extract, pack } from "tar-stream";
import type { ExecSpec } from "../container/container.ts";
import { type ConformanceCase, opened, owner, path, runOn, runToEnd, sh, specOf, textOf, until } from "./world.ts";

const entriesOf = async (tar: Readable): Promise<Record<string, string>> => {
  const found: Record<string, string> = {};
  const reader = extract();
  tar.on("error", (error) => reader.destroy(error));
  tar.pipe(reader);
  for await (const entry of reader) {
    found[entry.header.name] = entry.header.type === "file" ? await textOf(entry as unknown as Readable) : `(${entry.header.type})`;
    entry.resume();
  }
  return found;
};

const code = async (what: Promise<unknown>): Promise<unknown> => what.then(() => "no error", (error: unknown) => (error as { code?: unknown }).code);

/** The rest of the port: processes beside the main one, files in and out, what there is. */
export const portCases: readonly ConformanceCase[] = [
  {
    title: "exec: runs beside the main process, with input, outputs, status and the app's folder",
    async check(context) {
      const container = await opened(context);
      await runOn(container);
      const spec: ExecSpec = { ...sh("read line; echo \"got $line\"; pwd; echo bad >&2; exit 4") };
      const process = await container.exec(spec);
      process.stdin.end("something\n");
      const [out, err, status] = await Promise.all([textOf(process.stdout), textOf(process.stderr), process.exited]);
      assert.deepEqual({ out, err, status }, { out: `got something\n${container.homeInside}\n`, err: "bad\n", status: { code: 4 } });
      await container.destroy();
    },
  },
  {
    title: "exec: can be signalled, and ends with the container",
    async check(context) {
      const container = await opened(context);
      await runOn(container);
      const asked = await container.exec(sh("trap 'exit 6' USR1; echo up; while :; do sleep 0.05; done"));
      asked.stderr.resume();
      let out = "";
      asked.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
      await until("it is up", async () => out.includes("up"));
      await asked.signal("SIGUSR1");
      assert.deepEqual(await asked.exited, { code: 6 });
      const other = await container.exec(sh("sleep 1000"));
      other.stdout.resume();
      other.stderr.resume();
      await container.stop({ graceMs: 0 });
      await other.exited;
      await container.destroy();
      assert.notEqual(other.id, asked.id);
    },
  },
  {
    title: "exec: with a terminal, whose size can change",
    async check(context) {
      const container = await opened(context);
      await runOn(container);
      const process = await container.exec({
        argv: ["/bin/sh", "-c", "tty >/dev/null && stty size; trap 'stty size; case $(stty size) in \"33 77\") exit 0 ;; esac' WINCH; echo up; while :; do sleep 0.05; done"],
        env: [`PATH=${path}`],
        terminal: { columns: 91, rows: 17 },
      });
      let out = "";
      process.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
      await until("it is up", async () => out.includes("up"));
      assert.match(out, /^17 91\r\nup\r\n/);
      // Rows and columns may change one after the other.
      await process.resize({ columns: 77, rows: 33 });
      assert.deepEqual(await process.exited, { code: 0 });
      await until("the new size is said", async () => out.endsWith("33 77\r\n"));
      await container.destroy();
    },
  },
  {
    title: "exec: only while something runs",
    async check(context) {
      const container = await opened(context);
      assert.equal(await code(container.exec(sh("true"))), "DEA_CONTAINER");
      await runToEnd(container, sh("true"));
      assert.equal(await code(container.exec(sh("true"))), "DEA_CONTAINER");
      await container.destroy();
    },
  },
  {
    title: "attach and info: what runs, and since it ended that it ended",
    async check(context) {
      const spec = await specOf({ labels: { app: "a" } });
      await context.backend.open({ dir: context.dir, owner });
      const container = await context.backend.create(spec);
      assert.equal(container.attach(), undefined);
      assert.equal((await container.info()).state, "created");
      const running = await container.run(sh("trap 'exit 0' USR1; while :; do sleep 0.05; done"));
      running.stdout.resume();
      running.stderr.resume();
      assert.equal(container.attach(), running);
      const { state, labels, ports } = await container.info();
      assert.deepEqual({ state, labels, ports }, { state: "running", labels: { app: "a" }, ports: [{ host: spec.hostPort, container: container.containerPort }] });
      await container.stop({ graceMs: 0 });
      await running.exited;
      assert.equal((await container.info()).state, "stopped");
      await container.destroy();
      assert.equal(await code(container.info()), "DEA_CONTAINER");
    },
  },
  {
    title: "files: a tar in, a tar out, and the app owns them",
    async check(context) {
      const container = await opened(context);
      await runOn(container);
      const tar = pack();
      tar.entry({ name: "deep/er/", type: "directory" });
      tar.entry({ name: "deep/one", mode: 0o640 }, "first");
      tar.entry({ name: "link", type: "symlink", linkname: "deep/one" });
      tar.finalize();
      await container.streamIn("box", tar as unknown as Readable);
      const process = await container.exec(sh("cat box/link && echo more >>box/deep/one && touch box/deep/er/two"));
      assert.equal(await textOf(process.stdout), "first");
      assert.deepEqual(await process.exited, { code: 0 });
      assert.deepEqual(await entriesOf(await container.streamOut("box")), {
        box: "(directory)", "box/deep": "(directory)", "box/deep/er": "(directory)", "box/deep/er/two": "", "box/deep/one": "firstmore\n", "box/link": "(symlink)",
      });
      await container.stop({ graceMs: 0 });
      assert.deepEqual(await entriesOf(await container.streamOut("box/deep/one")), { one: "firstmore\n" });
      await container.destroy();
    },
  },
  {
    title: "files: nothing is read or written through a link, or outside",
    async check(context) {
      const container = await opened(context);
      const outside = join(context.dir, `outside-${Date.now()}`);
      await writeFile(outside, "mine");
      await symlink(context.dir, join(container.homeDir, "out"));
      const tarOf = (name: string): Readable => {
        const tar = pack();
        tar.entry({ name }, "theirs");
        tar.finalize();
        return tar as unknown as Readable;
      };
      const name = outside.slice(context.dir.length + 1);
      assert.equal(await code(container.streamOut(`out/${name}`)), "DEA_CONTAINER");
      assert.equal(await code(container.streamOut("../x")), "DEA_DROPLET_UNSAFE");
      assert.equal(await code(container.streamOut("nothing")), "DEA_CONTAINER");
      assert.equal(await code(container.streamIn("out", tarOf(name))), "DEA_CONTAINER");
      assert.equal(await code(container.streamIn(".", tarOf(`out/${name}`))), "DEA_CONTAINER");
      assert.equal(await code(container.streamIn(".", tarOf("../x"))), "DEA_DROPLET_UNSAFE");
      // What stands in the way is replaced, not followed.
      await symlink(outside, join(container.homeDir, "way"));
      await container.streamIn(".", tarOf("way"));
      assert.equal(await readFile(outside, "utf8"), "mine");
      assert.equal(await readFile(join(container.homeDir, "way"), "utf8"), "theirs");
      await container.destroy();
    },
  },
  {
    title: "list, ping and capacity",
    async check(context) {
      await context.backend.open({ dir: context.dir, owner });
      await context.backend.ping();
      const capacity = await context.backend.capacity();
      assert.ok(capacity.memoryBytes > 0 && capacity.diskBytes > 0 && capacity.maxContainers > 0);
      const first = await context.backend.create(await specOf({ labels: { app: "a", zone: "z" } }));
      const second = await context.backend.create(await specOf({ labels: { app: "b", zone: "z" } }));
      const handles = async (labels?: Record<string, string>): Promise<string[]> => (await context.backend.list(labels)).map(({ handle }) => handle);
      assert.deepEqual(await handles(), [first.handle, second.handle].sort());
      assert.deepEqual(await handles({ zone: "z", app: "b" }), [second.handle]);
      assert.deepEqual(await handles({ zone: "y" }), []);
      assert.equal(await code(context.backend.create(await specOf({ handle: first.handle }))), "DEA_CONTAINER");
      await Promise.all([first.destroy(), second.destroy()]);
      assert.deepEqual(await handles(), []);
    },
  },
];
