import { execFileSync, spawn } from "node:child_process";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Container } from "../src/index.ts";
import { probeLinux } from "../src/linux/probe.ts";
import { type Cell, containerEnv as env, openCell } from "./fixtures/linux-cell.ts";
import { until } from "./fixtures/until.ts";

const host = await probeLinux();
const lacks = host.findings.filter(({ ok, needed }) => needed && !ok).map(({ name }) => name).join(", ");
const MiB = 1024 ** 2;
describe.skipIf(!host.able)(`linux backend against attackers${host.able ? "" : ` (this machine lacks ${lacks})`}`, () => {
  let cell: Cell;
  let evil: Container;
  let neighbour: Container;
  let neighbourPort = 0;
  const hello = (): Promise<string> => fetch(`http://127.0.0.1:${neighbourPort}/`).then((answer) => answer.text(), () => "");

  beforeAll(async () => {
    cell = await openCell();
    [evil, neighbour] = await Promise.all([cell.make(), cell.make()]);
    neighbourPort = (await neighbour.info()).ports[0]?.host ?? 0;
    await Promise.all([
      cell.start(evil, "while :; do sleep 1000; done"),
      cell.start(neighbour, `exec "${process.execPath}" -e 'require("http").createServer((q, r) => r.end("here")).listen(8080)'`),
    ]);
    await until(async () => (await hello()) === "here", 30_000);
  }, 120_000);
  afterAll(async () => expect(await cell.close()).toEqual([]), 60_000);

  test("the host, other containers and link-local addresses are not reached, nor the neighbour through the host's port", async () => {
    const { hostAddress = "" } = await evil.info();
    const { containerAddress = "" } = await neighbour.info();
    const server = createServer((socket) => socket.end()).listen(0, "0.0.0.0");
    await new Promise((resolve) => server.once("listening", resolve));
    try {
      const { port } = server.address() as { port: number };
      const own = Object.values(networkInterfaces()).flat().find((one) => one?.family === "IPv4" && !one.internal)?.address;
      for (const [address, to] of [[hostAddress, port], ...(own ? [[own, port] as const, [own, neighbourPort] as const] : []), [containerAddress, 8_080], [hostAddress, neighbourPort], ["169.254.169.254", 80], ["127.0.0.1", port]] as const) {
        expect(await cell.connect(evil, address, to), `${address}:${to}`).toMatch(/No route to host|refused|Permission denied/);
      }
      // Allowed by name, while it runs; and taken back.
      await evil.setEgress([{ protocol: "tcp", destination: containerAddress, ports: "8080" }, { protocol: "tcp", destination: hostAddress }]);
      expect(await cell.connect(evil, containerAddress, 8_080)).toContain("reached");
      expect(await cell.connect(evil, hostAddress, port)).toContain("reached");
      expect(await cell.connect(evil, "169.254.169.254", 80)).toMatch(/No route to host/);
      await evil.setEgress([{ protocol: "all", destination: "0.0.0.0/0" }]);
      expect(await cell.connect(evil, containerAddress, 8_080)).toMatch(/No route to host|refused/);
      expect(await cell.connect(evil, hostAddress, port)).toMatch(/No route to host|refused/);
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
      expect(await cell.connect(evil, `198.18.${third}.2`, 7_777)).toMatch(/No route to host|refused/);
    } finally {
      outside?.kill("SIGKILL");
      ip("netns", "delete", netns);
    }
  }, 120_000);

  test("a fork bomb stays in its container, the neighbour answers, and it is stopped", async () => {
    const bomb = await cell.make({ maxProcesses: 200 });
    await cell.start(bomb, "bomb() { bomb | bomb & }; bomb; while :; do sleep 1; done");
    let most = 0;
    for (let round = 0; round < 20; round++) {
      most = Math.max(most, (await bomb.usage()).processes);
      expect(await hello()).toBe("here");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(most).toBeLessThanOrEqual(200);
    await bomb.stop({ graceMs: 0 });
    expect((await bomb.usage()).processes).toBe(0);
    await bomb.destroy();
  }, 120_000);

  test("a memory hog whose children do the eating is named too", async () => {
    const hog = await cell.make({ memoryBytes: 32 * MiB });
    await cell.start(hog, `while :; do "${process.execPath}" -e 'const all = []; for (;;) all.push(Buffer.alloc(4e6, 1))'; sleep 0.1; done`);
    await until(async () => ((await hog.usage()).outOfMemoryKills ?? 0) > 0, 30_000);
    expect((await hog.info()).events).toEqual(["out of memory"]);
    await hog.destroy();
  }, 120_000);
});
