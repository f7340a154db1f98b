import { createServer, request as httpRequest } from "node:http";
import { connect } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { createBrokerApi } from "../src/broker-api.ts";
import { checkBroker, type ConformanceResult } from "../src/conformance.ts";
import { codes } from "../src/errors.ts";
import { serve, toNodeListener, type BrokerServer } from "../src/node.ts";
import { run } from "../src/program.ts";
import { credentials, gate, platform, scripted, until, world } from "./fixtures/world.ts";

const open: AsyncDisposable[] = [];
afterEach(async () => { for (const one of open.splice(0)) await one[Symbol.asyncDispose](); });

async function onPort(script = {}, options = {}): Promise<{ server: BrokerServer; calls: { verb: string }[] } & ReturnType<typeof platform>> {
  const { broker, calls } = scripted(script);
  const server = await serve(createBrokerApi(broker, { credentials, ...options }), { port: 0, graceMs: 1_000 });
  open.push(server);
  return { server, calls, ...platform(fetch, server.url) };
}

describe("over a port", () => {
  test("a whole life", async () => {
    const w = await onPort();
    expect((await w.ask("GET", "/v2/catalog")).body["services"]).toHaveLength(2);
    expect((await w.provision("i/1", { parameters: { size: 3 } })).status).toBe(201);
    expect((await w.update("i/1", { plan_id: "p2" })).status).toBe(200);
    expect((await w.bind("i/1", "b", { plan_id: "p2" })).body).toMatchObject({ credentials: { user: "b" } });
    expect((await w.ask("GET", w.binding("i/1", "b"))).status).toBe(200);
    expect((await w.unbind("i/1", "b")).status).toBe(200);
    const gone = await w.deprovision("i/1");
    expect(gone).toMatchObject({ status: 200, body: {} });
    expect(gone.headers.get("content-type")).toMatch(/^application\/json/);
  });

  test("a large body is refused while it comes", async () => {
    const w = await onPort({}, { maxBodyBytes: 10_000 });
    const status = await new Promise<number>((resolve, reject) => {
      const { hostname, port } = new URL(w.server.url);
      const outgoing = httpRequest({ hostname, port, method: "PUT", path: "/v2/service_instances/i", headers: { authorization: `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`, "x-broker-api-version": "2.17", "transfer-encoding": "chunked" } });
      outgoing.on("response", (response) => { resolve(response.statusCode ?? 0); outgoing.destroy(); });
      outgoing.on("error", reject);
      outgoing.write(`{"a":"${"x".repeat(20_000)}`);   // and never an end
    });
    expect(status).toBe(413);
  });

  for (const [name, text, status] of [
    ["an absolute request target", "GET http://evil.example/v2/catalog HTTP/1.1\r\nHost: x\r\n\r\n", 401], ["a host that is none", "GET /v2/catalog HTTP/1.1\r\nHost: ///\r\n\r\n", 401], ["a double slash", "GET //v2/catalog HTTP/1.1\r\nHost: x\r\n\r\n", 401],
    ["a target that is none", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400],
  ] as const)
    test(`${name}: ${status}`, async () => {
      const w = await onPort();
      const answer = await new Promise<string>((resolve, reject) => {
        const socket = connect(w.server.port, "127.0.0.1", () => socket.write(text));
        socket.once("data", (data) => { resolve(String(data)); socket.destroy(); });
        socket.on("error", reject);
      });
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    });

  test("closing waits for the call under way; twice is quiet", async () => {
    const door = gate();
    const w = await onPort({ provision: () => door.passed });
    const answer = w.provision("i");
    await until(() => w.calls.length === 1);
    const closed = Promise.all([w.server[Symbol.asyncDispose](), w.server[Symbol.asyncDispose]()]);
    door.open();
    expect((await answer).status).toBe(201);
    await closed;
    await expect(fetch(w.server.url)).rejects.toThrow();
  });

  test("a port that is taken is told", async () => {
    const w = await onPort();
    await expect(serve(async () => new Response(), { port: w.server.port })).rejects.toMatchObject({ code: "BROKER_INVALID_OPTIONS" });
  });

  test("an api that throws is a 500", async () => {
    const server = createServer(toNodeListener(async () => { throw new Error("secret"); }));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    open.push({ [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) });
    const response = await fetch(`http://127.0.0.1:${(server.address() as { port: number }).port}/`);
    expect([response.status, await response.text()]).toEqual([500, '{"description":"the broker failed"}']);
  });
});

describe("conformance", () => {
  const collect = async (url: string, more = {}): Promise<ConformanceResult[]> => {
    const results: ConformanceResult[] = [];
    for await (const one of checkBroker({ url, ...credentials, ...more })) results.push(one);
    return results;
  };

  test("a broker of ours passes everything that applies, on each plan", async () => {
    const w = await onPort();
    for (const [plan, skipped] of [["tiny", 0], ["big", 0], ["fixed", 10], ["only", 3]] as const) {
      const results = await collect(w.server.url, { plan });
      expect(results.filter(({ result }) => result === "failed")).toEqual([]);
      expect([plan, results.filter(({ result }) => result === "skipped").length]).toEqual([plan, skipped]);
      expect(results.length).toBeGreaterThan(30);
    }
  });

  // Faults put between a good broker and the checker; each must be found, and by the case that is meant to find it.
  for (const [name, spoil, found] of [
    ["an empty body for a deletion", (q, r) => (q.method === "DELETE" && r.status === 200 ? new Response(null, { status: 200 }) : r), /200 with an object/],
    ["204 for a deletion", (q, r) => (q.method === "DELETE" && r.status === 200 ? new Response(null, { status: 204 }) : r), /deprovision: 200/],
    ["404 instead of 410", (_, r) => (r.status === 410 ? Response.json({}, { status: 404 }) : r), /410/],
    ["201 for a repetition", (q, r) => (q.method === "PUT" && r.status === 200 ? new Response(r.body, { status: 201 }) : r), /provision: 200 for the same again/],
    ["a conflict overlooked", (_, r) => (r.status === 409 ? Response.json({}, { status: 200 }) : r), /409/],
    ["no 401", (_, r) => (r.status === 401 ? Response.json({ services: [] }) : r), /401/],
    ["any version", (_, r) => (r.status === 412 ? Response.json({}) : r), /412/],
    ["missing fields accepted", (_, r) => (r.status === 400 ? Response.json({}, { status: 201 }) : r), /400 without organization_guid/],
    ["no echo", (_, r) => new Response(r.body, { status: r.status }), /identity is echoed/],
    ["text instead of JSON", (q, r) => (q.url.endsWith("/catalog") && r.status === 200 ? new Response("hello") : r), /catalog/],
  ] as readonly (readonly [string, (request: Request, response: Response) => Response, RegExp])[])
    test(`finds ${name}`, async () => {
      const { api } = world();
      const server = await serve(async (request) => spoil(request, await api(request)), { port: 0 });
      open.push(server);
      const failed = (await collect(server.url)).filter(({ result }) => result === "failed").map((one) => one.name);
      expect(failed.join("\n")).toMatch(found);
    });

  test("cleans up when it is stopped half way", async () => {
    const w = await onPort();
    for await (const { name } of checkBroker({ url: w.server.url, ...credentials })) if (name === "bind: 201") break;
    expect(w.calls.map(({ verb }) => verb)).toEqual(["provision", "bind", "unbind", "deprovision"]);
  });

  test("goes on after a failure, and says which case it was", async () => {
    const w = await onPort({ bind: async () => { throw new Error("broken"); } });
    const results = await collect(w.server.url);
    expect(results.find(({ name }) => name === "bind: 201")).toMatchObject({ result: "failed", reason: expect.stringContaining("500") });
    expect(results.find(({ name }) => name === "deprovision: 200 with an object")).toMatchObject({ result: "passed" });
  });

  test("an asynchronous-only broker is skipped, not blamed", async () => {
    const { api } = world();
    const server = await serve(async (request) => (["PUT", "DELETE"].includes(request.method) && (await request.clone().text()).includes("x_unknown") ? Response.json({ error: "AsyncRequired", description: "x" }, { status: 422 }) : api(request)), { port: 0 });
    open.push(server);
    expect((await collect(server.url)).find(({ name }) => name.startsWith("provision: 201"))).toMatchObject({ result: "skipped" });
  });
});

describe("program", () => {
  const cli = async (args: string[], env: Record<string, string> = {}) => {
    let out = "", err = "";
    const code = await run(args, { env, out: (text) => { out += text; }, err: (text) => { err += text; } });
    return { code, out, err };
  };

  test("check says what passed", async () => {
    const w = await onPort();
    const good = await cli(["check", w.server.url, "--user", "admin", "--password", credentials.password]);
    expect(good).toMatchObject({ code: 0, err: "" });
    expect(good.out).toMatch(/ok   provision: 201/);
    expect(good.out).toMatch(/\d+ passed, 0 failed, 0 skipped\n$/);
    const json = await cli(["check", w.server.url, "--user", "admin", "--plan", "only", "--json", "--parameters", '{"a":1}'], { OPENCF_BROKER_PASSWORD: credentials.password });
    expect(json.code).toBe(0);
    expect(JSON.parse(json.out)).toMatchObject({ ok: true, failed: 0, skipped: 3 });
    const bad = await cli(["check", w.server.url, "--user", "admin", "--password", "wrong"]);
    expect(bad.code).toBe(1);
    expect(bad.out).toMatch(/FAIL catalog: 200/);
    const nobody = await cli(["check", "http://127.0.0.1:9", "--user", "a", "--password", "b", "--json"]);
    expect(nobody.code).toBe(1);
  });

  test("asked wrongly, and help", async () => {
    for (const args of [[], ["check"], ["nonsense", "http://x"], ["check", "ftp://x", "--user", "a", "--password", "b"], ["check", "http://x"], ["check", "http://x", "--user", "a"], ["check", "http://x", "y", "--user", "a", "--password", "b"], ["--frob"], ["check", "http://x", "--user", "a", "--password", "b", "--parameters", "[]"], ["check", "http://x", "--user", "a", "--password", "b", "--timeout-ms", "soon"]]) {
      const { code, out, err } = await cli(args);
      expect([args, code, out]).toEqual([args, 2, ""]);
      expect(err).toContain("--help");
    }
    expect((await cli(["--help"])).out).toContain("Examples");
  });
});

test("codes are unique and say which package they are from", () => {
  expect(new Set(codes).size).toBe(codes.length);
  for (const code of codes) expect(code).toMatch(/^BROKER_[A-Z_]+$/);
});
