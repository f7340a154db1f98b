import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { natsAuthorization } from "@opencf/bus/permissions";
import { hasNatsServer, type NatsServer, startNatsServer } from "../../../packages/bus/test/fixtures/nats-server.ts";
import { parseExposition, valueOf } from "../../../packages/bus/test/fixtures/prometheus.ts";
import type { ComponentView } from "../view.ts";
import { bundlePrograms, type Program, type Programs } from "./fixtures/programs.ts";

let programs: Programs;
beforeAll(async () => void (programs = await bundlePrograms()));
afterAll(() => programs[Symbol.asyncDispose]());

describe("the command line", () => {
  test.each([
    [["--help"], 0, /vcap\.component\.discover[^]*Examples[^]*Exit codes/],
    [["--what"], 2, /--what[^]*--help/],
    [["--port", "http"], 2, /--port http: give a whole number from 0 to 65535/],
    [["--interval", "0"], 2, /--interval 0: give a number from 0\.1/],
    [["--nats", "http://u:geheim@x"], 2, /^(?![^]*geheim)[^]*nats:\/\/10/],
    [["--user", "x"], 2, /--password-file/],
    [["--creds", "/nowhere/x"], 2, /--creds \/nowhere\/x: the file cannot be read \(ENOENT\)/],
  ])("%j ends with %i", async (args, code, words) => {
    expect(await programs.run("cli", ...args)).toEqual({ code, output: expect.stringMatching(words) });
  });
});

describe.skipIf(!hasNatsServer())("with components in processes of their own, on a real nats-server (apt-get install nats-server)", () => {
  let nats: NatsServer;
  let collector: Program;
  let url = "";
  const parts = new Map<string, Program>();
  const part = async (mode: string, index: number): Promise<Program> => {
    const started = await programs.start("part", mode, nats.url, String(index));
    parts.set(`${mode} ${index}`, started);
    return started;
  };

  const read = async (path: string): Promise<string> => (await fetch(`${url}${path}`)).text();
  const list = async () => JSON.parse(await read("/components.json")) as { bus: string; rounds: number; components: ComponentView[] };
  const stateOf = async (uuid: string) => (await list()).components.find((each) => each.uuid === uuid);
  const becomes = (uuid: string, expected: object) => expect.poll(() => stateOf(uuid), { timeout: 15_000, interval: 100 }).toMatchObject(expected);

  beforeAll(async () => {
    nats = await startNatsServer();
    collector = await programs.start("cli", "--nats", nats.url, "--port", "0", "--interval", "0.4", "--timeout", "1", "--json");
    url = (JSON.parse(collector.firstLine) as { url: string }).url;
    await Promise.all([part("modern", 0), part("modern", 1), part("v1", 7), part("hang", 0), part("huge", 0), part("redirect", 0), part("hidden", 0)]);
  }, 60_000);
  afterAll(async () => {
    await nats?.[Symbol.asyncDispose]();
  });

  test("all are found; each is what it is", async () => {
    await expect.poll(async () => (await list()).components.map(({ type, index, state, reason }) => ({ type, index, state, reason })), { timeout: 15_000 }).toEqual([
      { type: "hang", index: 0, state: "failing", reason: "does not answer in time" },
      { type: "Hidden", index: 0, state: "failing", reason: "does not accept the credentials" },
      { type: "huge", index: 0, state: "failing", reason: "answers more than 4 MB" },
      { type: "Modern<b>", index: 0, state: "up", reason: null },
      { type: "Modern<b>", index: 1, state: "up", reason: null },
      { type: "redirect", index: 0, state: "failing", reason: "answers with status 302" },
      { type: "v1", index: 7, state: "up", reason: null },
    ]);
    const { components, bus } = await list();
    expect(bus).toBe("connected");
    expect(components.find(({ type }) => type === "v1")).toMatchObject({ started: "2012-03-04T04:06:07.000Z", memory_bytes: 51_200 * 1_024, cpu_percent: 12.5, requests: 987, version: null });
    expect(components.find(({ type }) => type === "Modern<b>")).toMatchObject({ version: "1.2.3", zone: "z1", requests: 12_345, uuid: expect.stringMatching(/^0-[0-9a-f]{32}$/) });
  });

  test("one text for Prometheus: exact, labelled, old components flattened", async () => {
    const answer = await fetch(`${url}/metrics`);
    expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const families = parseExposition(await answer.text());
    const v1 = { component: "v1", index: "7", uuid: parts.get("v1 7")?.firstLine ?? "" };
    const modern = { component: "Modern<b>", index: "1" };
    expect([v1, modern, { component: "hang" }, { component: "huge" }].map((labels) => valueOf(families, "opencf_up", labels))).toEqual([1, 1, 0, 0]);
    expect(valueOf(families, "opencf_varz_memory_bytes", v1)).toBe(51_200 * 1_024);
    expect(valueOf(families, "opencf_varz_uptime_seconds", v1)).toBe(93_784);
    expect(valueOf(families, "opencf_varz_apps_max_memory", v1)).toBe(4_096);
    expect(valueOf(families, "opencf_varz_nested_responses2xx", v1)).toBe(5);
    expect(families.get("opencf_varz_top")?.samples.map(({ labels, value }) => [labels["key"], value])).toEqual([["a.b", 1], ["c0ffeec0ffeec0ffee", 2]]);
    expect(valueOf(families, "opencf_varz_latency", { ...modern, key: "99" })).toBe(0.2);
    expect(families.get("jobs_total")).toMatchObject({ type: "counter", help: "Jobs done." });
    expect(valueOf(families, "jobs_total", { ...modern, exported_component: "inner", queue: 'odd "one"\n' })).toBe(4);
    expect(valueOf(families, "wait_seconds_bucket", { ...modern, le: "2" })).toBe(1);
    expect(families.get("process_resident_memory_bytes")?.samples).toHaveLength(2);
    expect(valueOf(families, "opencf_component_start_time_seconds", v1)).toBe(1_330_833_967);
    expect(valueOf(families, "opencf_component_info", { ...modern, version: "1.2.3", zone: "z1" })).toBe(1);
    expect(Number(valueOf(families, "opencf_scrape_duration_seconds", { component: "hang" }))).toBeGreaterThan(0.9);
    expect(Number(valueOf(families, "opencf_last_seen_age_seconds", v1))).toBeLessThan(5);
    expect([...families.keys()].filter((name) => /config|credential|port/.test(name))).toEqual([]);
  });

  test("no credential anywhere, no tag from a component, everything escaped", async () => {
    for (const path of ["/", "/metrics", "/components.json", "/nothing"]) expect(await read(path)).not.toMatch(/geheim|"credentials"/);
    const page = await read("/");
    expect(page).not.toContain("Modern<b>");
    expect(page).toContain("Modern&#60;b&#62;");
    expect(collector.output()).not.toMatch(/geheim/);
  });

  test("one that is killed is shown as gone, with why; its successor takes its place", async () => {
    const victim = parts.get("modern 1");
    const uuid = victim?.firstLine ?? "";
    victim?.child.kill("SIGKILL");
    await becomes(uuid, { state: "gone", reason: "refuses the connection" });
    const families = parseExposition(await read("/metrics"));
    expect(valueOf(families, "opencf_up", { uuid })).toBe(0);
    expect(families.get("jobs_total")?.samples.filter(({ labels }) => labels["uuid"] === uuid)).toEqual([]);
    expect(await read("/")).toMatch(/<tr class="gone">/);
    const next = await part("modern", 1);
    await becomes(next.firstLine, { state: "up" });
    expect(await stateOf(uuid)).toMatchObject({ state: "gone" });
  });

  test("a bus that is away makes nobody gone, and components come back with it", async () => {
    const uuid = parts.get("v1 7")?.firstLine ?? "";
    await nats.kill();
    await expect.poll(async () => (await list()).bus, { timeout: 15_000 }).toBe("disconnected");
    const { rounds } = await list();
    await expect.poll(async () => (await list()).rounds, { timeout: 15_000 }).toBeGreaterThan(rounds + 4);
    expect((await list()).components.filter(({ type }) => type === "hang")).toMatchObject([{ state: "failing" }]);
    expect(await stateOf(uuid)).toMatchObject({ state: "up" });
    expect(await read("/")).toContain("the bus is away");
    await nats.restart();
    await expect.poll(async () => (await list()).bus, { timeout: 15_000 }).toBe("connected");
    await becomes(uuid, { state: "up" });
  }, 60_000);

  test("unknown paths say what there is; HEAD has no body; nothing may be posted", async () => {
    const missing = await fetch(`${url}/nothing`);
    expect([missing.status, await missing.text()]).toEqual([404, expect.stringMatching(/\/metrics/)]);
    const head = await fetch(`${url}/metrics`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
    expect((await fetch(`${url}/`, { method: "POST", body: "x" })).status).toBe(405);
  });

  test("a taken port is a clear error", async () => {
    const busy = createServer().listen(0, "127.0.0.1");
    await once(busy, "listening");
    const { port } = busy.address() as AddressInfo;
    const { code, output } = await programs.run("cli", "--nats", nats.url, "--port", String(port));
    busy.close();
    expect([code, output]).toEqual([1, expect.stringMatching(new RegExp(`cannot listen on 127.0.0.1:${port}[^]*--port`))]);
  });

  test("with the permissions of a monitor and no others, and the password of a component that hides it", async () => {
    await using strict = await startNatsServer({ config: natsAuthorization([{ role: "monitor", password: "m" }, { role: "component", password: "c" }]) });
    const folder = await mkdtemp(join(tmpdir(), "opencf-collector-test-"));
    const file = async (name: string, text: string): Promise<string> => {
      await writeFile(join(folder, name), text, { mode: 0o600 });
      return join(folder, name);
    };
    const hidden = await programs.start("part", "hidden", strict.url.replace("//", "//component:c@"), "0");
    const other = await programs.start("cli", "--nats", strict.url, "--user", "monitor", "--password-file", await file("m", "m\n"), "--inbox-prefix", "_INBOX.monitor",
      "--component-user", "monitor", "--component-password-file", await file("c", "geheim-modern"), "--port", "0", "--interval", "0.4", "--json");
    const { url: page } = JSON.parse(other.firstLine) as { url: string };
    await expect.poll(async () => ((await (await fetch(`${page}/components.json`)).json()) as { components: ComponentView[] }).components, { timeout: 15_000 }).toMatchObject([{ uuid: hidden.firstLine, state: "up" }]);
    await rm(folder, { recursive: true });
    await Promise.all([other[Symbol.asyncDispose](), hidden[Symbol.asyncDispose]()]);
  });

  test("SIGTERM ends it, although a component hangs", async () => {
    const other = await programs.start("cli", "--nats", nats.url, "--port", "0", "--interval", "0.4", "--timeout", "30");
    const page = other.output().match(/http:\S+\//)?.[0] ?? "";
    await expect.poll(async () => (await fetch(page)).status).toBe(200);
    const startedMs = Date.now();
    other.child.kill("SIGTERM");
    await once(other.child, "exit");
    expect([other.child.exitCode, Date.now() - startedMs < 5_000]).toEqual([0, true]);
  });
});
