import { randomUUID } from "node:crypto";
import { strict as assert } from "node:assert";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { Backend, Container, ContainerSpec, ExitStatus } from "./container/container.ts";
import { createPortPool } from "./port-pool.ts";

/** What a case gets: a fresh backend that was not opened yet, and an empty folder. */
export interface ConformanceContext {
  backend: Backend;
  /** Another backend object of the same kind, as after a restart of the executor. */
  again(): Promise<Backend>;
  dir: string;
}

export interface ConformanceCase {
  title: string;
  check(context: ConformanceContext): Promise<void>;
}

// Two runs on one machine must not take each other's processes for their own leftovers.
const owner = `conformance-${randomUUID()}`;
const ports = createPortPool();
let counter = 0;

async function specOf(): Promise<ContainerSpec> {
  const port = await ports.take();
  port[Symbol.dispose]();
  return { handle: `case-${process.pid}-${counter++}`, hostPort: port.number, memoryBytes: 256 * 1024 ** 2, diskBytes: 64 * 1024 ** 2, fileDescriptors: 256 };
}

const path = process.env["PATH"] ?? "/usr/bin:/bin";
const sh = (script: string, ...args: string[]): { argv: string[]; env: string[] } => ({ argv: ["/bin/sh", "-c", script, "case", ...args], env: [`PATH=${path}`] });

async function textOf(stream: Readable): Promise<string> {
  let text = "";
  stream.setEncoding("utf8");
  for await (const chunk of stream) text += chunk as string;
  return text;
}

async function until(what: string, check: () => Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; !(await check()); ) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function opened({ backend, dir }: ConformanceContext): Promise<Container> {
  await backend.open({ dir, owner });
  return await backend.create(await specOf());
}

/** Runs to the end and answers everything it said. */
async function runToEnd(container: Container, spec: { argv: string[]; env: string[] }): Promise<{ status: ExitStatus; out: string; err: string }> {
  const running = await container.run(spec);
  const [out, err, status] = await Promise.all([textOf(running.stdout), textOf(running.stderr), running.exited]);
  return { status, out, err };
}

/** Backend cases, for any test runner. */
export const backendCases: readonly ConformanceCase[] = [
  {
    title: "says what it does not isolate",
    async check({ backend }) {
      const { capabilities } = backend;
      const open = !capabilities.filesystem || !capabilities.network || !capabilities.processes || !capabilities.user || capabilities.memory !== "kernel";
      assert.equal(capabilities.warnings.length > 0, open, "warnings must name what is missing, and only that");
    },
  },
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

export interface ConformanceOptions {
  /** `test` of vitest, node:test or another runner. */
  test(title: string, run: () => Promise<void>): unknown;
  /** Makes a backend, and an empty folder for it; called for each case. */
  make(): Promise<{ backend: Backend; again?: () => Promise<Backend>; dir: string } & Partial<AsyncDisposable>>;
  /** Cases this backend cannot pass, with the reason: they are shown and not run. */
  cannot?: Readonly<Record<string, string>>;
}

/** Registers all cases with a test runner. */
export function backendConformance(name: string, { test, make, cannot = {} }: ConformanceOptions): void {
  for (const { title, check } of backendCases) {
    const reason = cannot[title];
    if (reason !== undefined) {
      test(`${name} cannot: ${title} (${reason})`, async () => {});
      continue;
    }
    test(`${name}: ${title}`, async () => {
      const made = await make();
      try {
        await check({ backend: made.backend, again: made.again ?? (async () => made.backend), dir: made.dir });
      } finally {
        await made.backend.open({ dir: made.dir, owner }).catch(() => {});
        await made.backend.sweep(new Set()).catch(() => {});
        await made.backend[Symbol.asyncDispose]();
        await made[Symbol.asyncDispose]?.();
      }
    });
  }
}
