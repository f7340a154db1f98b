import { createServer } from "node:net";
import { describe, expect, test } from "vitest";
import { createRouter, defaultSteps, type RequestRecord, type Step } from "../../src/index.ts";
import { echo, httpBackend, misbehaving } from "../fixtures/backend.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

const guid = "6a2bd0b8-6d17-4a5c-9b7c-0f2c6d1f0c11";

describe("answers of the router itself", () => {
  test("13.76 unknown host: 404, and nothing that is cached", async () => {
    await using r = await rig();
    const answer = await ask(r.port, { host: "nobody.example.com" });
    expect(answer).toMatchObject({ status: 404, body: "404 Not Found: Requested route ('nobody.example.com') does not exist.\n" });
    expect(answer.headers).toMatchObject({
      "x-cf-routererror": "unknown_route", "cache-control": "no-cache, no-store", "x-content-type-options": "nosniff", "content-type": "text/plain; charset=utf-8",
      "x-vcap-request-id": expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
  });

  for (const [what, text, status, code] of [
    ["no Host", "GET / HTTP/1.1\r\n\r\n", 400, "empty_host"],
    ["an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "empty_host"],
    ["our own address as Host", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400, "empty_host"],
    ["a script as Host", "GET / HTTP/1.1\r\nHost: <script>alert(1)</script>\r\n\r\n", 400, "invalid_host"],
    ["two Hosts", "GET / HTTP/1.1\r\nHost: app.example.com\r\nHost: other.example.com\r\n\r\n", 400, "invalid_host"],
    ["a bare %", "GET /%zz HTTP/1.1\r\nHost: app.example.com\r\n\r\n", 400, "invalid_target"],
    ["CONNECT", "CONNECT app.example.com:443 HTTP/1.1\r\nHost: app.example.com:443\r\n\r\n", 405, "method_not_allowed"],
    ["another protocol", "SSH-2.0-OpenSSH_9.6\r\n\r\n", 400, "malformed_request"],
    ["half of what HTTP/2 begins with", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 400, "malformed_request"],
    ["two lengths that differ", "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, "malformed_request"],
    ["a length and chunks", "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "malformed_request"],
    ["a transfer coding nobody knows", "POST / HTTP/1.1\r\nHost: app.example.com\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, "malformed_request"],
    ["a header name with a space", "GET / HTTP/1.1\r\nHost: app.example.com\r\nX Y: 1\r\n\r\n", 400, "malformed_request"],
  ] as const) {
    test(`13.75 ${what}: ${status} ${code}, and no app sees it`, async () => {
      await using app = await httpBackend(echo);
      await using r = await rig();
      r.serve([app]);
      await using client = await wire(r.port, text);
      const heard = await client.until("\r\n\r\n");
      expect(heard).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
      expect(heard.toLowerCase()).toContain(`x-cf-routererror: ${code}`);
      expect(app.requests).toEqual([]);
    });
  }

  test("13.76 a known route without endpoints: 503 while it is remembered, then 404", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig({ emptyPoolTimeoutMs: 300 });
    r.serve([app]);
    r.router.table.unregister("app.example.com", app);
    const answer = await ask(r.port);
    expect([answer.status, answer.headers["x-cf-routererror"], answer.headers["cache-control"]]).toEqual([503, "no_endpoints", "public,max-age=2"]);
    await eventually(async () => (await ask(r.port)).status === 404);
  });

  test("a route with a route service is refused rather than served past it", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.router.table.register("app.example.com", app, { routeServiceUrl: "https://guard.example.com" });
    const answer = await ask(r.port);
    expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([502, "route_service_unsupported"]);
  });

  for (const [header, value, status, code] of [
    ["x-cf-app-instance", `${guid}:1`, 200, undefined],
    ["x-cf-app-instance", `${guid}:7`, 400, "unknown_route"],
    ["x-cf-app-instance", guid, 400, "invalid_cf_app_instance_header"],
    ["x-cf-app-instance", "x:1", 400, "invalid_cf_app_instance_header"],
    ["x-cf-process-instance", guid, 200, undefined],
    ["x-cf-process-instance", `${guid}:1`, 200, undefined],
    ["x-cf-process-instance", `${guid}:7`, 400, "unknown_route"],
    ["x-cf-process-instance", `${guid}:`, 400, "invalid_cf_process_instance_header"],
  ] as const) {
    test(`13.44, 13.45 ${header}: ${value} → ${status} ${code ?? ""}`, async () => {
      await using zero = await httpBackend(echo);
      await using one = await httpBackend(echo);
      await using r = await rig();
      const identity = { app: guid, tags: { process_id: guid } };
      r.serve([{ ...identity, host: zero.host, port: zero.port, instanceIndex: "0" }, { ...identity, host: one.host, port: one.port, instanceIndex: "1" }]);
      for (let n = 0; n < 4; n += 1) {
        const answer = await ask(r.port, { headers: { [header]: value } });
        expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([status, code]);
        if (status !== 200) expect(answer.headers["cache-control"]).toBe("no-cache, no-store");
        else expect(answer.echoed().headers[header]).toBeUndefined();
      }
      if (status === 200 && value.endsWith(":1")) expect(zero.requests.length).toBe(0);
    });
  }

  test("13.45 an instance of an unknown host is a bad request too", async () => {
    await using r = await rig();
    const answer = await ask(r.port, { host: "no.example.com", headers: { "x-cf-app-instance": `${guid}:1` } });
    expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([400, "unknown_route"]);
    expect(answer.body).toContain("instance ('1')");
  });

  test("HEAD gets the header of an error and no body, and the connection lives on", async () => {
    await using r = await rig();
    await using client = await wire(r.port, "HEAD / HTTP/1.1\r\nHost: x.y\r\n\r\nGET / HTTP/1.1\r\nHost: x.y\r\n\r\n");
    await client.until("does not exist");
    expect(client.heard().match(/HTTP\/1\.1 404/g)?.length).toBe(2);
    expect(client.heard().match(/does not exist/g)?.length).toBe(1);
  });

  test("an error page of one's own", async () => {
    await using r = await rig({ errorPage: ({ status, code }) => ({ contentType: "text/html", body: `<h1>${status} ${code}</h1>` }) });
    expect(await ask(r.port)).toMatchObject({ status: 404, body: "<h1>404 unknown_route</h1>", headers: { "content-type": "text/html" } });
  });
});

test("an error page that throws, or that is none, harms nobody", async () => {
  await using throwing = await rig({ errorPage: () => { throw new Error("mine"); } });
  expect(await ask(throwing.port)).toMatchObject({ status: 404, body: expect.stringContaining("does not exist") });
  await using broken = await rig({ errorPage: () => ({ contentType: "a\nb", body: "x" }) });
  await expect(ask(broken.port)).rejects.toMatchObject({ code: "ECONNRESET" });
  await eventually(() => broken.router.inFlight === 0);
});

describe("failing endpoints", () => {
  for (const [how, cause] of [
    ["refuses", "connection refused"], ["resets", "connection reset"], ["hangsUp", "EOF"], ["babbles", "malformed response"],
  ] as const) {
    test(`13.76 one that ${how}: 502 endpoint_failure (${cause}), without its address`, async () => {
      await using app = await misbehaving[how]();
      await using r = await rig();
      r.serve([app]);
      const answer = await ask(r.port);
      expect([answer.status, answer.headers["x-cf-routererror"], answer.body]).toEqual([502, `endpoint_failure (${cause})`, "502 Bad Gateway: Registered endpoint failed to handle the request.\n"]);
      expect(answer.rawHeaders.join("\n") + answer.body).not.toContain(String(app.port));
      await eventually(() => r.records.length === 1);
      expect(r.records[0]).toMatchObject({ status: 502, error: `endpoint_failure (${cause})`, attempts: 1, failedAttempts: 1 });
      expect(r.router.numbers()).toMatchObject({ bad_gateways: 1, responses_5xx: 1 });
    });
  }

  test("13.84 one that answers too slowly: 502 after the timeout", async () => {
    await using app = await misbehaving.stalls();
    await using r = await rig({ endpointTimeoutMs: 150, backendIdleMs: 100 });
    r.serve([app]);
    const answer = await ask(r.port);
    expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([502, "endpoint_failure (timeout)"]);
    await eventually(() => app.open() === 0);
  });

  test("13.74 one whose headers are too large: 502", async () => {
    await using app = await misbehaving.shouts(70_000);
    await using r = await rig({ maxResponseHeaderBytes: 65_536 });
    r.serve([app]);
    const answer = await ask(r.port);
    expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([502, "endpoint_failure (response headers too large)"]);
  });

  test("one that does not take connections: 502 after the dial timeout", async () => {
    // A listener that accepts nothing: its backlog is full, so that SYNs go unanswered.
    const server = createServer();
    await new Promise<void>((resolve) => server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, resolve));
    const { port } = server.address() as { port: number };
    server.close();
    await using r = await rig({ dialTimeoutMs: 200 });
    // 192.0.2.0/24 is nobody's (RFC 5737): packets are dropped, or the host says at once that there is no way.
    r.serve([{ host: "192.0.2.1", port }]);
    const answer = await ask(r.port);
    expect(answer.status).toBe(502);
    expect(answer.headers["x-cf-routererror"]).toMatch(/^endpoint_failure \((dial timeout|host unreachable|connection refused|connection failed)\)$/);
  });
});

describe("faults of a step", () => {
  test("13.88 become 502 unknown_failure and the router goes on", async () => {
    await using app = await httpBackend(echo);
    const broken: Step = (exchange, next) => {
      if (exchange.target === "/broken") throw new Error("mine");
      return next();
    };
    await using r = await rig({ steps: [broken, ...defaultSteps] });
    r.serve([app]);
    const answer = await ask(r.port, { path: "/broken" });
    expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([502, "unknown_failure"]);
    expect((await ask(r.port)).status).toBe(200);
  });

  test("so does a way on which nobody answers", async () => {
    await using r = await rig({ steps: [(_, next) => next()] });
    expect((await ask(r.port)).status).toBe(502);
  });

  test("a listener or a log that throws changes nothing", async () => {
    await using app = await httpBackend(echo);
    const router = createRouter({ port: 0, accessLog: { write() { throw new Error("disk full"); } } });
    await using _router = router;
    router.on("request", () => { throw new Error("mine"); });
    const records: RequestRecord[] = [];
    router.on("request", (record) => records.push(record));
    router.table.register("app.example.com", app);
    const { port } = await router.listen();
    expect((await ask(port)).status).toBe(200);
    await eventually(() => records.length === 1);
  });
});

test("what comes behind a last request gets no answer of its own", async () => {
  await using r = await rig();
  const last = "GET / HTTP/1.1\r\nHost: nobody.example.com\r\nConnection: close\r\n\r\n";
  await using client = await wire(r.port, last);
  client.send("more that nobody asked for\r\n\r\n");
  expect((await client.end()).match(/HTTP\/1\.1 \d/g)?.length ?? 1).toBe(1);
});
