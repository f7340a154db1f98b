import { once } from "node:events";
import { constants } from "node:http2";
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { echo, httpBackend, misbehaving, rawBackend } from "../fixtures/backend.ts";
import { authority, type Certificate } from "../fixtures/certificates.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { askHttp2, session } from "../fixtures/http2.ts";
import { rig } from "../fixtures/rig.ts";
import { shake } from "../fixtures/secure.ts";

const own = authority();

describe("HTTP/2 in front", () => {
  test("13.69: by prior knowledge, on the port that speaks HTTP/1.1 too", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.router.table.register("app.example.com", { host: app.host, port: app.port, app: "guid", instanceId: "i" });
    await using client = await session(r.port);
    const answer = await askHttp2(client, { ":path": "/a%20b?x=1&y", "x-mine": "1", cookie: ["a=1", "b=2"] });
    expect([answer.status, answer.headers["content-type"]]).toEqual([200, "application/json"]);
    expect(answer.headers["x-vcap-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
    const seen = answer.echoed();
    expect([seen.method, seen.url, seen.headers["x-mine"], seen.headers["cookie"]]).toEqual(["GET", "/a%20b?x=1&y", "1", "a=1; b=2"]);
    expect(seen.headers).toMatchObject({ host: "app.example.com", "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http", "x-cf-applicationid": "guid" });
    expect(seen.rawHeaders.some((name) => name.startsWith(":"))).toBe(false);
    expect((await ask(r.port)).status).toBe(200);
    await eventually(() => r.records.length === 2);
    expect(r.records[0]).toMatchObject({ httpVersion: "2.0", method: "GET", status: 200, host: "app.example.com", route: "app.example.com", peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as string });
  });

  test.skipIf(own === undefined)("13.69: over TLS by ALPN, HTTP/1.1 for who does not offer it", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig({ tls: { port: 0, certificates: [own?.sign("app.example.com") as Certificate, own?.sign("other.example.com") as Certificate] } });
    r.serve([app]);
    r.serve([app], "other.example.com");
    const { port } = r.router.tlsAddress as { port: number };
    await using client = await session(port, { ca: own?.ca ?? "", servername: "app.example.com" });
    const answer = await askHttp2(client);
    expect([answer.status, answer.echoed().headers["x-forwarded-proto"]]).toEqual([200, "https"]);
    // One connection can carry many names; only those of its certificate are answered.
    expect((await askHttp2(client, { ":authority": "other.example.com" })).status).toBe(421);
    const old = await shake(port, { ca: own?.ca ?? "", servername: "app.example.com" });
    expect(old.alpnProtocol).toBe(false);
    old.destroy();
  });

  test("13.58: switched off, the preface is a malformed request and ALPN offers HTTP/1.1 alone", async () => {
    await using r = await rig({ http2: false, ...(own === undefined ? {} : { tls: { port: 0, certificates: [own.sign("app.example.com")] } }) });
    await using client = await wire(r.port, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    expect(await client.end()).toMatch(/^HTTP\/1\.1 400 /);
    if (own === undefined) return;
    const { port } = r.router.tlsAddress as { port: number };
    const socket = await shake(port, { ca: own.ca, servername: "app.example.com", ALPNProtocols: ["h2", "http/1.1"] });
    expect(socket.alpnProtocol).toBe("http/1.1");
    socket.destroy();
  });

  test("the preface in pieces, and requests that begin like it", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app]);
    await using slow = await wire(r.port);
    for (const byte of Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Buffer.from("000000040000000000", "hex")])) {
      slow.send(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await slow.until(/\0\0.\x04/s);
    for (const method of ["PUT", "PROPFIND"]) expect((await ask(r.port, { method })).status).toBe(200);
    await using half = await wire(r.port, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    expect(await half.end()).toMatch(/^HTTP\/1\.1 400 /);
  });

  test("bodies both ways, of known and unknown length", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app]);
    await using client = await session(r.port);
    const big = "x".repeat(3_000_000);
    const known = await askHttp2(client, { ":method": "POST", "content-length": big.length }, big);
    expect([known.status, known.echoed().body.length, known.echoed().headers["content-length"], known.echoed().headers["transfer-encoding"]]).toEqual([200, big.length, String(big.length), undefined]);
    const unknown = await askHttp2(client, { ":method": "POST" }, Readable.from([Buffer.from("a"), Buffer.from("b")]));
    expect([unknown.echoed().body, unknown.echoed().headers["transfer-encoding"]]).toEqual(["ab", "chunked"]);
    expect((await askHttp2(client, { ":method": "DELETE" })).echoed().headers["transfer-encoding"]).toBeUndefined();
    await eventually(() => r.records.length === 3);
    expect(r.records[0]).toMatchObject({ bytesIn: big.length });
  });

  test("many requests at once on one connection, each with its own answer", async () => {
    await using app = await httpBackend((request, response) => setTimeout(() => response.end(request.url), Math.random() * 20));
    await using r = await rig();
    r.serve([app]);
    await using client = await session(r.port);
    const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => askHttp2(client, { ":path": `/${n}` })));
    expect(answers.map(({ body }) => body)).toEqual(answers.map((_, n) => `/${n}`));
  });

  test("headers of the answer: cookies apart, nothing of the connection, trailers", async () => {
    await using app = await rawBackend((socket) => socket.once("data", () => socket.end(
      "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nVary: A\r\nVary: B\r\nKeep-Alive: timeout=5\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n")));
    await using r = await rig();
    r.serve([app]);
    await using client = await session(r.port);
    const { headers, trailers, body } = await askHttp2(client);
    expect([headers["set-cookie"], headers.vary, body, trailers["x-sum"]]).toEqual([["a=1", "b=2"], "A, B", "ok", "7"]);
    for (const name of ["connection", "keep-alive", "transfer-encoding"]) expect(headers).not.toHaveProperty(name);
  });

  for (const [what, method, status] of [["HEAD", "HEAD", 200], ["204", "GET", 204], ["304", "GET", 304], ["an empty body", "GET", 200]] as const) {
    test(`${what}: the head is the whole answer`, async () => {
      await using app = await httpBackend((_, response) => { response.writeHead(status, what === "an empty body" ? { "content-length": 0 } : {}); response.end(); });
      await using r = await rig();
      r.serve([app]);
      await using client = await session(r.port);
      const answer = await askHttp2(client, { ":method": method });
      expect([answer.status, answer.body, answer.single]).toEqual([status, "", true]);
    });
  }

  test("the router's own answers", async () => {
    await using r = await rig();
    await using client = await session(r.port);
    const unknown = await askHttp2(client, { ":authority": "nowhere.example.com" });
    expect([unknown.status, unknown.headers["x-cf-routererror"], unknown.body]).toEqual([404, "unknown_route", "404 Not Found: Requested route ('nowhere.example.com') does not exist.\n"]);
    expect((await askHttp2(client, { ":method": "POST", ":authority": "nowhere.example.com" }, Readable.from([Buffer.alloc(100_000)]))).status).toBe(404);
    // The connection serves on.
    expect((await askHttp2(client, { ":authority": "nowhere.example.com" })).status).toBe(404);
  });

  test("an answer that cannot be completed resets its stream and no other", async () => {
    await using broken = await misbehaving.truncates();
    await using whole = await httpBackend((_, response) => setTimeout(() => response.end("whole"), 50));
    await using r = await rig();
    r.serve([broken]);
    r.serve([whole], "whole.example.com");
    await using client = await session(r.port);
    const [cut, kept] = await Promise.all([askHttp2(client), askHttp2(client, { ":authority": "whole.example.com" })]);
    expect([cut.status, cut.body, cut.code]).toEqual([200, "hello", constants.NGHTTP2_INTERNAL_ERROR]);
    expect([kept.status, kept.body, kept.code]).toEqual([200, "whole", 0]);
  });

  test("13.83: a client that leaves is 499 in the record, and the app's connection is closed", async () => {
    await using app = await misbehaving.stalls();
    await using r = await rig();
    r.serve([app]);
    await using client = await session(r.port);
    const stream = client.request({ ":path": "/", ":authority": "app.example.com" });
    stream.on("error", () => undefined);
    await eventually(() => app.heard() > 0);
    stream.close(constants.NGHTTP2_CANCEL);
    await eventually(() => r.records.length === 1 && app.open() === 0);
    expect(r.records[0]).toMatchObject({ status: 499 });
    const upload = client.request({ ":path": "/", ":authority": "app.example.com", ":method": "POST" });
    upload.on("error", () => undefined);
    upload.write("some");
    await eventually(() => app.heard() > 0);
    client.destroy();
    await eventually(() => r.records.length === 2 && app.heard() === 0);
    expect(r.records[1]).toMatchObject({ status: 499 });
  });

  test("13.73: header bytes over the limit are 431 with the app named, far over it a reset; the connection serves on", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig({ maxRequestHeaderBytes: 10_000 });
    r.serve([app]);
    await using client = await session(r.port);
    expect((await askHttp2(client, { "x-large": "x".repeat(9_000) })).status).toBe(200);
    expect((await askHttp2(client, { "x-large": "x".repeat(10_500) })).status).toBe(431);
    await expect(askHttp2(client, { "x-large": "x".repeat(40_000) })).rejects.toThrow();
    expect((await askHttp2(client)).status).toBe(200);
    expect(r.records[1]).toMatchObject({ status: 431, route: "app.example.com" });
  });

  test("back-pressure: a client that reads nothing is sent no more than its window and our buffers hold", async () => {
    await using app = await httpBackend((_, response) => { void (async () => { for (let n = 0; n < 500; n += 1) if (!response.write(Buffer.alloc(65_536))) await once(response, "drain"); response.end(); })().catch(() => undefined); });
    await using r = await rig();
    r.serve([app]);
    await using client = await session(r.port);
    const stream = client.request({ ":path": "/", ":authority": "app.example.com" });
    await once(stream, "response");
    stream.pause();
    let last = -1;
    await eventually(async () => { const now = app.requests[0]?.socket.bytesWritten ?? 0; await new Promise((resolve) => setTimeout(resolve, 100)); const settled = now === last && now > 0; last = now; return settled; }, 10_000);
    expect(last).toBeLessThan(20 * 1_048_576);
    let heard = 0;
    stream.on("data", (chunk: Buffer) => { heard += chunk.length; });
    stream.resume();
    await once(stream, "end");
    expect(heard).toBe(500 * 65_536);
  });

  test("13.65: 100-continue: one interim answer, when there is somebody to send the body to", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app]);
    await using client = await session(r.port);
    const answer = await askHttp2(client, { ":method": "POST", expect: "100-continue" }, "body");
    expect([answer.status, answer.echoed().body, answer.interim.map((one) => one[":status"])]).toEqual([200, "body", [100]]);
    const refused = await askHttp2(client, { ":method": "POST", ":authority": "nowhere.example.com", expect: "100-continue" }, Readable.from([]));
    expect([refused.status, refused.interim]).toEqual([404, []]);
  });

  test("103 is passed on", async () => {
    await using app = await httpBackend((_, response) => { response.writeEarlyHints({ link: ["</a.css>; rel=preload", "</b.js>; rel=preload"] }); response.end("ok"); });
    await using r = await rig();
    r.serve([app]);
    await using client = await session(r.port);
    const answer = await askHttp2(client);
    expect([answer.status, answer.interim.map((one) => [one[":status"], one["link"]])]).toEqual([200, [[103, "</a.css>; rel=preload, </b.js>; rel=preload"]]]);
  });

  test("13.63: server-sent events arrive one by one", async () => {
    let say = (_: string): void => undefined;
    await using app = await httpBackend((_, response) => { response.writeHead(200, { "content-type": "text/event-stream" }); response.flushHeaders(); say = (text) => void response.write(text); });
    await using r = await rig();
    r.serve([app]);
    await using client = await session(r.port);
    const stream = client.request({ ":path": "/", ":authority": "app.example.com" });
    stream.on("error", () => undefined);
    await once(stream, "response");
    for (let n = 0; n < 3; n += 1) {
      say(`data: ${n}\n\n`);
      const [chunk] = await once(stream, "data") as [Buffer];
      expect(chunk.toString()).toBe(`data: ${n}\n\n`);
    }
    stream.close();
  });

  test("steps of one's own see and change it like any other request", async () => {
    const { defaultSteps } = await import("../../src/index.ts");
    await using app = await httpBackend(echo);
    await using r = await rig({ steps: [(exchange, next) => {
      exchange.response.setHeader("X-Step", "yes");
      if (exchange.target === "/own") { exchange.response.writeHead(418, { "Content-Type": "text/plain" }).end("mine"); return undefined as never; }
      exchange.setHeader("X-Added", `${exchange.request.headers["x-mine"] as string}!`);
      return next();
    }, ...defaultSteps] });
    r.serve([app]);
    await using client = await session(r.port);
    const answer = await askHttp2(client, { "x-mine": "1" });
    expect([answer.headers["x-step"], answer.echoed().headers["x-added"]]).toEqual(["yes", "1!"]);
    const mine = await askHttp2(client, { ":path": "/own" });
    expect([mine.status, mine.body, mine.headers["x-step"], mine.headers["content-type"]]).toEqual([418, "mine", "yes", "text/plain"]);
  });

  test("13.102: a drain says GOAWAY, finishes what is under way, and ends", async () => {
    let answer = (): void => undefined;
    await using app = await httpBackend((_, response) => { answer = () => void response.end("late"); });
    await using r = await rig();
    r.serve([app]);
    await using client = await session(r.port);
    const asked = askHttp2(client);
    await eventually(() => app.requests.length === 1);
    const goaway = once(client, "goaway");
    const drained = r.router.drain();
    expect((await goaway)[0]).toBe(constants.NGHTTP2_NO_ERROR);
    answer();
    expect((await asked).body).toBe("late");
    await drained;
    await eventually(() => client.destroyed);
  });

  test("13.71: an idle connection is closed at its limit, one with a request under way is not", async () => {
    let answer = (): void => undefined;
    await using app = await httpBackend((_, response) => { answer = () => void response.end("late"); });
    await using r = await rig({ clientIdleMs: 200 });
    r.serve([app]);
    await using client = await session(r.port);
    const asked = askHttp2(client);
    await eventually(() => app.requests.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 500));
    answer();
    expect((await asked).body).toBe("late");
    await eventually(() => client.destroyed);
  });

  test("13.72: a connection that never asks anything is let go", async () => {
    await using r = await rig({ headersTimeoutMs: 200 });
    const client = await session(r.port);
    await eventually(() => client.destroyed);
  });
});
