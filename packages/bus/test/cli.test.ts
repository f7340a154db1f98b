import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { announce, createBus, natsTransport } from "@opencf/bus";
import { routerRegister } from "@opencf/bus/messages";
import { hasNatsServer, type NatsServer, startNatsServer } from "./fixtures/nats-server.ts";

const cli = fileURLToPath(new URL("../dist/cli.js", import.meta.url));
const run = async (...args: string[]): Promise<{ code: number; out: string; err: string }> => {
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [cli, ...args], { timeout: 15_000 });
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, out: stdout, err: stderr };
  }
};

// `npm test` builds first; a run of this file alone builds when there is nothing yet.
beforeAll(async () => {
  if (!existsSync(cli)) await promisify(execFile)("npx", ["tsup"], { cwd: fileURLToPath(new URL("..", import.meta.url)) });
});

test.each([
  [["--help"], 0, /tap \[PATTERN\]/], [[], 0, /Usage/], [["messages"], 0, /router\.register/], [["fly"], 2, /no command/], [["tap", "--what"], 2, /--help/],
])("%j ends with %i", async (args, code, text) => {
  const { code: ended, out, err } = await run(...args);
  expect([ended, out + err]).toEqual([code, expect.stringMatching(text)]);
});

test("no server: exit code 1 and what to do", async () => {
  const { code, err } = await run("components", "--nats", "nats://127.0.0.1:1");
  expect([code, err]).toEqual([1, expect.stringMatching(/start one \(nats-server\)/)]);
});

describe.skipIf(!hasNatsServer())("with a real nats-server (apt-get install nats-server)", () => {
  let server: NatsServer;
  beforeAll(async () => void (server = await startNatsServer()));
  afterAll(async () => server[Symbol.asyncDispose]());

  test("components lists who is there, without their credentials", async () => {
    await using bus = await createBus({ transport: natsTransport({ servers: server.url }) });
    await using component = await announce(bus, { type: "Router", index: 4, password: "geheim" });
    const { out } = await run("components", "--nats", server.url, "--wait", "500", "--json");
    expect(JSON.parse(out)).toMatchObject({ type: "Router", index: 4, uuid: component.uuid });
    expect(out).not.toContain("geheim");
  });

  test("pub checks a known subject; tap shows it", async () => {
    await using bus = await createBus({ transport: natsTransport({ servers: server.url }) });
    const heard: string[][] = [];
    bus.subscribe(routerRegister, ({ body }) => heard.push(body.uris));
    const tap = spawn(process.execPath, [cli, "tap", "router.>", "--nats", server.url]);
    let shown = "";
    tap.stdout.on("data", (data: Buffer) => (shown += data.toString()));
    await expect.poll(async () => {
      await run("pub", "router.register", '{"host":"h","port":1,"uris":["a.b"]}', "--nats", server.url);
      return shown;
    }, { timeout: 15_000 }).toMatch(/router\.register {2}\{"host":"h"/);
    expect(heard).toContainEqual(["a.b"]);
    const bad = await run("pub", "router.register", '{"host":1,"uris":[]}', "--nats", server.url);
    expect([bad.code, bad.err]).toEqual([2, expect.stringMatching(/host: must be string/)]);
    tap.kill("SIGTERM");
    expect((await once(tap, "exit"))[0]).toBe(0);
  });
});
