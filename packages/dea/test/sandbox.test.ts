import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { chown, mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { createDea, processBackend, type ProcessBackendOptions } from "../src/index.ts";
import { holdEnvironment } from "../src/container/sandbox/held.ts";
import { probeSandboxes } from "../src/container/sandbox/probe.ts";
import { foldersBeside, hostView } from "../src/container/sandbox/view.ts";
import { createPortPool } from "../src/port-pool.ts";
import { until } from "./fixtures/until.ts";

vi.setConfig({ testTimeout: 120_000 });
const path = process.env["PATH"] ?? "/usr/bin:/bin";
const kinds = probeSandboxes(hostView({ path }), { all: true });
const root = process.getuid?.() === 0;
const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

async function folder(): Promise<string> {
  const made = await realpath(await mkdtemp(join(tmpdir(), "opencf-dea-sandbox-")));
  folders.push(made);
  return made;
}

const commandOf = (pid: string): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
};

/** Runs a script to its end in a container of this backend, and answers what it said. */
async function inside(options: ProcessBackendOptions, script: string, { env = [], prepare }: { env?: string[]; prepare?: (homeDir: string) => Promise<void> } = {}): Promise<{ out: string; err: string; status: unknown }> {
  const dir = await folder();
  const backend = processBackend(options);
  await backend.open({ dir: join(dir, "instances"), owner: `sandbox-test-${process.pid}`, hide: [dir] });
  using port = await createPortPool().take();
  const container = await backend.create({ handle: "one", hostPort: port.number, memoryBytes: 256e6, diskBytes: 64e6, fileDescriptors: 222 });
  try {
    await prepare?.(container.homeDir);
    const running = await container.run({ argv: ["/bin/bash", "-c", script, "case", dir], env: [`PATH=${path}`, ...env] });
    let [out, err] = ["", ""];
    running.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
    running.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
    const closed = Promise.all([running.stdout, running.stderr].map((stream) => new Promise((resolve) => stream.once("close", resolve))));
    const status = await running.exited;
    await closed;
    return { out, err, status };
  } finally {
    await container.destroy();
    await backend[Symbol.asyncDispose]();
  }
}

test.runIf(root)("in a folder that only root's rights lead to nothing can be made: then there is none, and that is said", async () => {
  const dir = await folder();
  await chown(dir, 65_534, 65_534);
  const said: string[] = [];
  const log = { info: () => {}, error: () => {}, warn: (event: string, data?: object) => void said.push(`${event} ${JSON.stringify(data)}`) };
  const dea = await createDea({ dataDir: join(dir, "dea"), log });
  expect(said.filter((line) => line.startsWith("dea.isolation"))).toEqual([expect.stringContaining("isolation none")]);
  await dea.close();
  const backend = processBackend();
  await backend.open({ dir: join(dir, "instances"), owner: `sandbox-test-${process.pid}` });
  expect(backend.capabilities.summary).toMatch(/^isolation none/);
  using port = await createPortPool().take();
  const container = await backend.create({ handle: "one", hostPort: port.number, memoryBytes: 256e6, diskBytes: 64e6, fileDescriptors: 222 });
  try {
    const running = await container.run({ argv: ["/bin/sh", "-c", "exit 7"], env: [] });
    running.stdout.resume();
    running.stderr.resume();
    expect(await running.exited).toEqual({ code: 7 });
  } finally {
    await container.destroy();
    await backend[Symbol.asyncDispose]();
  }
});

describe("process backend, whatever stands around the app", () => {
  test.each(["none", ...kinds.filter(({ ok }) => ok).map(({ kind }) => kind)] as const)("%s: own session and group, limits, no descriptor of ours, no core files", async (isolate) => {
    const script = `set -- $(cat /proc/self/stat | sed 's/.*) //'); echo "group $3 session $4"
      ulimit -c; ulimit -n; ulimit -f; ulimit -d; ls /proc/$$/fd | tr '\\n' ' '; cat /proc/$$/oom_score_adj; ulimit -Hc`;
    const { out } = await inside({ isolate }, script);
    const [ids = "", core, files, size, data, rest, hardCore] = out.split("\n");
    const [, group, session] = /group (\d+) session (\d+)/.exec(ids) ?? [];
    // In a process namespace the group's leader has no number: it stands outside.
    expect(group).toBe(session);
    expect([core, hardCore, files]).toEqual(["0", "0", "222"]);
    expect(Number(size) * 1024).toBe(64e6);
    expect(Number(data) * 1024).toBeGreaterThanOrEqual(4 * 256e6 + 4 * 2 ** 30);
    // 255 is bash's own copy of its script's input, 3 the folder that ls reads.
    expect(rest?.replace(/\b(3|255) /g, "")).toBe("0 1 2 500");
  });

  test("a file cannot grow beyond the disk", async () => {
    const { status } = await inside({ isolate: "none" }, "exec dd if=/dev/zero of=big bs=1M count=80");
    expect(status).toEqual({ signal: "SIGXFSZ" });
  });
});

for (const { kind, ok, detail, limitsProcesses } of kinds) {
  describe.skipIf(!ok)(`process backend in ${kind}${ok ? "" : ` (skipped: ${detail})`}`, () => {
    const isolate = kind;

    test("declares exactly what holds", () => {
      const { capabilities } = processBackend({ isolate });
      expect(capabilities).toMatchObject({ filesystem: true, processes: true, network: false, user: false, isolation: kind, memory: "polled" });
      expect(capabilities.enforces).toMatchObject({ pids: limitsProcesses, memory: false, disk: false, egress: false });
      expect(limitsProcesses).toBe(!root);
      expect(capabilities.summary).toMatch(new RegExp(`^isolation ${kind}: .*not apart are network, user`));
      expect(capabilities.summary).not.toContain("\n");
    });

    // What somebody inside tries; each line must say "no".
    const attempts: readonly [string, string][] = [
      ["the executor's folder", "ls \"$1\""],
      ["other instances", "ls \"$1/instances\""],
      ["homes of the host", "ls -A /home | grep -vx vcap"],
      ["what root keeps", "ls -A /root | grep -E 'ssh|profile|bashrc'"],
      ["passwords of the host", "cat /etc/shadow"],
      ["sockets of the host", "find /run /var -type s | grep ."],
      ["logs and data of services", "ls /var/log /var/lib"],
      ["temporary files of the host", "ls -A /tmp | grep ."],
      ["write where programs are", "touch /usr/bin/opencf-mark"],
      ["write settings", "touch /etc/opencf-mark"],
      ["write beside its home", "touch /home/opencf-mark"],
      ["write at the top", "touch /opencf-mark"],
      ["write devices", "touch /dev/opencf-mark"],
      ["write kernel settings", "echo x >/proc/sys/kernel/hostname"],
      ["make devices", "mknod disk b 8 0"],
      ["mount", "mount -t tmpfs none tmp"],
      ["see processes of the host", "ps ax 2>/dev/null | grep -v grep | grep -E 'vitest|systemd'; ls /proc | grep -E '^[0-9]{3,}$' | grep -v \"^$$\\$\" | xargs -I{} cat /proc/{}/cmdline 2>/dev/null | tr '\\0' ' ' | grep vitest"],
      ["enter the first process's namespaces", "nsenter --target 1 --user --mount ls \"$1\""],
      ["the first process's root", "ls /proc/1/root/usr"],
      ["kill the first process", "kill -9 1; sleep 0.1; false"],
      ["become another", "setpriv --reuid 65534 true"],
      ["have any right", "grep -E '^Cap(Prm|Eff|Amb)' /proc/self/status | grep -v 0000000000000000"],
      ["gain rights by programs", "grep 'NoNewPrivs:.0' /proc/self/status"],
    ];

    test("what somebody inside tries", async () => {
      const script = attempts.map(([, attempt], at) => `if (${attempt}) >out 2>&1; then echo "${at} yes $(tr '\\n' ' ' <out)"; else echo "${at} no"; fi`).join("\n");
      const { out } = await inside({ isolate, searchPath: "/usr/bin:/bin" }, script);
      const answers = out.trim().split("\n").map((line) => line.split(" "));
      expect(answers).toHaveLength(attempts.length);
      const got = answers.flatMap(([at = "", word, ...seen]) => (word === "yes" ? [`${attempts[Number(at)]?.[0]}: ${seen.join(" ")}`] : []));
      expect(got).toEqual([]);
    });

    test("what an app needs is there", async () => {
      const { out, err, status } = await inside({ isolate }, `cd /home/vcap && echo x >file && echo y >/tmp/other && cat tmp/other && echo z >/dev/shm/shared
        [ -c /dev/null ] && [ -c /dev/urandom ] && [ -e /dev/fd/0 ] && getent hosts localhost >/dev/null && id -un >/dev/null && head -c1 /etc/ssl/certs/* >/dev/null 2>&1; pwd
        "${process.execPath}" -e 'console.log(typeof process.version)'`);
      expect({ out, err, status }).toEqual({ out: "y\n/home/vcap\nstring\n", err: "", status: { code: 0 } });
    });

    test("the user's environment reaches the app, and nothing that builds the sandbox", async () => {
      const library = join(await folder(), "evil.so");
      // Were this loaded outside, the sandbox could not be built: it is no library.
      await writeFile(library, "not a library");
      const env = ["LD_PRELOAD=./evil.so", "BASH_ENV=./evil.sh", "LD_LIBRARY_PATH=.", "dots.and-dashes=kept", "LC_ALL=nowhere", "word=w", "status=s", "status_file=f", "name=n"];
      const prepare = (home: string): Promise<void> => writeFile(join(home, "evil.sh"), "echo ran >>/home/vcap/evil-ran 2>/dev/null || echo ran >&2\n");
      const { out } = await inside({ isolate }, "cat /proc/self/environ | tr '\\0' '\\n'; cat evil-ran 2>/dev/null | wc -l", { env, prepare });
      for (const pair of env) expect(out.split("\n")).toContain(pair);
      expect(out).not.toContain("__OPENCF_HELD_");
      // bash itself, the app, reads BASH_ENV once: the shells before it do not.
      expect(out.trim().split("\n").at(-1)?.trim()).toBe("1");
    });

    test.skipIf(root)("a fork bomb stays in its sandbox", async () => {
      const dir = await folder();
      const backend = processBackend({ isolate });
      await backend.open({ dir, owner: `sandbox-bomb-${process.pid}` });
      const container = await backend.create({ handle: "bomb", hostPort: 1, memoryBytes: 256e6, diskBytes: 64e6, fileDescriptors: 64, maxProcesses: 32 });
      const running = await container.run({ argv: ["/bin/bash", "-c", "while :; do sleep 1000 & done"], env: ["PATH=/usr/bin:/bin"] });
      running.stdout.resume();
      running.stderr.resume();
      let most = 0;
      await until(async () => (most = Math.max(most, (await container.usage()).processes)) >= 25, 60_000);
      expect(execFileSync("/bin/echo", ["others can start"], { encoding: "utf8" })).toBe("others can start\n");
      expect(most).toBeLessThanOrEqual(32);
      await container.destroy();
      await backend[Symbol.asyncDispose]();
    });

    test("one who leaves the session, clears the environment and outlives its parents is found and ended", async () => {
      const dir = await folder();
      const backend = processBackend({ isolate });
      await backend.open({ dir, owner: `sandbox-lost-${process.pid}` });
      const container = await backend.create({ handle: "lost", hostPort: 1, memoryBytes: 256e6, diskBytes: 64e6, fileDescriptors: 64 });
      const name = `7${process.pid}${kind.length}`;
      const running = await container.run({ argv: ["/bin/sh", "-c", `(env -i setsid sh -c 'exec sleep ${name} >/dev/null 2>&1 </dev/null' &) ; exec sleep 1000`], env: ["PATH=/usr/bin:/bin"] });
      running.stdout.resume();
      running.stderr.resume();
      const isThere = (): boolean => readdirSync("/proc").some((entry) => /^\d+$/.test(entry) && commandOf(entry) === `sleep\0${name}\0`);
      await until(isThere, 60_000);
      await until(async () => (await container.usage()).processes === 2, 60_000);
      await container.stop({ graceMs: 0 });
      expect(isThere()).toBe(false);
      await container.destroy();
      await backend[Symbol.asyncDispose]();
    });
  });
}

test("folders that lie in what is shown can be hidden, and more can be shown", async () => {
  const [found] = kinds.filter(({ ok }) => ok);
  if (!found) return;
  const shown = await folder();
  await mkdir(join(shown, "secret"));
  await Promise.all([writeFile(join(shown, "seen"), "seen\n"), writeFile(join(shown, "secret/file"), "secret\n")]);
  const { out } = await inside({ isolate: found.kind, show: [shown], hide: [join(shown, "secret")] }, `cat ${shown}/seen; ls -A ${shown}/secret | wc -l; touch ${shown}/secret/x 2>/dev/null || echo kept`);
  expect(out).toBe("seen\n0\nkept\n");
});

test.each([
  ["/home/u/.nvm/versions/node/v20/bin", ["bin", "sbin", "lib", "lib32", "lib64", "libexec", "include", "share"].map((name) => `/home/u/.nvm/versions/node/v20/${name}`)],
  ["/home/u/.local/bin", ["/home/u/.local/bin", "/home/u/.local/lib"]],
  ["/home/u/bin", ["/home/u/bin"]],
  ["/home/u/tools", ["/home/u/tools"]],
  ["/home/u", []],
  ["/srv/me", []],
  ["/", []],
])("a search path shows of %s: %j", (one, expected) => {
  expect(foldersBeside(one, ["/srv/me"]).sort()).toEqual([...expected].sort());
});

test("names that mean something to a loader or a shell are held, others pass", () => {
  expect(holdEnvironment(["LD_PRELOAD=x", "a.b=c", "OPENCF_CONTAINER=o/h", "A=1=2"])).toEqual(["__OPENCF_HELD_LD_PRELOAD=x", "a.b=c", "OPENCF_CONTAINER=o/h", "__OPENCF_HELD_A=1=2"]);
});

