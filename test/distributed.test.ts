import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nodeApp, writeTree } from "./support/apps.ts";
import { createCfClient, type CfClient, type Json, type Pushed } from "./support/cf-client.ts";
import { ask } from "./support/http.ts";
import { processesOf, startPlatform, type Platform } from "./support/platform.ts";
import { missing, startNats, startPostgres, type Server } from "./support/servers.ts";
import { tempFolder } from "./support/temp.ts";
import { until } from "./support/until.ts";

// The same program on "many machines": one controller, two routers, two executors, one stager, each a process with a
// folder of its own, joined by a real NATS server and a real PostgreSQL server and by nothing else.
const reason = process.platform === "linux" ? missing("nats-server", "postgres", "initdb") : "reads /proc";

describe.skipIf(reason)(`distributed${reason ? `: ${reason}` : ""}`, () => {
  const host = "greeter.cf.localhost";
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  let nats: Server;
  let postgres: Server;
  const parts = new Map<string, Platform>();
  let cf: CfClient;
  let pushed: Pushed;

  const part = async (name: string, roles: string, args: string[] = []) => {
    const started = await startPlatform({ dataDir: join(folder.path, name), args: ["--roles", roles, "--nats", nats.url, "--no-demo", "--backend", "process", ...args] });
    parts.set(name, started);
    return started;
  };
  const routers = () => ["router-1", "router-2"].map((name) => parts.get(name)?.port ?? 0);

  beforeAll(async () => {
    folder = await tempFolder("distributed");
    [nats, postgres] = await Promise.all([startNats(folder.path), startPostgres(folder.path)]);
    const controller = await part("controller", "controller,uaa,health,logs,blobs", ["--database", postgres.url, "--admin-password", "s3cret-of-the-test"]);
    await Promise.all([part("router-1", "router"), part("router-2", "router"), part("dea-1", "dea"), part("dea-2", "dea"), part("stager", "stager")]);
    expect(controller.output()).not.toMatch(/s3cret-of-the-test/);
    const api = `http://127.0.0.1:${parts.get("router-1")?.port}`;
    cf = await until("somebody may log in through a router", () => createCfClient({ api, user: "admin", password: "s3cret-of-the-test" }), { withinMs: 60_000, everyMs: 500 });
    await cf.target("acme", "dev");
  }, 180_000);
  afterAll(async () => {
    await Promise.all([...parts.values()].map((started) => started[Symbol.asyncDispose]()));
    await postgres?.[Symbol.asyncDispose]();
    await nats?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  /** Asks the app through both routers all the time; what did not answer 200, and when. */
  function watch() {
    const bad: { at: number; router: number; what: string }[] = [];
    const stop = new AbortController();
    let asked = 0;
    const runs = routers().map(async (port, router) => {
      while (!stop.signal.aborted) {
        asked++;
        const answer = await ask(`http://127.0.0.1:${port}/`, { host, timeoutMs: 5_000 }).catch((error: unknown) => ({ status: 0, text: String(error) }));
        if (answer.status !== 200 || answer.text !== "hello from two machines") bad.push({ at: Date.now(), router, what: `${answer.status} ${answer.text.slice(0, 120)}` });
        await wait(20);
      }
    });
    return {
      bad,
      async end() {
        stop.abort();
        await Promise.all(runs);
        return asked;
      },
    };
  }

  test("an app with two instances stands on two executors, and both routers know it", { timeout: 180_000 }, async () => {
    const dir = await writeTree(join(folder.path, "app"), nodeApp("hello from two machines"));
    pushed = await cf.push({ name: "greeter", dir, app: { memory: "64M", instances: 2 } });
    await cf.running(pushed.processGuid, 2);
    for (const port of routers()) {
      const seen = new Set<string>();
      await until("both instances answer through each router", async () => {
        const answer = await ask(`http://127.0.0.1:${port}/index`, { host });
        return answer.status === 200 && seen.add(answer.text).size >= 2;
      });
    }
    for (const name of ["dea-1", "dea-2"]) {
      const servers = processesOf(join(folder.path, name));
      expect(servers.length, `${name} runs itself and one instance`).toBeGreaterThan(1);
    }
  });

  test("a dead executor's instance is elsewhere within 30 seconds, and the surviving one answers all the time", { timeout: 120_000 }, async () => {
    const watching = watch();
    await wait(1_000);
    const died = Date.now();
    // The machine is gone: the executor and all that ran on it, without a word to anybody.
    for (const pid of processesOf(join(folder.path, "dea-1"))) process.kill(pid, "SIGKILL");
    parts.delete("dea-1");
    const stats: Json[] = await until("two running instances that answer", async () => {
      const { resources } = await cf.get(`/v3/processes/${pushed.processGuid}/stats`);
      if (resources.filter((instance: Json) => instance.state === "RUNNING").length < 2) return undefined;
      for (const port of routers()) {
        const seen = new Set<string>();
        for (let i = 0; i < 10; i++) {
          const answer = await ask(`http://127.0.0.1:${port}/index`, { host }).catch(() => undefined);
          if (answer?.status === 200) seen.add(answer.text);
        }
        if (seen.size < 2) return undefined;
      }
      return resources;
    }, { withinMs: 30_000, everyMs: 500 });
    const tookMs = Date.now() - died;
    const asked = await watching.end();
    console.log(`both instances again after ${tookMs} ms; ${watching.bad.length} of ${asked} requests failed`);
    expect(stats).toHaveLength(2);
    expect(asked).toBeGreaterThan(20);
    // A request that was in flight to the machine when it died may be lost; later ones are not.
    expect(watching.bad.filter(({ at }) => at > died + 1_000), JSON.stringify(watching.bad.slice(0, 5))).toEqual([]);
    expect(watching.bad.length).toBeLessThanOrEqual(2);
  });

  test("routed traffic never notices that the controller died, and the controller finds everything again", { timeout: 180_000 }, async () => {
    const watching = watch();
    await wait(500);
    await parts.get("controller")?.kill("SIGKILL");
    await wait(15_000);
    const asked = await watching.end();
    expect(watching.bad).toEqual([]);
    expect(asked).toBeGreaterThan(100);

    await part("controller", "controller,uaa,health,logs,blobs", ["--database", postgres.url, "--admin-password", "s3cret-of-the-test"]);
    const api = `http://127.0.0.1:${parts.get("router-2")?.port}`;
    cf = await until("the API answers again", () => createCfClient({ api, user: "admin", password: "s3cret-of-the-test" }), { withinMs: 60_000, everyMs: 500 });
    expect((await cf.running(pushed.processGuid, 2, 60_000)).length).toBe(2);
  });

  test("the bus goes away and comes back: traffic flows on, and the parts find each other again", { timeout: 180_000 }, async () => {
    const watching = watch();
    const { port } = nats;
    await nats[Symbol.asyncDispose]();
    await wait(5_000);
    nats = await startNats(folder.path, port);
    await until("the controller hears the executors again", async () => (await cf.running(pushed.processGuid, 2, 30_000)).length === 2, { withinMs: 60_000 });
    await watching.end();
    expect(watching.bad).toEqual([]);
    await cf.request("POST", `/v3/apps/${pushed.appGuid}/processes/web/actions/scale`, { instances: 3 });
    await cf.running(pushed.processGuid, 3, 60_000);
  });
});
