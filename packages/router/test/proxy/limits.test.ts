import { request as httpRequest } from "node:http";
import { describe, expect, test } from "vitest";
import { echo, httpBackend } from "../fixtures/backend.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

describe("request headers", () => {
  for (const [what, request, status] of [
    ["just under the limit", { headers: { "x-big": "a".repeat(7_800) } }, 200],
    ["a value over it", { headers: { "x-big": "a".repeat(8_200) } }, 431],
    ["a long target", { path: `/${"p".repeat(8_200)}` }, 431],
    ["a long query", { path: `/?${"q".repeat(8_200)}` }, 431],
    ["a long name", { headers: { [`x-${"n".repeat(8_200)}`]: "1" } }, 431],
    ["many small ones", { headers: Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`x-${index}`, "v"])) }, 431],
  ] as const) {
    test(`13.73 ${what}: ${status}, logged with the app`, async () => {
      await using app = await httpBackend(echo);
      await using r = await rig({ maxRequestHeaderBytes: 8_192 });
      r.serve([app]);
      const answer = await ask(r.port, request);
      expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([status, status === 200 ? undefined : "max-request-size-exceeded"]);
      await eventually(() => r.records.length === 1);
      expect(r.records[0]?.route).toBe("app.example.com");
    });
  }

  test("13.73 counted, when a number is set", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig({ maxRequestHeaders: 20 });
    r.serve([app]);
    const headers = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`, "v"]));
    expect((await ask(r.port, { headers: headers(10) })).status).toBe(200);
    expect((await ask(r.port, { headers: headers(20) })).status).toBe(431);
  });

  test("13.73 far over every limit: refused by the parser, in the same words", async () => {
    await using r = await rig({ maxRequestHeaderBytes: 8_192 });
    await using client = await wire(r.port, `GET / HTTP/1.1\r\nHost: app.example.com\r\nX-Big: ${"a".repeat(100_000)}\r\n\r\n`);
    expect(await client.until("\r\n\r\n")).toMatch(/^HTTP\/1\.1 431 [\s\S]*max-request-size-exceeded/);
  });

  test("large ones pass by default: node's own 16 KiB are not the limit", async () => {
    await using app = await httpBackend((request, response) => response.end(String(request.headers["x-big"]?.length)));
    app.server.maxHeadersCount = 0;
    await using r = await rig();
    r.serve([app]);
    expect((await ask(r.port, { headers: { "x-big": "a".repeat(15_000), "x-more": "b".repeat(1_000) } })).body).toBe("15000");
  });

  test("13.72 a client that sends them too slowly is told to go", async () => {
    await using r = await rig({ headersTimeoutMs: 200 });
    await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.exa");
    expect(await client.end()).toMatch(/^HTTP\/1\.1 408 [\s\S]*request_timeout/);
  });
});

describe("connections", () => {
  test("13.71 idle ones of clients are closed after their time, busy ones are not", async () => {
    await using app = await httpBackend((request, response) => { setTimeout(() => echo(request, response), request.url === "/slow" ? 1_600 : 0); });
    await using r = await rig({ clientIdleMs: 300 });
    r.serve([app]);
    await using client = await wire(r.port, "GET /slow HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await client.until("\"url\":\"/slow\"");
    await client.end();
  });

  test("13.46 third request on a limit of two: 503, and the next one after that is served", async () => {
    const held: (() => void)[] = [];
    await using app = await httpBackend((_, response) => void held.push(() => response.end("done")));
    await using r = await rig({ maxConnectionsPerEndpoint: 2 });
    r.serve([app]);
    const two = [ask(r.port), ask(r.port)];
    await eventually(() => held.length === 2);
    const third = await ask(r.port);
    expect([third.status, third.headers["x-cf-routererror"]]).toEqual([503, "Connection Limit Reached"]);
    for (const finish of held.splice(0)) finish();
    for (const answer of await Promise.all(two)) expect(answer.body).toBe("done");
    const next = ask(r.port);
    await eventually(() => held.length === 1);
    held[0]?.();
    expect((await next).status).toBe(200);
  });

  test("a body under way counts until its end", async () => {
    let finish: (() => void) | undefined;
    await using app = await httpBackend((_, response) => { response.write("begin"); finish = () => response.end(); });
    await using r = await rig({ maxConnectionsPerEndpoint: 1 });
    r.serve([app]);
    await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await client.until("begin");
    expect((await ask(r.port)).status).toBe(503);
    finish?.();
    await eventually(() => r.router.inFlight === 0);
    const last = ask(r.port);
    await eventually(() => app.requests.length === 2);
    finish?.();
    expect((await last).status).toBe(200);
  });
});

test("300 clients at once, each with its own answer", async () => {
  await using app = await httpBackend((request, response) => { setTimeout(() => response.end(request.url), Math.random() * 30); });
  await using r = await rig();
  r.serve([app]);
  const answers = await Promise.all(Array.from({ length: 300 }, (_, index) => ask(r.port, { path: `/${index}` })));
  expect(answers.map(({ body }) => body)).toEqual(Array.from({ length: 300 }, (_, index) => `/${index}`));
  await eventually(() => r.router.inFlight === 0);
  expect(r.router.table.lookup("app.example.com", "/")?.endpoints[0]?.backend.inFlight).toBe(0);
});

test("clients that leave at any moment leave nothing behind", async () => {
  await using app = await httpBackend((request, response) => {
    request.resume();
    response.write("x".repeat(1_000));
    setTimeout(() => response.end("y".repeat(100_000)), 10);
  });
  await using r = await rig();
  r.serve([app]);
  await Promise.all(Array.from({ length: 200 }, (_, index) => new Promise<void>((resolve) => {
    const request = httpRequest({ host: "127.0.0.1", port: r.port, method: index % 2 ? "POST" : "GET", headers: { host: "app.example.com" } }, (response) => { response.resume(); response.on("error", () => undefined); });
    request.on("error", () => undefined);
    request.on("close", () => resolve());
    request.end(index % 2 ? "z".repeat(50_000) : undefined);
    setTimeout(() => request.destroy(), index / 8);
  })));
  await eventually(() => r.router.inFlight === 0 && r.router.table.lookup("app.example.com", "/")?.endpoints[0]?.backend.inFlight === 0);
  expect((await ask(r.port)).status).toBe(200);
  for (const { status } of r.records) expect([200, 499]).toContain(status);
});
