import { execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Backend, Container, ContainerSpec } from "../src/index.ts";
import { linuxBackend } from "../src/linux/linux-backend.ts";
import { rememberEphemeral } from "../src/linux/ephemeral.ts";
import { ownerNames } from "../src/linux/names.ts";
import { probeLinux } from "../src/linux/probe.ts";
import { createPortPool } from "../src/port-pool.ts";
import { containerLinks, tracesOf } from "./fixtures/linux-traces.ts";
import { until } from "./fixtures/until.ts";

const host = await probeLinux();
const lacks = host.findings.filter(({ ok, needed }) => needed && !ok).map(({ name }) => name).join(", ");
const MiB = 1024 ** 2;
const env = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/home/vcap"];

const read = async (stream: Readable): Promise<string> => {
  let text = "";
  for await (const chunk of stream.setEncoding("utf8")) text += chunk as string;
  return text;
};

describe.skipIf(!host.able)(`linux backend against attackers${host.able ? "" : ` (this machine lacks ${lacks})`}`, () => {
  const owner = `attacks-${randomUUID()}`;
  const ports = createPortPool();
  let dir: string;
  let backend: Backend;
  let evil: Container;
  let neighbour: Container;
  let neighbourPort = 0;

  const make = async (more: Partial<ContainerSpec> = {}): Promise<Container> => {
    const port = await ports.take();
    return backend.create({ handle: `c-${randomUUID()}`, hostPort: port.number, memoryBytes: 128 * MiB, diskBytes: 32 * MiB, fileDescriptors: 256, ...more });
  };
  const start = async (container: Container, script: string): Promise<void> => {
    const running = await container.run({ argv: ["/bin/bash", "-c", script], env });
    running.stdout.resume();
    running.stderr.resume();
    await until(async () => (await container.usage()).processes > 0, 30_000);
  };
  const say = async (container: Container, script: string, user: "vcap" | "root" = "vcap"): Promise<string> => {
    const process = await container.exec({ argv: ["/bin/bash", "-c", script], env, user });
    const [out, err] = await Promise.all([read(process.stdout), read(process.stderr)]);
    return `${out}${err}`;
  };
  /** What a connection from the container meets. */
  const connect = (container: Container, address: string, port: number): Promise<string> =>
    say(container, `timeout 5 bash -c 'exec 3<>/dev/tcp/${address}/${port} && echo reached' 2>&1 | tail -n 1`);

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "opencf-dea-attacks-"));
    backend = await linuxBackend();
    await backend.open({ dir, owner });
    [evil, neighbour] = await Promise.all([make(), make()]);
    neighbourPort = (await neighbour.info()).ports[0]?.host ?? 0;
    await Promise.all([
      start(evil, "while :; do sleep 1000; done"),
      start(neighbour, `echo secret >mine; exec "${process.execPath}" -e 'require("http").createServer((q, r) => r.end("here")).listen(8080)'`),
    ]);
    await until(async () => (await fetch(`http://127.0.0.1:${neighbourPort}/`).then((answer) => answer.text(), () => "")) === "here", 30_000);
  }, 120_000);

  afterAll(async () => {
    await backend.sweep(new Set());
    await backend[Symbol.asyncDispose]();
    const left = await tracesOf(owner, dir);
    await rm(dir, { recursive: true, force: true });
    expect(left).toEqual([]);
  }, 60_000);

  // Each row: who tries, what, and what must not be in the answer (`broken` is what the script says when it got through).
  test.each<["vcap" | "root", string, string]>([
    ["root", "the host's passwords", "grep -q . /etc/shadow && echo broken"],
    ["root", "the host's homes and state", "ls -A /root /home /var /run 2>/dev/null | grep -vE '^(/.*:|vcap|tmp|)$' && echo broken"],
    ["root", "the executor's folders", `ls "${tmpdir()}" /run/opencf-dea 2>/dev/null | grep -q opencf-dea && echo broken`],
    ["root", "another app's files", "find / -xdev -name mine 2>/dev/null | grep -q . && echo broken"],
    ["root", "processes of the host", "[ \"$(ls -d /proc/[0-9]* | wc -l)\" -gt 20 ] && echo broken"],
    ["root", "the way out through /proc/1/root", "ls /proc/1/root/root 2>/dev/null && echo broken; ls /proc/1/root/home/ | grep -v vcap && echo broken"],
    ["root", "/proc/sysrq-trigger", "(echo h >/proc/sysrq-trigger) 2>/dev/null && echo broken"],
    ["root", "/proc/sys", "(echo 1 >/proc/sys/kernel/printk || echo x >/proc/sys/kernel/core_pattern) 2>/dev/null && echo broken"],
    ["root", "the kernel's memory and messages", "head -c 1 /proc/kcore 2>/dev/null | grep -q . && echo broken; dmesg 2>/dev/null | grep -q . && echo broken"],
    ["root", "mount", "mount -t tmpfs none /tmp 2>/dev/null && echo broken; mount -o remount,rw /usr 2>/dev/null && echo broken"],
    ["root", "unmount what hides", "umount /proc/kcore 2>/dev/null && echo broken"],
    ["vcap", "namespaces of its own", "unshare --user --map-root-user true 2>/dev/null && echo broken; unshare --net true 2>/dev/null && echo broken"],
    ["root", "the host's programs", "(: >/usr/bin/evil) 2>/dev/null && echo broken; (: >>/usr/bin/env) 2>/dev/null && echo broken"],
    ["root", "device nodes", "mknod /tmp/disk b 254 0 2>/dev/null && echo broken; mknod /tmp/mem c 1 1 2>/dev/null && echo broken; ls /dev | grep -E '^(vd|sd|nvme|loop|kmsg|mem|fuse|kvm|net)' && echo broken"],
    ["vcap", "setuid programs", "cp /usr/bin/id /tmp/id && chmod 6755 /tmp/id; /tmp/id -u | grep -x 0 && echo broken; passwd -d root 2>/dev/null && echo broken"],
    ["root", "limits of its own group", "for f in /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids/pids.max; do [ -e $f ] && (echo 9999999999 >$f) 2>/dev/null && echo broken; done"],
    ["root", "release_agent", "find /sys/fs/cgroup -name release_agent -writable 2>/dev/null | grep -q . && echo broken; mkdir /sys/fs/cgroup/memory/x 2>/dev/null && echo broken"],
    ["root", "its own link and addresses", "ip link set eth0 down 2>/dev/null && echo broken; ip addr add 10.254.0.77/24 dev eth0 2>/dev/null && echo broken"],
    ["root", "the name and clock of the machine", "hostname evil 2>/dev/null && echo broken; date -s 2001-01-01 >/dev/null 2>&1 && echo broken"],
    ["vcap", "low ports", `"${process.execPath}" -e 'require("net").createServer().once("error", () => console.log("no")).listen(80, () => { console.log("broken"); process.exit() })'`],
    ["root", "more rights", "grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | grep -v 0000000000000000 && echo broken; grep -q 'NoNewPrivs:\\s*1' /proc/self/status || echo broken; grep -q 'Seccomp:\\s*2' /proc/self/status || echo broken"],
  ])("%s: %s", async (user, _what, script) => {
    const said = await say(evil, `${script}; echo done`, user);
    expect(said).toMatch(/done\n/);
    expect(said).not.toContain("broken");
  }, 60_000);

  test.skipIf(process.arch !== "x64" || !existsSync("/usr/bin/perl"))("system calls that lead out: not permitted, also to root", async () => {
    // Numbers of x86-64: ptrace, keyctl, add_key, bpf, kexec_load, perf_event_open, userfaultfd, io_uring_setup, init_module, open_by_handle_at, process_vm_readv, setns.
    const numbers = [101, 250, 248, 321, 246, 298, 323, 425, 175, 304, 310, 308];
    const script = `perl -e 'for (${numbers.join(",")}) { $! = 0; my $r = syscall($_, 0, 1, 0, 0, 0); print "$_ ", $r, " ", $! + 0, "\\n" }'`;
    expect((await say(evil, script, "root")).trim().split("\n")).toEqual(numbers.map((number) => `${number} -1 1`));
    // Raw, packet and vsock sockets; clone3 does not exist, so that libraries fall back.
    const sockets = `perl -e 'for ([2,3,1],[17,3,0],[40,1,0]) { $! = 0; print syscall(41, @$_), " " } print syscall(435, 0, 0), " ", $! + 0'`;
    expect(await say(evil, sockets, "root")).toBe("-1 -1 -1 -1 38");
  }, 60_000);

  test("the host, other containers and link-local addresses are not reached, nor the neighbour through the host's port", async () => {
    const { hostAddress = "" } = await evil.info();
    const { containerAddress = "" } = await neighbour.info();
    const server = createServer((socket) => socket.end()).listen(0, "0.0.0.0");
    await new Promise((resolve) => server.once("listening", resolve));
    try {
      const { port } = server.address() as { port: number };
      const own = Object.values(networkInterfaces()).flat().find((one) => one?.family === "IPv4" && !one.internal)?.address;
      for (const [address, to] of [[hostAddress, port], ...(own ? [[own, port] as const, [own, neighbourPort] as const] : []), [containerAddress, 8_080], [hostAddress, neighbourPort], ["169.254.169.254", 80], ["127.0.0.1", port]] as const) {
        expect(await connect(evil, address, to), `${address}:${to}`).toMatch(/No route to host|refused|Permission denied/);
      }
      // Allowed by name, while it runs; and taken back.
      await evil.setEgress([{ protocol: "tcp", destination: containerAddress, ports: "8080" }, { protocol: "tcp", destination: hostAddress }]);
      expect(await connect(evil, containerAddress, 8_080)).toContain("reached");
      expect(await connect(evil, hostAddress, port)).toContain("reached");
      expect(await connect(evil, "169.254.169.254", 80)).toMatch(/No route to host/);
      await evil.setEgress([{ protocol: "all", destination: "0.0.0.0/0" }]);
      expect(await connect(evil, containerAddress, 8_080)).toMatch(/No route to host|refused/);
      expect(await connect(evil, hostAddress, port)).toMatch(/No route to host|refused/);
      await expect(evil.setEgress([{ protocol: "tcp", destination: "1.2.3.4; flush ruleset" }])).rejects.toMatchObject({ code: "DEA_INVALID_SPEC" });
    } finally {
      server.close();
    }
  }, 120_000);

  test("an allowed destination beyond this machine is reached through NAT, and lost when it is taken back, open connections too", async () => {
    const netns = `opencf-test-${process.pid}`;
    const link = `oct${process.pid % 100_000}`;
    const third = process.pid % 250;
    const ip = (...args: string[]): void => void execFileSync("ip", args);
    ip("netns", "add", netns);
    let outside: ReturnType<typeof spawn> | undefined;
    try {
      ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", netns);
      ip("addr", "add", `198.18.${third}.1/30`, "dev", link);
      ip("link", "set", link, "up");
      ip("-n", netns, "addr", "add", `198.18.${third}.2/30`, "dev", "eth0");
      ip("-n", netns, "link", "set", "eth0", "up");
      const program = "require('net').createServer((s) => { s.on('error', () => {}); s.write(s.remoteAddress + '\\n'); setInterval(() => s.write('.\\n'), 50) }).listen(7777, () => console.log('up'))";
      outside = spawn("ip", ["netns", "exec", netns, process.execPath, "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
      await new Promise((resolve) => outside?.stdout?.once("data", resolve));
      await evil.setEgress([{ protocol: "tcp", destination: `198.18.${third}.0/30`, ports: "7777" }]);
      const talk = await evil.exec({ argv: ["/bin/bash", "-c", `exec 3<>/dev/tcp/198.18.${third}.2/7777; while read -r -t 3 line <&3; do echo "$line"; done; echo silence`], env });
      let heard = "";
      talk.stdout.on("data", (chunk: Buffer) => (heard += chunk.toString()));
      talk.stderr.resume();
      await until(() => heard.includes(".\n.\n"), 20_000);
      // The far end sees this machine, not the container.
      expect(heard).toContain(`198.18.${third}.1\n`);
      await evil.setEgress([]);
      await until(() => heard.includes("silence"), 20_000);
      expect(await connect(evil, `198.18.${third}.2`, 7_777)).toMatch(/No route to host|refused/);
    } finally {
      outside?.kill("SIGKILL");
      ip("netns", "delete", netns);
    }
  }, 120_000);

  test("a fork bomb stays in its container, the neighbour answers, and it is stopped", async () => {
    const bomb = await make({ maxProcesses: 200 });
    await start(bomb, "bomb() { bomb | bomb & }; bomb; while :; do sleep 1; done");
    let most = 0;
    for (let round = 0; round < 20; round++) {
      most = Math.max(most, (await bomb.usage()).processes);
      expect(await (await fetch(`http://127.0.0.1:${neighbourPort}/`)).text()).toBe("here");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(most).toBeLessThanOrEqual(200);
    await bomb.stop({ graceMs: 0 });
    expect((await bomb.usage()).processes).toBe(0);
    await bomb.destroy();
  }, 120_000);

  test("a memory hog whose children do the eating is named too", async () => {
    const hog = await make({ memoryBytes: 32 * MiB });
    await start(hog, `while :; do "${process.execPath}" -e 'const all = []; for (;;) all.push(Buffer.alloc(4e6, 1))'; sleep 0.1; done`);
    await until(async () => ((await hog.usage()).outOfMemoryKills ?? 0) > 0, 30_000);
    expect((await hog.info()).events).toEqual(["out of memory"]);
    await hog.destroy();
  }, 120_000);
});

describe.skipIf(!host.able)("linux backend: what is left behind", () => {
  test("a killed executor's containers are found by name and removed with everything they had; foreign things stay", async () => {
    const owner = `left-${randomUUID()}`;
    const dir = await mkdtemp(join(tmpdir(), "opencf-dea-left-"));
    const foreign = `foreign_${process.pid}`;
    const link = `for${process.pid % 100_000}`;
    execFileSync("nft", ["add", "table", "inet", foreign]);
    execFileSync("ip", ["link", "add", link, "type", "veth", "peer", "name", `${link}p`]);
    try {
      const port = await createPortPool().take();
      const first = await linuxBackend();
      await first.open({ dir, owner });
      const spec = { handle: "lost", hostPort: port.number, memoryBytes: 64 * MiB, diskBytes: 16 * MiB, fileDescriptors: 256 };
      const container = await first.create(spec);
      // Two that are half made: never started, and with nothing but a folder.
      await first.create({ ...spec, handle: "made", hostPort: port.number + 1 });
      const running = await container.run({ argv: ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1000; done"], env });
      running.stdout.resume();
      running.stderr.resume();
      await until(async () => (await container.usage()).processes > 0, 30_000);
      container.release();
      expect((await tracesOf(owner, dir)).length).toBeGreaterThan(5);
      const links = containerLinks();
      const second = await linuxBackend();
      await second.open({ dir, owner });
      expect((await second.sweep(new Set())).sort()).toEqual(["lost", "made"]);
      await second[Symbol.asyncDispose]();
      expect(await tracesOf(owner, dir)).toEqual([]);
      expect(containerLinks().length).toBeLessThan(links.length);
      const tables = execFileSync("nft", ["list", "tables"], { encoding: "utf8" });
      expect(tables).toContain(foreign);
      expect(tables).not.toContain(ownerNames(owner).table);
      expect(existsSync(`/sys/class/net/${link}`)).toBe(true);
    } finally {
      execFileSync("nft", ["delete", "table", "inet", foreign]);
      execFileSync("ip", ["link", "delete", link]);
      await rm(dir, { recursive: true, force: true });
    }
  }, 120_000);

  test("a temporary executor that was killed is cleared away by the next that starts, whoever that is", async () => {
    const folder = await mkdtemp(join(tmpdir(), "opencf-dea-killed-"));
    const dir = join(folder, "instances");
    const owner = `killed-${randomUUID()}`;
    const other = await mkdtemp(join(tmpdir(), "opencf-dea-other-"));
    try {
      const port = await createPortPool().take();
      const first = await linuxBackend();
      await first.open({ dir, owner, ephemeral: folder });
      const container = await first.create({ handle: "lost", hostPort: port.number, memoryBytes: 64 * MiB, diskBytes: 16 * MiB, fileDescriptors: 256 });
      const running = await container.run({ argv: ["/bin/sh", "-c", "while :; do sleep 1000; done"], env });
      running.stdout.resume();
      running.stderr.resume();
      await until(async () => (await container.usage()).processes > 0, 30_000);
      container.release();
      const next = async (): Promise<void> => {
        const backend = await linuxBackend();
        await backend.open({ dir: other, owner: `other-${randomUUID()}` });
        await backend[Symbol.asyncDispose]();
      };
      // While it lives (this process) nobody touches it.
      await next();
      expect((await container.usage()).processes).toBeGreaterThan(0);
      const dead = spawn("sleep", ["1000"]);
      await rememberEphemeral(ownerNames(owner), { dir, owner, ephemeral: folder }, dead.pid);
      dead.kill("SIGKILL");
      await new Promise((resolve) => dead.once("exit", resolve));
      await next();
      expect(await tracesOf(owner, dir)).toEqual([]);
      expect(existsSync(folder)).toBe(false);
    } finally {
      await rm(folder, { recursive: true, force: true });
      await rm(other, { recursive: true, force: true });
    }
  }, 120_000);
});
