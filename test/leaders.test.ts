import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Bus, createBus, natsTransport } from "@opencf/bus";
import { componentDiscover } from "@opencf/bus/messages";
import { nodeApp, writeTree } from "./support/apps.ts";
import { createCfClient, type CfClient, type Pushed } from "./support/cf-client.ts";
import { ask } from "./support/http.ts";
import { processesOf, startPlatform, type Platform } from "./support/platform.ts";
import { missing, startNats, startPostgres, type Server } from "./support/servers.ts";
import { tempFolder } from "./support/temp.ts";
import { until } from "./support/until.ts";

// Over a bus where every part may say and hear only what its role needs, as examples/paas/nats-server.conf has it:
// two processes that each could compare, nudge and schedule: one does, and when it dies the other one does.
const reason = process.platform === "linux" ? missing("nats-server", "postgres", "initdb") : "reads /proc";

describe.skipIf(reason)(`leaders${reason ? `: ${reason}` : ""}`, () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  let nats: Server;
  let postgres: Server;
  let bus: Bus;
  const parts = new Map<string, Platform>();
  let cf: CfClient;
  let pushed: Pushed;

  const config = fileURLToPath(new URL("../examples/paas/nats-server.conf", import.meta.url));
  const users = ["controller", "uaa", "router", "executor", "stager", "monitor", "tool"];
  const env = Object.fromEntries(users.map((user) => [`NATS_${user.toUpperCase()}_PASSWORD`, `${user}-0123456789`]));
  const as = (user: string, port: number) => `nats://${user}:${user}-0123456789@127.0.0.1:${port}`;

  const part = async (name: string, user: string, roles: string, args: string[] = []) => {
    const started = await startPlatform({
      // Several addresses, one of which nobody answers: the parts find the one that is there.
      dataDir: join(folder.path, name), args: ["--roles", roles, "--nats", `${as(user, 1)},${as(user, nats.port)}`, "--no-demo", "--verbose", "--backend", "process", ...args],
    });
    parts.set(name, started);
    return started;
  };

  /** Those who say of themselves that they lead, by asking every component for its numbers. */
  const leaders = async (type: string): Promise<number[]> => {
    const found = (await bus.gather(componentDiscover, {}, { waitMs: 300 })).filter((each) => each.type === type);
    const answers = await Promise.all(found.map(async ({ host, credentials }) => {
      const authorization = `Basic ${Buffer.from(credentials.join(":")).toString("base64")}`;
      const response = await fetch(`http://${host}/varz`, { headers: { authorization }, signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
      return response?.ok ? ((await response.json()) as { leading?: number; pid?: number }) : undefined;
    }));
    return answers.map((each) => each?.leading ?? -1);
  };

  beforeAll(async () => {
    folder = await tempFolder("leaders");
    [nats, postgres] = await Promise.all([startNats(folder.path, undefined, { config, env }), startPostgres(folder.path)]);
    bus = await createBus({ transport: natsTransport({ servers: as("monitor", nats.port), inboxPrefix: "_INBOX.monitor" }) });
    const core = await part("core", "uaa", "uaa,logs,blobs", ["--database", postgres.url, "--admin-password", "s3cret-of-the-test"]);
    expect(core.output()).not.toMatch(/s3cret-of-the-test/);
    await part("control-1", "controller", "controller,health", ["--database", postgres.url]);
    await part("control-2", "controller", "controller,health", ["--database", postgres.url]);
    await Promise.all([part("router", "router", "router"), part("dea", "executor", "dea"), part("stager", "stager", "stager")]);
    const api = `http://127.0.0.1:${parts.get("router")?.port}`;
    cf = await until("somebody may log in through the router", () => createCfClient({ api, user: "admin", password: "s3cret-of-the-test" }), { withinMs: 60_000, everyMs: 500 });
    await cf.target("acme", "dev");
  }, 180_000);
  afterAll(async () => {
    await bus?.[Symbol.asyncDispose]();
    await Promise.all([...parts.values()].map((started) => started[Symbol.asyncDispose]()));
    await postgres?.[Symbol.asyncDispose]();
    await nats?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  test("nobody was refused anything that the role needs", () => {
    for (const [name, { output }] of parts) expect(output().match(/.*BUS_FORBIDDEN.*/g), name).toBeNull();
  });

  test("of two health managers and two schedulers one each leads", { timeout: 60_000 }, async () => {
    expect((await until("both answer", async () => { const all = await leaders("HealthManager"); return all.length === 2 && all.includes(1) ? all : undefined; })).sort()).toEqual([0, 1]);
    expect((await until("both answer", async () => { const all = await leaders("CloudController"); return all.length === 2 && all.includes(1) ? all : undefined; })).sort()).toEqual([0, 1]);
  });

  test("the leader is killed: within 10 seconds the other leads, and what should run runs again", { timeout: 180_000 }, async () => {
    const dir = await writeTree(join(folder.path, "app"), nodeApp("hello under two controllers"));
    pushed = await cf.push({ name: "steady", dir, app: { memory: "64M" } });
    await cf.running(pushed.processGuid, 1);
    const led = (name: string) => parts.get(name)?.output().match(/"event":"leader","name":"reconciler","leading":(true|false)/g)?.at(-1)?.endsWith("true") ?? false;
    const first = ["control-1", "control-2"].find(led) as string;
    const second = first === "control-1" ? "control-2" : "control-1";
    expect([led(first), led(second)]).toEqual([true, false]);
    const died = Date.now();
    await parts.get(first)?.kill("SIGKILL");
    parts.delete(first);
    await until("the other one leads", () => Promise.resolve(led(second)), { withinMs: 10_000, everyMs: 50 });
    console.log(`the reconciler moved in ${Date.now() - died} ms`);
    // The executor is lost with everything on it; a new one takes its place. Only a reconciler that works notices.
    for (const pid of processesOf(join(folder.path, "dea"))) process.kill(pid, "SIGKILL");
    parts.delete("dea");
    await part("dea-2", "executor", "dea");
    await until("the app answers from the new executor", async () => {
      const answer = await ask(`http://127.0.0.1:${parts.get("router")?.port}/`, { host: "steady.cf.localhost" });
      return answer.status === 200 && answer.text === "hello under two controllers";
    }, { withinMs: 90_000, everyMs: 250 });
    expect((await until("one scheduler", async () => { const all = await leaders("CloudController"); return all.includes(1) ? all : undefined; }))).toEqual([1]);
  });
});
