import { spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { chmod, mkdtemp, readFile, rename, rm, stat } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { logToFile } from "../../src/log/file.ts";
import { logToSocket } from "../../src/log/socket.ts";
import { createWriter } from "../../src/log/writer.ts";
import { httpBackend } from "../fixtures/backend.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

let folder = "";
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), "opencf-log-")); });
afterAll(() => rm(folder, { recursive: true, force: true }));

const linesOf = async (path: string): Promise<string[]> => (await readFile(path, "utf8").catch(() => "")).split("\n").filter((line) => line !== "");

describe("the queue before a slow output", () => {
  test("takes one batch at a time, in order, and loses only what is beyond its bound", async () => {
    const sent: string[] = [];
    let release: (() => void) | undefined;
    const writer = createWriter({ name: "slow", maxBacklog: 40, send: (text) => new Promise((resolve) => { sent.push(String(text)); release = resolve; }) });
    for (let at = 0; at < 10; at += 1) writer.put(Buffer.from(`line ${at}\n`), 1);
    // Seven octets a line: five are held, the first of them under way.
    expect([sent, writer.droppedLines]).toEqual([["line 0\n"], 5]);
    release?.();
    await eventually(() => sent.length === 2);
    expect(sent[1]).toBe("line 1\nline 2\nline 3\nline 4\n");
    release?.();
    await eventually(() => writer.writtenLines === 5);
    writer.put(Buffer.from("later\n"), 1);
    release?.();
    await writer[Symbol.asyncDispose]();
    writer.put(Buffer.from("too late\n"), 1);
    expect([sent.at(-1), writer.writtenLines, writer.droppedLines]).toEqual(["later\n", 6, 6]);
  });

  test("says once that it fails and once that it works again; its end does not wait for ever", async () => {
    const said: string[] = [];
    const log = { info: (event: string) => void said.push(event), warn() {}, error: (event: string) => void said.push(event) };
    let broken = true;
    let sent = 0;
    const writer = createWriter({ name: "w", retryMs: 10, log, send: async () => { sent += 1; if (broken) throw new Error("disk full"); } });
    for (const expected of [1, 2, 3]) {
      writer.put(Buffer.from("a\n"), 1);
      await eventually(() => sent === expected);
    }
    broken = false;
    writer.put(Buffer.from("b\n"), 1);
    await eventually(() => writer.writtenLines === 1);
    expect([said, writer.droppedLines]).toEqual([["router.access-log.failed", "router.access-log.recovered"], 3]);
    await writer[Symbol.asyncDispose]();
    const stuck = createWriter({ name: "stuck", closeMs: 50, send: () => new Promise(() => undefined) });
    stuck.put(Buffer.from("x\n"), 1);
    await stuck[Symbol.asyncDispose]();
  });
});

describe("a file", () => {
  test("13.107 gets every line, whole; after a rotation the new file gets what follows", async () => {
    const path = join(folder, "access.log");
    await using target = logToFile(path);
    await using app = await httpBackend((_, response) => response.end("fine"));
    await using r = await rig({ accessLog: [target] });
    r.serve([app]);
    for (let at = 0; at < 5; at += 1) await ask(r.port, { path: `/${at}` });
    await eventually(async () => (await linesOf(path)).length === 5);
    expect((await stat(path)).mode & 0o777 & 0o137).toBe(0);
    await rename(path, `${path}.1`);
    await ask(r.port, { path: "/old" });
    await eventually(async () => (await linesOf(`${path}.1`)).length === 6);
    target.reopen?.();
    for (let at = 0; at < 3; at += 1) await ask(r.port, { path: `/new${at}` });
    await eventually(async () => (await linesOf(path)).length === 3);
    expect((await linesOf(path)).every((line) => /^app\.example\.com - \[[^\]]+Z\] "GET \/new\d HTTP\/1\.1" 200 .* x_cf_routererror:"-"$/.test(line))).toBe(true);
    expect([target.writtenLines, target.droppedLines]).toEqual([9, 0]);
  });

  test("a rotation in the middle of many lines loses none and doubles none", async () => {
    const path = join(folder, "rotated.log");
    const target = logToFile(path);
    for (let at = 0; at < 2_000; at += 1) {
      target.put(Buffer.from(`${at}\n`), 1);
      if (at % 100 === 50) {
        await rename(path, `${path}.${at}`).catch(() => undefined);
        target.reopen?.();
      }
      if (at % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await target[Symbol.asyncDispose]();
    const all = (await Promise.all([path, ...Array.from({ length: 20 }, (_, at) => `${path}.${at * 100 + 50}`)].map(linesOf))).flat().map(Number);
    expect(all.sort((one, other) => one - other)).toEqual(Array.from({ length: 2_000 }, (_, at) => at));
  });

  test("that cannot be opened costs lines, which are counted, and no request; when it can it goes on", async () => {
    const blocked = join(folder, "is-a-folder");
    await using target = logToFile(join(blocked, "access.log"));
    await using app = await httpBackend((_, response) => response.end("fine"));
    await using r = await rig({ accessLog: target, status: { port: 0 } });
    r.serve([app]);
    for (let at = 0; at < 3; at += 1) expect((await ask(r.port)).body).toBe("fine");
    await eventually(() => target.droppedLines > 0);
    const varz = JSON.parse((await ask(r.router.statusAddress?.port ?? 0, { path: "/varz" })).body) as { dropped_access_log_lines: number };
    expect(varz.dropped_access_log_lines).toBeGreaterThan(0);
    expect((await ask(r.router.statusAddress?.port ?? 0, { path: "/metrics" })).body).toMatch(/^access_log_dropped_lines [1-9]/m);
  });

  test.skipIf(spawnSync("mkfifo", ["--version"]).error !== undefined)("a pipe whose reader stands still blocks nothing, and is written on when it reads again", async () => {
    const path = join(folder, "pipe");
    spawnSync("mkfifo", [path]);
    await chmod(path, 0o600);
    // Opens the pipe, and reads only when told to go on.
    const reader = spawn("cat", [path], { stdio: ["ignore", "pipe", "ignore"] });
    const target = logToFile(path, { maxBacklog: 300_000 });
    try {
      let read = 0;
      reader.stdout.on("data", (chunk: Buffer) => { read += chunk.length; });
      await eventually(() => {
        if (target.writtenLines === 0) target.put(Buffer.from("first\n"), 1);
        return read >= 6;
      }, 20_000);
      reader.kill("SIGSTOP");
      await using app = await httpBackend((_, response) => response.end("fine"));
      await using r = await rig({ accessLog: target });
      r.serve([app]);
      // What was said before anybody had opened the pipe is lost already.
      const lost = target.droppedLines;
      for (let at = 0; at < 500 && target.droppedLines === lost; at += 1) expect((await ask(r.port, { headers: { "user-agent": "u".repeat(2_000) } })).body).toBe("fine");
      expect(target.droppedLines).toBeGreaterThan(lost);
      const before = read;
      reader.kill("SIGCONT");
      await eventually(() => read > before + 200_000, 20_000);
    } finally {
      reader.kill("SIGKILL");
      await target[Symbol.asyncDispose]();
    }
  }, 60_000);
});

describe("a collector", () => {
  test("13.107 UDP: one datagram per line, as a syslog message; what is too long is cut", async () => {
    const socket = createSocket("udp4");
    const heard: string[] = [];
    socket.on("message", (message) => heard.push(message.toString()));
    await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
    const target = logToSocket({ kind: "udp", port: socket.address().port });
    target.put(Buffer.from("one\ntwo\n"), 2);
    target.put(Buffer.from(`${"x".repeat(70_000)}\n`), 1);
    await eventually(() => heard.length === 3);
    expect(heard[0]).toMatch(/^<14>1 \d{4}-\d\d-\d\dT[\d:.]+Z \S+ vcap\.gorouter \d+ - - one$/);
    expect(heard[1]).toMatch(/ - - two$/);
    expect([heard[2]?.length, heard[2]?.endsWith("...-TOO-LONG-TO-LOG--TRUNCATED")]).toEqual([65_400, true]);
    await target[Symbol.asyncDispose]();
    await new Promise<void>((resolve) => { socket.close(resolve); });
  });

  test("13.107 TCP: lines with a syslog head; a collector that goes away costs lines, one that comes back gets the next", async () => {
    const open = new Set<Socket>();
    let heard = "";
    const server = createServer((socket) => {
      open.add(socket);
      socket.on("data", (data: Buffer) => { heard += data.toString(); });
      socket.on("error", () => undefined);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const target = logToSocket({ kind: "tcp", port });
    target.put(Buffer.from("one\ntwo\n"), 2);
    await eventually(() => heard.split("\n").length === 3);
    expect(heard).toMatch(/^<14>1 \S+ \S+ vcap\.gorouter \d+ - - one\n<14>1 .* - - two\n$/);
    for (const socket of open) socket.destroy();
    heard = "";
    await eventually(() => {
      target.put(Buffer.from("again\n"), 1);
      return heard.includes("again");
    }, 20_000);
    await target[Symbol.asyncDispose]();
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }, 30_000);

  test("a Unix socket gets bare lines", async () => {
    const path = join(folder, "log.sock");
    let heard = "";
    const server = createServer((socket) => void socket.on("data", (data: Buffer) => { heard += data.toString(); }));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const target = logToSocket({ kind: "unix", path });
    target.put(Buffer.from("one\n"), 1);
    await eventually(() => heard === "one\n");
    await target[Symbol.asyncDispose]();
    await new Promise((resolve) => server.close(resolve));
  });

  test("that was never there costs lines and nothing else", async () => {
    const target = logToSocket({ kind: "tcp", port: 1 });
    target.put(Buffer.from("one\n"), 1);
    await eventually(() => target.droppedLines === 1);
    await target[Symbol.asyncDispose]();
  });
});
