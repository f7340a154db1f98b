import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nodeApp, staticApp, writeTree } from "./support/apps.ts";
import { ApiError, createCfClient, type CfClient, type Json, type Pushed } from "./support/cf-client.ts";
import { ask, nobody } from "./support/http.ts";
import { describeProcesses, processesOf, startPlatform, type Platform } from "./support/platform.ts";
import { tempFolder } from "./support/temp.ts";
import { until } from "./support/until.ts";

let folder: Awaited<ReturnType<typeof tempFolder>>;
beforeAll(async () => { folder = await tempFolder("journey"); });
afterAll(() => folder[Symbol.asyncDispose]());

describe("a newcomer", () => {
  test("starts the platform, sees an app answer, and stops everything with one signal", async () => {
    const dataDir = join(folder.path, "newcomer");
    await using platform = await startPlatform({ dataDir });
    const { api, app, user, password } = platform.ready;
    expect({ api, app, user, password }).toEqual({ api: expect.stringMatching(/^http:\/\//), app: expect.stringMatching(/^http:\/\//), user: expect.any(String), password: expect.any(String) });
    const page = await until("the demo app answers", async () => {
      const url = new URL(String(app));
      const answer = await ask(`http://127.0.0.1:${platform.port}${url.pathname}`, { host: url.host });
      return answer.status === 200 && answer;
    });
    expect(page.text.length).toBeGreaterThan(10);
    await platform.kill("SIGTERM");
    await until("nothing of it is left", () => processesOf(dataDir).length === 0, { withinMs: 10_000 })
      .catch((error: unknown) => { throw new Error(`${String(error)}\n${describeProcesses(processesOf(dataDir))}`); });
  }, 120_000);
});

describe("a user of the API", () => {
  let platform: Platform;
  let cf: CfClient;
  let pushed: Pushed;
  const host = "greeter.cf.localhost";
  const greeterDir = () => join(folder.path, "greeter");

  beforeAll(async () => {
    platform = await startPlatform({ dataDir: join(folder.path, "data"), args: ["--no-demo"] });
    cf = await createCfClient(platform.ready as { api: string; user: string; password: string });
    await cf.target("acme", "dev");
    await writeTree(greeterDir(), nodeApp("hello from the first version"));
  }, 120_000);
  afterAll(() => platform?.[Symbol.asyncDispose]());

  test("finds the doors in the form in which it asked", async () => {
    const { links } = await cf.get("/");
    for (const name of ["self", "login", "uaa", "log_cache", "cloud_controller_v3"]) expect(links[name].href, name).toContain(`127.0.0.1:${platform.port}`);
    const named = JSON.parse((await ask(`http://127.0.0.1:${platform.port}/`, { host: `api.cf.localhost:${platform.port}` })).text);
    expect(named.links.login.href).toBe(`http://login.cf.localhost:${platform.port}`);
    expect(named.links.log_cache.href).toBe(`http://log-cache.cf.localhost:${platform.port}`);
  });

  test("is refused without a token, and with a wrong password", async () => {
    expect((await ask(`${platform.ready.api}/v3/apps`)).status).toBe(401);
    await expect(createCfClient({ api: String(platform.ready.api), user: "admin", password: "wrong" })).rejects.toThrow(ApiError);
  });

  test("pushes an app, and it answers", async () => {
    pushed = await cf.push({ name: "greeter", dir: greeterDir(), app: { memory: "128M", instances: 1, env: { COLOUR: "green" } } });
    const answer = await until("the app answers", async () => {
      const found = await cf.app(host);
      return found.status === 200 && found;
    });
    expect(answer.text).toBe("hello from the first version");
  }, 180_000);

  test("the app sees its environment", async () => {
    const env = JSON.parse((await cf.app(host, "/env")).text);
    expect(env).toMatchObject({ COLOUR: "green", VCAP_APPLICATION: expect.any(String), VCAP_SERVICES: expect.any(String), CF_INSTANCE_INDEX: "0" });
    expect(JSON.parse(env.VCAP_APPLICATION)).toMatchObject({ application_name: "greeter", space_name: "dev", application_uris: [host] });
    expect(Object.keys(env).filter((name) => /PASSWORD|SECRET|TOKEN/i.test(name)), "no secret of the platform").toEqual([]);
  });

  test("reads staging and app logs", async () => {
    await cf.app(host, "/err");
    const lines = await until("log lines of app and staging", async () => {
      const found = await cf.recentLogs(pushed.appGuid);
      return found.some((line) => line.includes("on the error stream")) && found.some((line) => line.includes("GET /err ")) && found;
    });
    expect(lines.some((line) => /^\[STG\/\d+\] OUT /.test(line)), lines.join("\n")).toBe(true);
    expect(lines.some((line) => /^\[APP\/PROC\/WEB\/0\] OUT .*listening on/.test(line)), lines.join("\n")).toBe(true);
    expect(lines.some((line) => line.startsWith(`[RTR/0] OUT ${host} - [`) && line.includes(`"GET /err HTTP/1.1"`) && line.includes(`app_id:"${pushed.appGuid}"`)), lines.join("\n")).toBe(true);
    expect(lines.some((line) => /^\[APP\/PROC\/WEB\/0\] ERR .*on the error stream/.test(line)), lines.join("\n")).toBe(true);
  }, 60_000);

  test("scales to two instances, and both are routed to", async () => {
    await cf.request("POST", `/v3/apps/${pushed.appGuid}/processes/web/actions/scale`, { instances: 2 });
    await cf.running(pushed.processGuid, 2);
    const seen = new Set<string>();
    await until("both instances answer", async () => seen.add((await cf.app(host, "/index")).text).size >= 2);
    expect([...seen].sort()).toEqual(["0", "1"]);
  }, 120_000);

  test("a crashed instance comes back as another one, and the crash is an event", async () => {
    const before = (await cf.app(host, "/id")).text;
    await cf.app(host, "/crash?code=9").catch(() => undefined);
    await until("two instances run again", async () => {
      const found = await cf.running(pushed.processGuid, 2);
      return found.length === 2;
    });
    await until("the crash is among the events", async () => {
      const { resources } = await cf.get(`/v3/audit_events?target_guids=${pushed.appGuid}&order_by=-created_at`);
      return resources.some((event: Json) => /crash/.test(event.type));
    });
    expect(before).not.toBe("");
  }, 120_000);

  test("pushes a new version, which alone answers afterwards", async () => {
    await writeTree(greeterDir(), nodeApp("hello from the second version"));
    await cf.push({ name: "greeter", dir: greeterDir(), app: { memory: "128M" } });
    await until("only the new version answers", async () => {
      const texts = await Promise.all(Array.from({ length: 6 }, async () => (await cf.app(host)).text));
      return texts.every((text) => text === "hello from the second version");
    });
  }, 180_000);

  test("stops and starts", async () => {
    await cf.request("POST", `/v3/apps/${pushed.appGuid}/actions/stop`);
    await until("the router knows nobody", async () => nobody.includes((await cf.app(host)).status));
    await cf.request("POST", `/v3/apps/${pushed.appGuid}/actions/start`);
    await until("it answers again", async () => (await cf.app(host)).status === 200);
  }, 120_000);

  test("pushes a static site without a word about buildpacks", async () => {
    await cf.push({ name: "site", dir: await writeTree(join(folder.path, "site"), staticApp("a page")), app: { memory: "64M" } });
    const answer = await until("the site answers", async () => {
      const found = await cf.app("site.cf.localhost");
      return found.status === 200 && found;
    });
    expect(answer.text).toContain("a page");
  }, 180_000);

  test("an app nobody can stage is refused with a reason", async () => {
    await expect(cf.push({ name: "riddle", dir: await writeTree(join(folder.path, "riddle"), { "what.xyz": "?" }) })).rejects.toThrow(/NoAppDetectedError/);
  }, 120_000);

  test("deletes an app: no route, no process, no record", async () => {
    const { headers } = await cf.request("DELETE", `/v3/apps/${pushed.appGuid}`);
    await cf.job(headers["location"] as string);
    await until("the route is gone", async () => nobody.includes((await cf.app(host)).status));
    await expect(cf.get(`/v3/apps/${pushed.appGuid}`)).rejects.toMatchObject({ status: 404 });
  }, 60_000);

  test("after a planned restart everything runs as before", async () => {
    await platform.kill("SIGTERM");
    const { port, dataDir } = platform;
    platform = await startPlatform({ dataDir, port, args: ["--no-demo"] });
    await until("the site answers again", async () => {
      const answer = await ask(`http://127.0.0.1:${port}/`, { host: "site.cf.localhost" });
      return answer.status === 200 && answer.text.includes("a page");
    }, { withinMs: 60_000 });
  }, 180_000);
});
