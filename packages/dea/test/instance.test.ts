import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readProcesses } from "../src/container/process-table.ts";
import { createDea, type Dea, type Instance, type InstanceChange, MiB, type StartSpec } from "../src/index.ts";
import { temporaryFolder, webServer, writeDroplet, writeTar } from "./fixtures/droplet.ts";
import { until } from "./fixtures/until.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let dea: Dea;
let empty: string;
let counter = 0;

beforeAll(async () => {
  folder = await temporaryFolder();
  empty = await writeDroplet(join(folder.path, "empty.tgz"), { "a-file": "" });
  dea = await createDea({ dataDir: join(folder.path, "dea"), samplingMs: 100, diskBytes: 100 * 1024 * MiB, memoryBytes: 100 * 1024 * MiB });
});
afterAll(async () => {
  await dea.close();
  await folder[Symbol.asyncDispose]();
});

const run = (command: string, spec: Partial<StartSpec> = {}): Promise<Instance> =>
  dea.start({ droplet: empty, command, memoryBytes: 256 * MiB, healthCheck: { type: "process" }, graceMs: 500, ...spec });
const droplet = (files: Record<string, string>, command?: string): Promise<string> => writeDroplet(join(folder.path, `d${counter++}.tgz`), files, command);
const textsOf = async (instance: Instance): Promise<string[]> => {
  const texts: string[] = [];
  for await (const line of instance.logs()) if (line.stream !== "platform") texts.push(line.text);
  return texts;
};
const familyOf = async (instance: Instance): Promise<number> => {
  let found = 0;
  for (const { pid } of readProcesses()) {
    if ((await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "")).includes(`/${instance.id}`)) found += 1;
  }
  return found;
};

describe("how instances end", () => {
  test.each([
    ["crashes at the start", "echo dying; exit 3", {}, "exit:3", "app instance exited"],
    ["a clean exit of an app is a crash too", "exit 0", {}, "exit:0", "app instance exited"],
    ["dies by a signal", "kill -SEGV $$", {}, "signal:SIGSEGV", "app instance exited"],
    ["the command does not exist", "no-such-program", {}, "exit:127", "app instance exited"],
    ["never listens", "sleep 1000", { healthCheck: { type: "port", timeoutMs: 400 } }, "port-timeout", "failed to accept connections within health check timeout"],
    ["answers nothing over HTTP", "sleep 1000", { healthCheck: { type: "http", timeoutMs: 400 } }, "http-timeout", "failed to answer its HTTP health check within health check timeout"],
    ["eats memory", `exec node -e "const a=[]; setInterval(() => a.push(Buffer.alloc(5e6, 1)), 5)"`, { memoryBytes: 100 * MiB }, "oom", "out of memory"],
    ["fills the disk", "while :; do head -c 1000000 /dev/zero >> big; sleep 0.01; done", { diskBytes: 20 * MiB }, "disk-quota", "disk quota exceeded"],
    ["children together eat memory", `for i in 1 2 3 4; do node -e "const b=Buffer.alloc(40e6,1); setInterval(()=>b[0],1e3)" & done; wait`, { memoryBytes: 150 * MiB }, "oom", "out of memory"],
  ] as [string, string, Partial<StartSpec>, string, string][])("%s", async (_name, command, spec, reason, description) => {
    const instance = await run(command, spec);
    const exit = await instance.exited;
    expect(exit).toMatchObject({ reason, description });
    expect(instance.state).toBe("CRASHED");
    expect(await familyOf(instance)).toBe(0);
    expect(dea.instances()).toContain(instance);
  });

  test("ready rejects with the code, the reason and the last lines", async () => {
    const instance = await run("echo one; echo two >&2; exit 3", { healthCheck: { type: "port" } });
    await expect(instance.ready).rejects.toMatchObject({ name: "DeaError", code: "DEA_EXITED" });
    const error = (await instance.ready.catch((thrown: unknown) => thrown)) as { lines: string[]; message: string };
    expect([...error.lines].sort()).toEqual(["one", "two"]);
    expect(error.message).toContain("exit:3");
    expect(error.message).toContain("two");
  });

  test.each([
    ["no command", () => droplet({}), "DEA_NO_COMMAND", "no-command", "missing start command"],
    ["no such file", async () => "/no/such/droplet.tgz", "DEA_DROPLET_UNAVAILABLE", "droplet-missing", /^failed to start: cannot read/],
    ["an unsafe droplet", () => writeTar(join(folder.path, `evil${counter++}.tgz`), [{ name: "../evil", body: "" }]), "DEA_DROPLET_UNSAFE", "droplet", /leads out/],
    ["staging_info.yml is a link to a file of the host", () => writeTar(join(folder.path, `link${counter++}.tgz`), [{ name: "staging_info.yml", type: "symlink", linkname: "/etc/passwd" }]), "DEA_START_FAILED", "start-failed", /not a plain file/],
    ["staging_info.yml is broken", () => writeTar(join(folder.path, `bad${counter++}.tgz`), [{ name: "staging_info.yml", body: "a: [" }]), "DEA_START_FAILED", "start-failed", /cannot be parsed/],
    ["app is a link", () => writeTar(join(folder.path, `app${counter++}.tgz`), [{ name: "app", type: "symlink", linkname: "/tmp" }]), "DEA_START_FAILED", "start-failed", /not a folder/],
  ] as [string, () => Promise<string>, string, string, string | RegExp][])("cannot start: %s", async (_name, make, code, reason, description) => {
    const instance = await dea.start({ droplet: await make() });
    await expect(instance.ready).rejects.toMatchObject({ code });
    const exit = await instance.exited;
    expect(exit.reason).toBe(reason);
    expect(exit.description).toMatch(description);
    expect(instance.state).toBe("CRASHED");
  });

  test("a running app that stops answering is a crash, after three looks", async () => {
    const server = `const s = require("node:http").createServer((q, r) => r.end("ok")).listen(process.env.PORT); setTimeout(() => { s.closeAllConnections(); s.close(); setInterval(() => {}, 1e6) }, 700)`;
    const instance = await dea.start({ droplet: await droplet({ "s.js": server }, "exec node s.js"), graceMs: 200, healthCheck: { type: "http", intervalMs: 100 } });
    await instance.ready;
    expect((await instance.exited).reason).toBe("liveness");
  });
});

describe("stopping", () => {
  test("an app that ignores TERM is killed after its grace", async () => {
    const instance = await run("trap '' TERM; echo up; while :; do sleep 0.05; done");
    for await (const { text } of instance.logs()) if (text === "up") break;
    const before = Date.now();
    expect(await instance.stop({ graceMs: 300 })).toMatchObject({ reason: "stopped" });
    expect(Date.now() - before).toBeGreaterThanOrEqual(290);
    expect(await familyOf(instance)).toBe(0);
  });

  test("an aborted signal ends the grace, not the stop", async () => {
    const instance = await run("trap '' TERM; while :; do sleep 0.05; done");
    await instance.ready;
    const before = Date.now();
    await instance.stop({ graceMs: 60_000, signal: AbortSignal.timeout(200) });
    expect(Date.now() - before).toBeLessThan(10_000);
    expect(instance.state).toBe("STOPPED");
  });

  test("children die too, in whatever group or session", async () => {
    const instance = await run("sleep 1000 & setsid sleep 1000 & (setsid sh -c 'sleep 1000 & sleep 1000' &) ; trap '' TERM; wait; sleep 1000");
    await until(async () => (await familyOf(instance)) >= 6);
    await instance.stop({ graceMs: 100 });
    expect(await familyOf(instance)).toBe(0);
  });

  test("in the middle of the start", async () => {
    const instance = await run("sleep 1000");
    const exit = await instance.stop();
    expect(exit.reason).toBe("stopped");
    expect(instance.state).toBe("STOPPED");
    await expect(instance.ready).rejects.toMatchObject({ code: "DEA_STOPPED" });
    expect(await familyOf(instance)).toBe(0);
  });

  test("twice is once", async () => {
    const instance = await run("exec sleep 1000");
    await instance.ready;
    const [one, two] = await Promise.all([instance.stop(), instance.stop()]);
    expect(one).toBe(two);
    expect(await instance.stop()).toBe(one);
  });
});

describe("the start", () => {
  test("the environment arrives as it was given: nothing is evaluated", async () => {
    const env = {
      DOLLAR: "$HOME ${PATH} $(id) `id`", QUOTES: `"double" 'single'`, NEWLINES: "one\ntwo\n\n", BACKSLASH: "ends with \\", EMPTY: "",
      SPACES: "  a  b ", UNICODE: "grün 😀", GLOB: "* ? [a]", "dots.and-dashes": "kept", PERCENT: "%s %d", PORT: "1",
    };
    const instance = await run(`exec node -e 'process.stdout.write(JSON.stringify(process.env) + "\\n")'`, { env, name: "golden", index: 3 });
    const seen = JSON.parse((await textsOf(instance))[0] ?? "{}") as Record<string, string>;
    expect(seen).toMatchObject(env);
    const home = seen["HOME"]?.replace(/\/app$/, "");
    expect(seen).toMatchObject({
      USER: "vcap", LANG: "en_US.UTF-8", MEMORY_LIMIT: "256m", VCAP_SERVICES: "{}", TMPDIR: `${home}/tmp`, DEPS_DIR: `${home}/deps`,
      VCAP_APP_HOST: "0.0.0.0", CF_INSTANCE_INDEX: "3", CF_INSTANCE_IP: "127.0.0.1",
    });
    expect(seen["CF_INSTANCE_ADDR"]).toBe(`127.0.0.1:${seen["VCAP_APP_PORT"]}`);
    expect(JSON.parse(seen["VCAP_APPLICATION"] ?? "")).toMatchObject({ name: "golden", instance_index: 3, instance_id: instance.id, limits: { mem: 256, fds: 16384 } });
    expect(seen["DATABASE_URL"]).toBeUndefined();
  });

  test("the command is one text for the shell, whatever is in it", async () => {
    const instance = await run(`echo "a 'b' \\"c\\" \$((1+1))"; echo 'x\\'`);
    expect(await textsOf(instance)).toEqual([`a 'b' "c" 2`, "x\\"]);
  });

  test("profile scripts are sourced in order, and a failing one stops nothing", async () => {
    const path = await writeTar(join(folder.path, "profile.tgz"), [
      { name: "./profile.d/10-finalizer.sh", body: "export ORDER=finalizer; false\n" },
      { name: "./profile.d/20 with space.sh", body: "ORDER=$ORDER,space\n" },
      { name: "./app/.profile.d/b.sh", body: "ORDER=$ORDER,b; no-such-command 2>/dev/null\n" },
      { name: "./app/.profile.d/a.sh", body: "ORDER=$ORDER,a; set -- changed arguments\n" },
      { name: "./app/.profile.d/folder/x", body: "" },
      { name: "./app/.profile", body: "export GREETING=\"from profile $GREETING\"\n" },
    ]);
    const instance = await run("echo $ORDER; echo $GREETING; pwd", { droplet: path, env: { GREETING: "env" } });
    const home = instance.id;
    expect(await textsOf(instance)).toEqual(["finalizer,space,a,b", "from profile env", expect.stringMatching(new RegExp(`^/home/vcap/app$|${home}/home/app$`))]);
  });

  test("the command of the message wins over the droplet's, which is YAML or JSON", async () => {
    const yaml = await writeTar(join(folder.path, "yaml.tgz"), [{ name: "staging_info.yml", body: "---\ndetected_buildpack: x\nstart_command: echo from droplet\n" }]);
    const [own, given] = await Promise.all([
      dea.start({ droplet: yaml, healthCheck: { type: "none" } }),
      dea.start({ droplet: yaml, command: "echo from message", healthCheck: { type: "none" } }),
    ]);
    expect(await textsOf(own)).toEqual(["from droplet"]);
    expect(await textsOf(given)).toEqual(["from message"]);
  });

  test("the limit of open files is set", async () => {
    const instance = await run("ulimit -n", { fileDescriptors: 123 });
    expect(await textsOf(instance)).toEqual(["123"]);
  });

  test("refuses what does not fit, and counts what is there", async () => {
    await using small = await createDea({ memoryBytes: 300 * MiB, diskBytes: 4096 * MiB, maxInstances: 2 });
    const ask = (memoryBytes: number): Promise<Instance> => small.start({ droplet: empty, command: "sleep 1000", memoryBytes, healthCheck: { type: "process" }, graceMs: 100 });
    await expect(ask(301 * MiB)).rejects.toMatchObject({ code: "DEA_NO_CAPACITY", message: "Not enough memory resource available.", retryable: true });
    const first = await ask(200 * MiB);
    expect(small.capacity().memory).toEqual({ totalBytes: 300 * MiB, reservedBytes: 200 * MiB, freeBytes: 100 * MiB });
    await expect(ask(200 * MiB)).rejects.toMatchObject({ code: "DEA_NO_CAPACITY" });
    await ask(50 * MiB);
    await expect(ask(10 * MiB)).rejects.toMatchObject({ code: "DEA_NO_CAPACITY" });
    await first.stop();
    await ask(200 * MiB);
  });

  test.each([
    [{ memoryBytes: 0 }], [{ memoryBytes: Number.NaN }], [{ index: -1 }], [{ port: 70_000 }], [{ env: { "A=B": "c" } }], [{ env: { A: "nul \0" } }],
    [{ healthCheck: { type: "ping" as never } }], [{ healthCheck: { path: "no-slash" } }], [{ droplet: { path: "a", url: "http://b" } }], [{ droplet: { path: "a", sha1: "xyz" } }], [{ graceMs: -1 }],
  ])("refuses a spec that cannot be meant: %j", async (spec) => {
    await expect(dea.start({ droplet: empty, ...(spec as Partial<StartSpec>) })).rejects.toMatchObject({ code: "DEA_INVALID_SPEC" });
  });

  test("says each step once: states, then the end", async () => {
    const changes: InstanceChange[] = [];
    using _broken = dea.on(() => { throw new Error("a listener's own problem"); });
    using _listening = dea.on((change) => void changes.push(change));
    const instance = await run("exec sleep 1000");
    await instance.ready;
    await instance.stop();
    const seen = changes.flatMap((change): unknown[] => (change.instance !== instance ? [] : change.type === "state" ? [change.to] : change.type === "exit" ? [change.exit.reason] : change.type === "routable" ? [change.routable] : []));
    expect(seen).toEqual(["STARTING", "RUNNING", true, "STOPPING", "STOPPED", "stopped"]);
  });
});

describe("logs", () => {
  test("an app that prints 100 MB does not grow our memory, and is not held up by a slow reader", async () => {
    const instance = await run(`head -c 100000000 /dev/zero | tr '\\0' 'x' | fold -w 99; echo; echo the end`, { memoryBytes: 512 * MiB });
    const slow = instance.logs();
    await slow.next();
    globalThis.gc?.();
    const before = process.memoryUsage();
    let peak = 0;
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 20);
    const exit = await instance.exited;
    clearInterval(watch);
    expect(exit.reason).toBe("exit:0");
    expect(exit.logTail.at(-1)).toBe("the end");
    expect(peak - before.rss).toBeLessThan(150 * MiB);
    const rest: string[] = [];
    for await (const line of slow) rest.push(line.text);
    expect(rest.length).toBeLessThanOrEqual(1_003);
    expect(rest.some((text) => /^\d+ log lines dropped/.test(text))).toBe(true);
  }, 60_000);

  test("one line of 50 MB is cut and marked", async () => {
    const instance = await run("head -c 50000000 /dev/zero | tr '\\0' 'x'; echo; echo after");
    const texts = await textsOf(instance);
    expect(texts).toHaveLength(2);
    expect(texts[0]).toMatch(/^x{61440} \[\.\.\. 49938560 bytes cut\]$/);
    expect(texts[1]).toBe("after");
  }, 60_000);

  test("stdout and stderr are told apart, in order of time", async () => {
    const instance = await run("echo out; sleep 0.1; echo err >&2; sleep 0.1; printf 'no newline'");
    const lines = [];
    for await (const { stream, text, timestampNs } of instance.logs()) if (stream !== "platform") lines.push({ stream, text, timestampNs });
    expect(lines.map(({ stream, text }) => `${stream} ${text}`)).toEqual(["stdout out", "stderr err", "stdout no newline"]);
    expect(lines[0]!.timestampNs < lines[1]!.timestampNs && lines[1]!.timestampNs < lines[2]!.timestampNs).toBe(true);
  });
});

test("who shook off session, environment and parents is found by the output it holds", async () => {
  const instance = await run("(env -i setsid sleep 1000.125 &); sleep 0.2; echo done");
  expect(await instance.exited).toMatchObject({ reason: "exit:0", logTail: ["done"] });
  const commandOf = (pid: number): Promise<string> => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  const commands = await Promise.all(readProcesses().map(({ pid }) => commandOf(pid)));
  expect(commands.filter((command) => command.includes("1000.125\0") && command.startsWith("sleep"))).toEqual([]);
});

test("who also let go of its output is a stranger: it holds up nobody", async () => {
  const instance = await run("(env -i setsid sleep 3 >/dev/null 2>&1 &); echo done");
  expect(await instance.exited).toMatchObject({ reason: "exit:0", logTail: ["done"] });
});

test("ten at once all come up, each on its own port", async () => {
  const path = await droplet({ "server.js": webServer }, "exec node server.js");
  const instances = await Promise.all(Array.from({ length: 10 }, (_, index) => dea.start({ droplet: path, index, env: { GREETING: String(index) }, graceMs: 2_000 })));
  await Promise.all(instances.map((instance) => instance.ready));
  const answers = await Promise.all(instances.map(async ({ address }) => await (await fetch(`http://${address.host}:${address.port}`)).text()));
  expect(answers).toEqual(instances.map((_, index) => `hello ${index}`));
  await Promise.all(instances.map((instance) => instance.stop()));
}, 60_000);
