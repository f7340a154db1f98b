import { describe, expect, test } from "vitest";
import { defaultSteps, type Step } from "../../src/index.ts";
import { echo, httpBackend, rawBackend } from "../fixtures/backend.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

describe("requests", () => {
  test("13.48, 13.49, 13.50 carry where they come from, when, and to which instance", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.router.table.register("app.example.com", { host: app.host, port: app.port, app: "guid", instanceId: "i-1", instanceIndex: "4" });
    const before = Date.now();
    const { headers } = (await ask(r.port, { headers: { "x-vcap-request-id": "forged", "x-cf-applicationid": "forged", "x-cf-instanceid": "forged", "x-cf-instanceindex": "forged" } })).echoed();
    expect(headers).toMatchObject({
      host: "app.example.com", "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http", "x-cf-applicationid": "guid", "x-cf-instanceid": "i-1", "x-cf-instanceindex": "4",
      "x-vcap-request-id": expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f-]{27}$/),
    });
    expect(Number(headers["x-request-start"])).toBeGreaterThanOrEqual(before);
    expect(Number(headers["x-request-start"])).toBeLessThanOrEqual(Date.now());
  });

  test("13.49 without an instance id the address stands for it", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app]);
    const { headers } = (await ask(r.port)).echoed();
    expect(headers["x-cf-instanceid"]).toBe(`127.0.0.1:${app.port}`);
    expect(headers["x-cf-applicationid"]).toBeUndefined();
  });

  test("13.48 what stands already is kept or continued", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app]);
    const { headers } = (await ask(r.port, { headers: {
      "x-forwarded-for": ["1.2.3.4", "5.6.7.8"], "x-forwarded-proto": "https", "x-request-start": "17", "x-forwarded-host": "outer.example.com", forwarded: "for=1.2.3.4", "x-forwarded-client-cert": "cert",
    } })).echoed();
    expect(headers).toMatchObject({
      "x-forwarded-for": "1.2.3.4, 5.6.7.8, 127.0.0.1", "x-forwarded-proto": "https", "x-request-start": "17", "x-forwarded-host": "outer.example.com", forwarded: "for=1.2.3.4", "x-forwarded-client-cert": "cert",
    });
  });

  for (const [what, trustedProxies, expected] of [
    ["an untrusted peer is not believed", ["10.0.0.0/8"], "127.0.0.1"], ["a trusted one is", ["127.0.0.0/8"], "1.2.3.4, 127.0.0.1"],
  ] as const) {
    test(what, async () => {
      await using app = await httpBackend(echo);
      await using r = await rig({ trustedProxies });
      r.serve([app]);
      expect((await ask(r.port, { headers: { "x-forwarded-for": "1.2.3.4" } })).echoed().headers["x-forwarded-for"]).toBe(expected);
    });
  }

  for (const forwardedClientCert of ["forward", "sanitize-set"] as const) {
    test(`a client certificate that cannot be one is removed (${forwardedClientCert})`, async () => {
      await using app = await httpBackend(echo);
      await using r = await rig({ forwardedClientCert });
      r.serve([app]);
      expect((await ask(r.port, { headers: { "x-forwarded-client-cert": "forged" } })).echoed().headers["x-forwarded-client-cert"]).toBeUndefined();
    });
  }

  test("13.53 hop-by-hop headers stay with their hop, those the router answers for cannot be named away", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app]);
    const { headers } = (await ask(r.port, { headers: {
      connection: "keep-alive, X-Mine, X-Forwarded-For, X-Request-Start, X-CF-InstanceID, Authorization", "x-mine": "1", "keep-alive": "timeout=1", "proxy-connection": "close", "proxy-authorization": "Basic x",
      te: "trailers, gzip", "x-other": "2", authorization: "Bearer t", "x-request-start": "9",
    } })).echoed();
    expect(headers).toMatchObject({ te: "trailers", "x-other": "2", authorization: "Bearer t", "x-forwarded-for": "127.0.0.1", "x-request-start": "9" });
    for (const gone of ["x-mine", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade", "trailer"]) expect(headers[gone], gone).toBeUndefined();
  });

  test("headers that only look like others are removed, other underscores pass", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app]);
    const { headers } = (await ask(r.port, { headers: { X_Forwarded_Proto: "https", x_cf_instanceid: "forged", X_MY_HEADER: "1" } })).echoed();
    expect([headers["x_forwarded_proto"], headers["x_cf_instanceid"], headers["x_my_header"]]).toEqual([undefined, undefined, "1"]);
  });

  test("13.57 names keep their spelling, repeated ones stay apart, nothing is invented", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: App.Example.com:1234\r\nX-CaSe: 1\r\nX-Twice: a\r\nX-Twice: b\r\nX-Latin: caf\u00e9\r\nConnection: close\r\n\r\n");
    const heard = Buffer.from(await client.end(), "latin1").toString();
    const { rawHeaders, headers } = JSON.parse(/\{.*\}/.exec(heard)?.[0] ?? "{}") as { rawHeaders: string[]; headers: Record<string, string> };
    expect(headers["host"]).toBe("App.Example.com:1234");
    expect(rawHeaders.join("|")).toContain("X-CaSe|1|X-Twice|a|X-Twice|b|X-Latin|caf\u00e9");
    for (const name of ["accept-encoding", "user-agent", "accept", "content-length", "transfer-encoding", "content-type"]) expect(headers[name], name).toBeUndefined();
  });
});

describe("targets", () => {
  for (const target of [
    "/", "/?", "/a?b", "/a%2Fb/c%20d?x=%ff&y=;z", "//double//slash//", "/a;b=c", "/a/../b/./c", "/é".normalize("NFC").replace("é", "%C3%A9"), "/~user/'()*!,:@&=+$", "/x?url=http://a.b/c?d", "/[1]?q[]=2", "/a|b^c`d{e}",
  ]) {
    test(`13.59, 13.60: ${target} reaches the app as it is`, async () => {
      await using app = await httpBackend(echo);
      await using r = await rig();
      r.serve([app]);
      await using client = await wire(r.port, `GET ${target} HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n`);
      expect(await client.end()).toContain(`"url":${JSON.stringify(target)}`);
    });
  }

  test("13.60: an absolute target names the host", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app], "app.example.com/x");
    await using client = await wire(r.port, "GET http://app.example.com/x?y HTTP/1.1\r\nHost: other.example.com\r\nConnection: close\r\n\r\n");
    const heard = await client.end();
    expect(heard).toMatch(/^HTTP\/1.1 200/);
    expect(heard).toContain("\"host\":\"app.example.com\"");
  });

  test("a step may send a request to another route and target; Host stays", async () => {
    await using app = await httpBackend(echo);
    const byPath: Step = (exchange, next) => {
      const match = /^\/~([a-z0-9-]+)(\/.*)?$/.exec(exchange.target);
      if (match !== null) {
        exchange.lookupHost = `${match[1]}.example.com`;
        exchange.target = match[2] ?? "/";
        exchange.setHeader("X-Forwarded-Prefix", `/~${match[1]}`);
      }
      return next();
    };
    await using r = await rig({ steps: [byPath, ...defaultSteps] });
    r.serve([app], "hello.example.com");
    const answer = await ask(r.port, { host: "127.0.0.1:8080", path: "/~hello/x?y=1" });
    expect(answer.echoed()).toMatchObject({ url: "/x?y=1", headers: { host: "127.0.0.1:8080", "x-forwarded-prefix": "/~hello" } });
  });
});

describe("answers", () => {
  test("13.50, 13.56 get the request's id unless the app gave one; the signature of route services never leaves", async () => {
    await using app = await httpBackend((request, response) => {
      if (request.url === "/own") response.setHeader("X-Vcap-Request-Id", "mine");
      response.setHeader("X-CF-Proxy-Signature", "secret");
      response.end();
    });
    await using r = await rig();
    r.serve([app]);
    const [plain, own] = [await ask(r.port), await ask(r.port, { path: "/own" })];
    expect(plain.headers["x-vcap-request-id"]).toBe(app.requests[0]?.headers["x-vcap-request-id"]);
    expect(own.headers["x-vcap-request-id"]).toBe("mine");
    expect([plain.headers["x-cf-proxy-signature"], own.headers["x-cf-proxy-signature"]]).toEqual([undefined, undefined]);
  });

  test("13.62: keep spelling, order, repetition, reason and status; redirects and encodings are none of ours", async () => {
    await using app = await rawBackend((socket) => socket.once("data", () => {
      socket.end("HTTP/1.1 302 Moved That Way\r\nX-CaSe: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nLocation: http://elsewhere/\r\nContent-Encoding: gzip\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nhi");
    }));
    await using r = await rig();
    r.serve([app]);
    const answer = await ask(r.port);
    expect(answer).toMatchObject({ status: 302, reason: "Moved That Way", body: "hi" });
    expect(answer.rawHeaders.slice(0, 10)).toEqual(["X-CaSe", "1", "Set-Cookie", "a=1", "Set-Cookie", "b=2", "Location", "http://elsewhere/", "Content-Encoding", "gzip"]);
    expect([answer.headers["x-hop"], answer.headers["content-type"]]).toEqual([undefined, undefined]);
  });

  for (const status of [204, 304]) {
    test(`13.57 ${status} has no body and no framing of one`, async () => {
      await using app = await httpBackend((_, response) => { response.statusCode = status; response.end(); });
      await using r = await rig();
      r.serve([app]);
      await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
      const heard = await client.until("\r\n\r\n");
      expect(heard).toMatch(new RegExp(`^HTTP/1.1 ${status}`));
      expect(heard.toLowerCase()).not.toContain("transfer-encoding");
      client.send("GET / HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n");
      expect((await client.end()).match(/HTTP\/1\.1 /g)?.length).toBe(2);
    });
  }

  test("HEAD keeps the length of the body it does not have", async () => {
    await using app = await httpBackend((_, response) => { response.setHeader("Content-Length", "1234"); response.end(); });
    await using r = await rig();
    r.serve([app]);
    const answer = await ask(r.port, { method: "HEAD" });
    expect([answer.headers["content-length"], answer.body]).toEqual(["1234", ""]);
  });

  test("13.54 the trace header shows the endpoint to who knows the key", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig({ traceKey: "open", id: "router-7" });
    r.serve([app]);
    const shown = await ask(r.port, { headers: { "x-vcap-trace": "open" } });
    expect(shown.headers).toMatchObject({ "x-vcap-router": "router-7", "x-vcap-backend": `127.0.0.1:${app.port}`, "x-cf-routeendpoint": `127.0.0.1:${app.port}` });
    expect((await ask(r.port, { headers: { "x-vcap-trace": "shut" } })).headers["x-vcap-backend"]).toBeUndefined();
  });

  test("13.54 without a key there is no trace, whatever the client sends", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app]);
    expect((await ask(r.port, { headers: { "x-vcap-trace": "" } })).headers["x-vcap-backend"]).toBeUndefined();
  });

  test("a step may add headers to every answer", async () => {
    await using app = await httpBackend(echo);
    const hsts: Step = (exchange, next) => { exchange.response.setHeader("Strict-Transport-Security", "max-age=1"); return next(); };
    await using r = await rig({ steps: [hsts, ...defaultSteps] });
    r.serve([app]);
    const [found, missing] = [await ask(r.port), await ask(r.port, { host: "no.example.com" })];
    expect([found.headers["strict-transport-security"], missing.headers["strict-transport-security"]]).toEqual(["max-age=1", "max-age=1"]);
  });
});

describe("connections", () => {
  test("13.70, 13.71 to the app are used again, those of clients too", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port);
    for (let n = 1; n <= 5; n += 1) {
      client.send("GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
      await eventually(() => (client.heard().match(/"body":""\}/g)?.length ?? 0) === n);
      r.router.table.register("app.example.com", { host: app.host, port: app.port });
    }
    expect(app.connections()).toBe(1);
  });

  test("13.70 to the app are not used again when none may be idle", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig({ backendIdleMs: 0 });
    r.serve([app]);
    for (let n = 0; n < 4; n += 1) expect((await ask(r.port)).status).toBe(200);
    expect(app.connections()).toBe(4);
    await eventually(() => app.open() === 0);
  });

  test("pipelined requests are answered in order", async () => {
    await using app = await httpBackend((request, response) => { setTimeout(() => response.end(`<${request.url}>`), request.url === "/1" ? 60 : 1); });
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, ["/1", "/2", "/3"].map((path) => `GET ${path} HTTP/1.1\r\nHost: app.example.com\r\n\r\n`).join(""));
    await client.until("</3>");
    expect(client.heard().match(/<\/\d>/g)).toEqual(["</1>", "</2>", "</3>"]);
  });

  test("13.58 HTTP/1.0 is answered as such: no chunks, and the connection closes", async () => {
    await using app = await httpBackend((_, response) => { response.write("one"); response.end("two"); });
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, "GET / HTTP/1.0\r\nHost: app.example.com\r\n\r\n");
    const heard = await client.end();
    expect(heard).toMatch(/^HTTP\/1\.[01] 200/);
    expect(heard.endsWith("\r\n\r\nonetwo")).toBe(true);
    expect(app.requests[0]?.httpVersion).toBe("1.1");
  });

  test("of an address that no route leads to any more are closed", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig({ backendIdleMs: 60_000 });
    r.serve([app]);
    await ask(r.port);
    expect(app.open()).toBe(1);
    r.router.table.unregister("app.example.com", app);
    await eventually(() => app.open() === 0);
  });
});
