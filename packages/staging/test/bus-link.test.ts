import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type Body, type Bus, createBus, memoryTransport, natsTransport, type Reply } from "@opencf/bus";
import { logEnvelopes, stagingAdvertise, stagingLocate, stagingStart, stagingStop } from "@opencf/bus/messages";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Stager, type StagerOptions, serveStaging } from "../src/bus-link.ts";
import { hasNatsServer, startNatsServer } from "../../bus/test/fixtures/nats-server.ts";
import { eventually, shellBuildpack, temporaryFolder } from "./fixtures/folders.ts";
import { type RawEntry, zipBytes } from "./fixtures/zip.ts";

type Request = Body<typeof stagingStart>;
type Done = Extract<Reply<typeof stagingStart>, { app_id: string }>;
type Line = Body<typeof logEnvelopes>["envelopes"][number];

const release = "echo 'default_process_types: {web: ./run}'";
const hello: readonly RawEntry[] = [{ name: "index.txt", data: "hello" }];

let server: Server;
let base = "";
let bus: Bus;
let lines: Line[];
let stored: Map<string, { body: Buffer; headers: IncomingMessage["headers"] }>;
let hits: string[];
let answer: (request: IncomingMessage, response: ServerResponse, body: Buffer) => boolean;
const stagers: Stager[] = [];

beforeAll(async () => {
  // A blob store in ten lines: what is put can be got.
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () => {
      const path = request.url ?? "";
      const body = Buffer.concat(chunks);
      hits.push(`${request.method} ${path}`);
      if (answer(request, response, body)) return;
      const blob = stored.get(path);
      if (request.method === "PUT") {
        stored.set(path, { body, headers: request.headers });
        response.writeHead(201).end();
      } else if (blob) response.end(blob.body);
      else response.writeHead(404).end();
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(async () => {
  bus = await createBus({ transport: memoryTransport() });
  lines = [];
  hits = [];
  answer = () => false;
  stored = new Map([["/package", { body: zipBytes(hello), headers: {} }]]);
  bus.subscribe(logEnvelopes, ({ body }) => void lines.push(...body.envelopes));
});
afterEach(async () => {
  for (const stager of stagers.splice(0)) await stager[Symbol.asyncDispose]();
  await bus[Symbol.asyncDispose]();
});

async function stager(scripts: Record<string, string>, options: StagerOptions = {}): Promise<Stager> {
  const made = await serveStaging(bus, {
    id: "s1", workDir: join(await temporaryFolder(), "work"), catalog: [{ name: "bp", path: await shellBuildpack(scripts) }], retryPauseMs: 5, advertiseIntervalMs: 50, ...options,
  });
  stagers.push(made);
  return made;
}

const request = (more: Partial<Request> = {}, properties: Request["properties"] = {}): Request => ({
  app_id: "app-1", task_id: "task-1", properties, download_uri: `${base}/package`, upload_uri: `${base}/droplet?signature=topsecret`, ...more,
});

async function ask(body: Request, id = "s1"): Promise<{ setup: Reply<typeof stagingStart>; done: Done }> {
  const replies: Reply<typeof stagingStart>[] = [];
  for await (const reply of bus.replies(stagingStart, body, { params: { id }, timeoutMs: 15_000 })) {
    replies.push(reply);
    if (replies.length === 2 || ("error" in reply && reply.error)) break;
  }
  return { setup: replies[0] as Reply<typeof stagingStart>, done: replies.at(-1) as Done };
}

describe("a request", () => {
  test("is answered twice; the droplet is delivered with its digest; lines arrive in order as STG", async () => {
    await stager({ detect: "echo It; exit 0", finalize: "echo one; echo two; echo three; echo four >&2", release });
    const { setup, done } = await ask(request({ log_source: { source_id: "src", tags: { app_name: "shop", source_type: "evil" } } }));
    expect(setup).toEqual({ task_id: "task-1", task_streaming_log_url: null, error: null });
    const { body = Buffer.alloc(0), headers = {} } = stored.get("/droplet?signature=topsecret") ?? {};
    const digest = createHash("sha256").update(body);
    expect(done).toMatchObject({
      task_id: "task-1", app_id: "app-1", detected_buildpack: "It", buildpack_key: "bp", detected_start_command: "./run", process_types: { web: "./run" }, procfile: { web: "./run" }, sidecars: [], stack: "cflinuxfs4", dea_id: "s1",
      droplet_sha256: digest.copy().digest("hex"), droplet_sha1: createHash("sha1").update(body).digest("hex"), droplet_size_bytes: body.length,
      buildpacks: [{ key: "bp", name: "bp", buildpack_name: "It", version: null, detect_output: "It" }],
    });
    expect(done.error).toBeUndefined();
    expect(headers["content-digest"]).toBe(`sha-256=:${digest.digest("base64")}:`);
    expect(headers["content-length"]).toBe(String(body.length));
    const own = lines.filter(({ payload }) => /^(one|two|three)$/.test(payload));
    expect(own.map(({ payload }) => payload)).toEqual(["one", "two", "three"]);
    expect(lines.find(({ payload }) => payload === "four")).toMatchObject({ type: "ERR", source_id: "src", instance_id: "0", tags: { source_type: "STG", app_name: "shop" } });
    const times = lines.map(({ timestamp }) => BigInt(timestamp));
    expect(times.every((time, index) => index === 0 || time > (times[index - 1] as bigint))).toBe(true);
    expect(JSON.stringify(lines)).not.toContain("topsecret");
  });
  test("brings environment, services, limits, command and a list of buildpacks", async () => {
    const scripts = { finalize: 'echo "$A|$B|$MEMORY_LIMIT|$VCAP_SERVICES|$VCAP_APPLICATION|$CF_STACK"', release: "echo {}" };
    await stager(scripts, { stacks: ["mine"] });
    const { done } = await ask(request({ memory_limit: 2048 }, {
      environment: ["A=1=2", "B"], buildpacks: ["bp"], vcap_services: { s: [] }, vcap_application: { name: "n" }, meta: { command: "./own" },
    }));
    expect(done.error).toBeUndefined();
    expect(lines.map(({ payload }) => payload)).toContain('1=2||2048m|{"s":[]}|{"name":"n"}|mine');
  });
  test.each<[string, Record<string, string>, Request["properties"], string]>([
    ["nothing detected", { detect: "exit 1" }, {}, "NoAppDetectedError"],
    ["compile failed", { compile: "exit 1", release }, { buildpacks: ["bp"] }, "BuildpackCompileFailed"],
    ["release failed", { compile: ":", release: "exit 1" }, { buildpack: "bp" }, "BuildpackReleaseFailed"],
    ["no such buildpack", {}, { buildpack_key: "nope" }, "StagingError"],
    ["a buildpack on this machine", {}, { buildpacks: ["/etc"] }, "StagingError"],
  ])("that fails says so in its second answer: %s", async (_, scripts, properties, type) => {
    await stager(scripts);
    const { done } = await ask(request({}, properties));
    expect(done).toMatchObject({ task_id: "task-1", app_id: "app-1", error_info: { type, message: done.error } });
    expect(lines.at(-1)).toMatchObject({ type: "ERR", payload: `**ERROR** ${done.error}` });
    expect(stored.has("/droplet?signature=topsecret")).toBe(false);
  });
  test("with an evil package fails as a staging error, and nothing is left", async () => {
    stored.set("/package", { body: zipBytes([{ name: "../x", data: "x" }]), headers: {} });
    const workDir = join(await temporaryFolder(), "work");
    await stager({}, { workDir });
    const { done } = await ask(request());
    expect(done.error_info?.type).toBe("StagingError");
    expect(done.error).toContain("../x");
    expect(await readdir(workDir)).toEqual([]);
  });
  test("takes longer than it may: StagingTimeExpired", async () => {
    await stager({ detect: "", finalize: "sleep 60", release });
    const { done } = await ask(request({ timeout_seconds: 1 }));
    expect(done.error_info?.type).toBe("StagingTimeExpired");
  });
  test("is stopped by the app's id, and by nobody else's", async () => {
    const stage = await stager({ detect: "", finalize: "echo begun; sleep 60", release });
    const asked = ask(request());
    await eventually("the build", () => lines.some(({ payload }) => payload === "begun"));
    bus.publish(stagingStop, { app_id: "other" });
    bus.publish(stagingStop, { app_id: "app-1", task_id: "older" });
    await new Promise((done) => setTimeout(done, 100));
    expect(stage.running).toBe(1);
    bus.publish(stagingStop, { app_id: "app-1" });
    expect((await asked).done).toMatchObject({ error: expect.stringContaining("cancelled") as string });
    expect(stage.running).toBe(0);
  });
  test("sent twice is one build", async () => {
    await stager({ detect: "", finalize: "echo begun; sleep 0.3", release });
    const first = ask(request());
    const again = await bus.request(stagingStart, request(), { params: { id: "s1" } });
    expect(again).toMatchObject({ task_id: "task-1", error: null });
    await first;
    expect(lines.filter(({ payload }) => payload === "begun")).toHaveLength(1);
  });
});

describe("transfers", () => {
  test("are tried again while the fault may pass, the upload from its start", async () => {
    let failures = 0;
    answer = (_, response) => {
      if (++failures % 3 === 0) return false;
      response.writeHead(503).end("later");
      return true;
    };
    await stager({ detect: "", finalize: ":", release });
    expect((await ask(request())).done.error).toBeUndefined();
    expect(hits).toEqual(["GET /package", "GET /package", "GET /package", ...Array.from({ length: 3 }, () => "PUT /droplet?signature=topsecret")]);
  });
  test("that are refused fail the build at once, without the signature in the text", async () => {
    answer = ({ method }, response) => {
      if (method !== "PUT") return false;
      response.writeHead(422).end("digest mismatch");
      return true;
    };
    await stager({ detect: "", finalize: ":", release });
    const { done } = await ask(request());
    expect(done.error).toMatch(/droplet.*422 \(digest mismatch\)/);
    expect(done.error).not.toContain("topsecret");
    expect(hits.filter((hit) => hit.startsWith("PUT"))).toHaveLength(1);
  });
  test("that hang are ended by the limit of the whole build", async () => {
    answer = () => true;
    await stager({ detect: "" });
    expect((await ask(request({ timeout_seconds: 1 }))).done.error_info?.type).toBe("StagingTimeExpired");
  });
  test("of a package that is too large stop early", async () => {
    await stager({ detect: "" }, { maxPackageBytes: 10 });
    expect((await ask(request())).done.error).toMatch(/larger than 10 bytes/);
  });
});

describe("the build cache", () => {
  const counting = { detect: "", finalize: `n=$(cat "$2/n" 2>/dev/null || echo 0); n=$((n + 1)); echo $n > "$2/n"; echo "build $n"`, release };
  const withCache = (task_id: string): Request => request({ task_id, buildpack_cache_download_uri: `${base}/cache`, buildpack_cache_upload_uri: `${base}/cache` });

  test("comes and goes by HTTP; the first time there is none", async () => {
    await stager(counting);
    for (const task of ["a", "b", "c"]) expect((await ask(withCache(task))).done.error).toBeUndefined();
    expect(lines.map(({ payload }) => payload).filter((text) => text.startsWith("build "))).toEqual(["build 1", "build 2", "build 3"]);
    expect(lines.some(({ payload }) => payload.includes("WARNING"))).toBe(false);
  });
  test("that is damaged, or cannot be kept, is told and does not fail the build", async () => {
    stored.set("/cache", { body: Buffer.from("no archive"), headers: {} });
    answer = ({ method, url }, response) => {
      if (method !== "PUT" || url !== "/cache") return false;
      response.writeHead(500).end();
      return true;
    };
    await stager(counting);
    expect((await ask(withCache("a"))).done.error).toBeUndefined();
    const text = lines.map(({ payload }) => payload).join("\n");
    expect(text).toMatch(/without the build cache[^]*build 1[^]*could not be kept/);
  });
});

describe("room", () => {
  test("is advertised at intervals and when asked, and refused when it is used up", async () => {
    const seen: Body<typeof stagingAdvertise>[] = [];
    bus.subscribe(stagingAdvertise, ({ body }) => void seen.push(body));
    const made = await stager({ detect: "", finalize: "echo begun; sleep 60", release }, { memoryBytes: 3 * 1024 ** 3, stacks: ["x", "y"], maxConcurrent: 2, advertiseIntervalMs: 60_000 });
    await eventually("the first", () => seen.length === 1);
    expect(seen[0]).toMatchObject({ id: "s1", stacks: ["x", "y"], available_memory: 3072, available_disk: expect.any(Number) as number });
    bus.publish(stagingLocate, {});
    await eventually("the answer", () => seen.length === 2);

    const first = ask(request({ task_id: "a", app_id: "a" }));
    await eventually("less room", () => seen.at(-1)?.available_memory === 2048);
    expect((await ask(request({ task_id: "big", memory_limit: 4096 }))).setup).toMatchObject({ error: expect.stringContaining("2048 MB") as string });
    expect((await ask(request({ task_id: "stack", stack: "z" }))).setup).toMatchObject({ error: expect.stringContaining("stack z") as string });
    const second = ask(request({ task_id: "b", app_id: "b" }));
    await eventually("no room", () => seen.at(-1)?.available_memory === 0);
    expect((await ask(request({ task_id: "c" }))).setup).toMatchObject({ error: expect.stringContaining("2 builds") as string });
    await eventually("both", () => lines.filter(({ payload }) => payload === "begun").length === 2);

    await made[Symbol.asyncDispose]();
    await made[Symbol.asyncDispose]();
    for (const { done } of [await first, await second]) expect(done).toMatchObject({ error: expect.stringContaining("stopping") as string });
  });
  test("several stagers answer for themselves", async () => {
    await stager({ detect: "", finalize: ":", release });
    await stager({ detect: "exit 1" }, { id: "s2" });
    expect((await ask(request(), "s1")).done.error).toBeUndefined();
    expect((await ask(request(), "s2")).done.error_info?.type).toBe("NoAppDetectedError");
  });
});

test("a list of the controller's buildpacks is the whole truth; those without a URL are ours", async () => {
  const entries: RawEntry[] = [{ name: "bin/detect", data: "#!/bin/sh\nexit 0" }, { name: "bin/finalize", data: "#!/bin/sh\necho by admin" }, { name: "bin/release", data: `#!/bin/sh\n${release}` }];
  stored.set("/bp", { body: zipBytes(entries), headers: {} });
  await stager({ detect: "exit 0", finalize: "echo ours", release });
  const admin_buildpacks = [{ key: "guid_sha", url: `${base}/bp`, name: "special" }];
  expect((await ask(request({ task_id: "1", admin_buildpacks }))).done).toMatchObject({ buildpack_key: "guid_sha", buildpacks: [{ name: "special" }] });
  expect((await ask(request({ task_id: "2", admin_buildpacks }, { buildpacks: ["bp"] }))).done.error).toMatch(/no buildpack named "bp"/);
  expect((await ask(request({ task_id: "3", admin_buildpacks: [{ key: "k", url: "", name: "bp" }, ...admin_buildpacks] }))).done.error).toBeUndefined();
  expect(lines.map(({ payload }) => payload)).toEqual(expect.arrayContaining(["by admin", "ours"]));
  expect(hits.filter((hit) => hit === "GET /bp")).toHaveLength(1);
});

test.runIf(hasNatsServer())("over a real NATS server", async () => {
  await using nats = await startNatsServer();
  await using near = await createBus({ transport: natsTransport({ servers: [nats.url] }) });
  await using far = await createBus({ transport: natsTransport({ servers: [nats.url] }) });
  const notes = await temporaryFolder();
  await using made = await serveStaging(far, {
    workDir: join(await temporaryFolder(), "work"),
    catalog: [{ name: "bp", path: await shellBuildpack({ detect: "", finalize: `touch "${notes}/begun"; while [ ! -e "${notes}/go" ]; do sleep 0.05; done; seq 1 2000`, release }) }],
  });
  const received: string[] = [];
  near.subscribe(logEnvelopes, ({ body }) => void received.push(...body.envelopes.map(({ payload }) => payload)));
  await near.flush();
  await far.flush();

  const replies = near.replies(stagingStart, request(), { params: { id: made.id }, timeoutMs: 15_000 });
  expect((await replies.next()).value).toMatchObject({ task_id: "task-1", error: null });
  await eventually("the build", () => existsSync(join(notes, "begun")));
  await writeFile(join(notes, "go"), "");
  expect((await replies.next()).value).toMatchObject({ app_id: "app-1", process_types: { web: "./run" } });
  expect(stored.has("/droplet?signature=topsecret")).toBe(true);
  await eventually("every line", () => received.filter((text) => /^\d+$/.test(text)).length === 2000);
  await replies.return();
});

test("a bus that goes away first does not keep a stager from ending", async () => {
  const other = await createBus({ transport: memoryTransport() });
  const made = await serveStaging(other, { workDir: join(await temporaryFolder(), "work"), advertiseIntervalMs: 10 });
  await other[Symbol.asyncDispose]();
  await new Promise((done) => setTimeout(done, 50));
  await made[Symbol.asyncDispose]();
});
