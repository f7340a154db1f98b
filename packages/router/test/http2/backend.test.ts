import { once } from "node:events";
import { constants, createSecureServer, type ServerHttp2Stream } from "node:http2";
import { createServer as createTls } from "node:https";
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import type { EndpointInit } from "../../src/endpoint.ts";
import { echo, httpBackend, misbehaving, rawBackend } from "../fixtures/backend.ts";
import { authority, type Certificate } from "../fixtures/certificates.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { askHttp2, http2Backend, session } from "../fixtures/http2.ts";
import { rig, type Rig } from "../fixtures/rig.ts";

const own = authority();
const other = authority();

/** Answers with what it was asked. */
function mirror(stream: ServerHttp2Stream, headers: object): void {
  const parts: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => parts.push(chunk));
  stream.on("end", () => {
    stream.respond({ ":status": 200, "content-type": "application/json" });
    stream.end(JSON.stringify({ headers, body: Buffer.concat(parts).toString("latin1") }));
  });
}
const serve = (r: Rig, { host, port }: { host: string; port: number }, more: Partial<EndpointInit> = {}, uri = "app.example.com"): unknown =>
  r.router.table.register(uri, { host, port, protocol: "http2", ...more });
const seen = (body: string) => JSON.parse(body) as { headers: Record<string, string>; body: string };

describe("HTTP/2 to endpoints", () => {
  test("13.69: an endpoint that announces it is spoken to in HTTP/2, whatever the client speaks; others are not", async () => {
    await using modern = await http2Backend(mirror);
    await using plain = await httpBackend(echo);
    await using r = await rig();
    serve(r, modern, { app: "guid", instanceId: "i" });
    r.serve([plain], "plain.example.com");
    const answer = await ask(r.port, { method: "POST", path: "/a?b=%20", body: "hello", headers: { te: "trailers", connection: "te, x-hop", "x-hop": "1", "x-two": ["1", "2"] } });
    expect([answer.status, seen(answer.body).body]).toEqual([200, "hello"]);
    const { headers } = seen(answer.body);
    expect(headers).toMatchObject({ ":method": "POST", ":path": "/a?b=%20", ":authority": "app.example.com", ":scheme": "http", te: "trailers", "x-two": "1, 2", "x-cf-applicationid": "guid", "x-cf-instanceid": "i", "x-forwarded-for": "127.0.0.1" });
    for (const name of ["connection", "x-hop", "host", "transfer-encoding"]) expect(headers).not.toHaveProperty(name);
    await using client = await session(r.port);
    expect(seen((await askHttp2(client, { ":method": "PUT" }, "body")).body)).toMatchObject({ body: "body", headers: { ":method": "PUT" } });
    expect((await askHttp2(client, { ":authority": "plain.example.com" })).echoed().method).toBe("GET");
    expect([modern.connections(), modern.streams()]).toEqual([1, 2]);
  });

  test("13.5: switched off, such an endpoint is spoken to in HTTP/1.1", async () => {
    await using plain = await httpBackend(echo);
    await using r = await rig({ http2: false });
    serve(r, plain);
    expect((await ask(r.port)).status).toBe(200);
  });

  for (const [what, app] of [
    ["answers HTTP/1.1 to it", () => httpBackend(echo)],
    ["hangs up on it", () => rawBackend((socket) => socket.once("data", (chunk: Buffer) => socket.end(chunk.toString("latin1").startsWith("PRI") ? "" : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")))],
  ] as const) {
    test(`an endpoint that announces it and ${what} is spoken to in HTTP/1.1, body and all`, async () => {
      await using backend = await app();
      await using r = await rig();
      serve(r, backend);
      for (let n = 0; n < 3; n += 1) expect((await ask(r.port, { method: "POST", body: "body" })).status).toBe(200);
    });
  }

  test("13.69: gRPC end to end: trailers, an error that is a single frame, both directions at once", async () => {
    await using app = await http2Backend((stream, headers) => {
      if (headers[":path"] === "/pkg.Service/Fail") {
        stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "5", "grpc-message": "no such thing" }, { endStream: true });
        return;
      }
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "grpc-message": "", "x-te": String(headers["te"]) }));
      stream.on("data", (chunk: Buffer) => stream.write(Buffer.concat([Buffer.from("re:"), chunk])));
      stream.on("end", () => stream.end());
    });
    await using r = await rig();
    serve(r, app);
    await using client = await session(r.port);
    const grpc = { ":method": "POST", "content-type": "application/grpc", te: "trailers" };
    const failed = await askHttp2(client, { ...grpc, ":path": "/pkg.Service/Fail" }, "x");
    expect([failed.status, failed.headers["grpc-status"], failed.headers["grpc-message"], failed.single]).toEqual([200, "5", "no such thing", true]);

    const call = client.request({ ":path": "/pkg.Service/Chat", ":authority": "app.example.com", ...grpc });
    let trailers: Record<string, unknown> = {};
    call.on("trailers", (given: Record<string, unknown>) => { trailers = given; });
    call.write("one");
    await once(call, "response");
    expect(String((await once(call, "data"))[0])).toBe("re:one");
    call.write("two");
    expect(String((await once(call, "data"))[0])).toBe("re:two");
    call.resume();
    call.end();
    await once(call, "close");
    expect(trailers).toMatchObject({ "grpc-status": "0", "x-te": "trailers" });
    await eventually(() => r.records.length === 2);
    expect(r.records[1]).toMatchObject({ status: 200, bytesIn: 6, bytesOut: 12 });
  });

  test("trailers reach a client of HTTP/1.1 too, and lengths stay as they are", async () => {
    await using app = await http2Backend((stream, headers) => {
      if (headers[":path"] === "/length") { stream.respond({ ":status": 200, "content-length": 2 }); stream.end("ok"); return; }
      stream.respond({ ":status": 200, trailer: "x-sum" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "7" }));
      stream.end("body");
    });
    await using r = await rig();
    serve(r, app);
    const answer = await ask(r.port);
    expect([answer.body, answer.trailers["x-sum"], answer.headers["transfer-encoding"]]).toEqual(["body", "7", "chunked"]);
    const known = await ask(r.port, { path: "/length" });
    expect([known.body, known.headers["content-length"], known.headers["transfer-encoding"]]).toEqual(["ok", "2", undefined]);
    expect((await ask(r.port, { method: "HEAD", path: "/length" })).headers["content-length"]).toBe("2");
  });

  test("many requests share a connection as far as the endpoint allows, and another is made beyond that", async () => {
    const waiting: (() => void)[] = [];
    await using app = await http2Backend((stream) => { waiting.push(() => { stream.respond({ ":status": 204 }, { endStream: true }); }); }, { settings: { maxConcurrentStreams: 10 } });
    await using r = await rig();
    serve(r, app);
    const asked = Array.from({ length: 25 }, () => ask(r.port));
    await eventually(() => waiting.length === 25);
    expect(app.connections()).toBe(3);
    for (const answer of waiting) answer();
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual(asked.map(() => 204));
  });

  test("13.70: an idle connection is closed after its time; without keep-alive each request has its own", async () => {
    let open = 0;
    await using app = await http2Backend(mirror);
    app.server.on("session", (one) => { open += 1; one.on("close", () => { open -= 1; }); });
    await using r = await rig({ backendIdleMs: 100 });
    serve(r, app);
    for (let n = 0; n < 3; n += 1) await ask(r.port);
    expect(app.connections()).toBe(1);
    await eventually(() => open === 0);
    await using single = await rig({ backendIdleMs: 0 });
    serve(single, app);
    await Promise.all([ask(single.port), ask(single.port)]);
    expect(app.connections()).toBe(3);
    await eventually(() => open === 0);
  });

  test("an endpoint that says GOAWAY: what it had begun is finished, the next request gets a new connection", async () => {
    let answer = (): void => undefined;
    await using app = await http2Backend((stream, headers) => {
      if (headers[":path"] === "/slow") answer = () => { stream.respond({ ":status": 200 }); stream.end("late"); };
      else mirror(stream, headers);
    });
    const sessions: { close(): void }[] = [];
    app.server.on("session", (one) => sessions.push(one));
    await using r = await rig();
    serve(r, app);
    const slow = ask(r.port, { path: "/slow" });
    await eventually(() => app.streams() === 1);
    sessions[0]?.close();
    await eventually(async () => (await ask(r.port)).status === 200 && app.connections() === 2);
    answer();
    expect((await slow).body).toBe("late");
  });

  test("13.79: a stream the endpoint refuses was never begun: it is tried elsewhere, whatever the method", async () => {
    await using refusing = await http2Backend((stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM));
    await using good = await http2Backend(mirror);
    await using r = await rig();
    serve(r, refusing);
    serve(r, good);
    for (let n = 0; n < 4; n += 1) expect((await ask(r.port, { method: "DELETE" })).status).toBe(200);
  });

  for (const [what, handle, body, status] of [
    ["resets the stream", (stream: ServerHttp2Stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR), "x", 502],
    ["breaks the connection", (stream: ServerHttp2Stream) => stream.session?.destroy(), "x", 502],
  ] as const) {
    test(`13.82: an endpoint that ${what} is ${status} for a POST, tried once`, async () => {
      await using app = await http2Backend(handle);
      await using r = await rig();
      serve(r, app);
      const answer = await ask(r.port, { method: "POST", body });
      expect([answer.status, app.streams()]).toEqual([status, 1]);
      expect(answer.headers["x-cf-routererror"]).toMatch(/^endpoint_failure \(/);
    });
  }

  test("13.84: an answer that ends in the middle is cut for the client", async () => {
    await using app = await http2Backend((stream) => {
      // Without trailers to come, node:http2 ends a body before it resets its stream.
      stream.respond({ ":status": 200 }, { waitForTrailers: true });
      stream.write("hello", () => setTimeout(() => stream.close(constants.NGHTTP2_INTERNAL_ERROR), 20));
    });
    await using r = await rig();
    serve(r, app);
    const answer = await ask(r.port);
    expect([answer.status, answer.body, answer.complete]).toEqual([200, "hello", false]);
    await eventually(() => r.records.length === 1);
    expect(r.records[0]?.truncated).toBe("EOF");
  });

  test("13.83, 13.85: a client that leaves ends its stream and leaves the others alone", async () => {
    let aborted = 0;
    await using app = await http2Backend((stream, headers) => {
      if (headers[":path"] === "/stuck") stream.on("close", () => { aborted += stream.rstCode === constants.NGHTTP2_CANCEL ? 1 : 0; });
      else mirror(stream, headers);
    });
    await using r = await rig();
    serve(r, app);
    await using client = await session(r.port);
    const stuck = client.request({ ":path": "/stuck", ":authority": "app.example.com" });
    stuck.on("error", () => undefined);
    await eventually(() => app.streams() === 1);
    stuck.close(constants.NGHTTP2_CANCEL);
    await eventually(() => aborted === 1 && r.records.length === 1);
    expect(r.records[0]).toMatchObject({ status: 499 });
    expect((await ask(r.port)).status).toBe(200);
    expect(app.connections()).toBe(1);
  });

  test("endpoint_timeout: 502, and the stream is given up", async () => {
    await using app = await http2Backend(() => undefined);
    await using r = await rig({ endpointTimeoutMs: 100 });
    serve(r, app);
    const answer = await ask(r.port);
    expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([502, "endpoint_failure (timeout)"]);
  });

  test("nobody there: tried elsewhere, else 502", async () => {
    await using gone = await misbehaving.refuses();
    await using r = await rig();
    serve(r, gone);
    expect((await ask(r.port)).headers["x-cf-routererror"]).toBe("endpoint_failure (connection refused)");
    await using good = await http2Backend(mirror);
    serve(r, good);
    expect((await ask(r.port, { method: "POST", body: "x" })).status).toBe(200);
  });

  test("large bodies both ways, with back-pressure", async () => {
    await using app = await http2Backend((stream) => {
      stream.respond({ ":status": 200 });
      stream.pipe(stream);
    });
    await using r = await rig();
    serve(r, app);
    await using client = await session(r.port);
    const chunk = Buffer.alloc(65_536, 7);
    const answer = await askHttp2(client, { ":method": "POST" }, Readable.from((function* () { for (let n = 0; n < 200; n += 1) yield chunk; })()));
    expect([answer.status, answer.body.length, answer.code]).toEqual([200, 200 * 65_536, 0]);
  });

  test("103 is passed on, 100 is not", async () => {
    await using app = await http2Backend((stream, headers) => {
      stream.additionalHeaders({ ":status": 103, link: "</a.css>; rel=preload" });
      mirror(stream, headers);
    });
    await using r = await rig();
    serve(r, app);
    await using client = await session(r.port);
    const answer = await askHttp2(client, { ":method": "POST", expect: "100-continue" }, "body");
    expect([answer.interim.map((one) => one[":status"]), seen(answer.body).body]).toEqual([[100, 103], "body"]);
  });

  test("several Set-Cookie stay several, and the affinity cookie joins them", async () => {
    await using app = await http2Backend((stream) => stream.respond({ ":status": 200, "set-cookie": ["JSESSIONID=1", "b=2"] }, { endStream: true }));
    await using r = await rig();
    serve(r, app, { instanceId: "i-1" });
    expect((await ask(r.port)).headers["set-cookie"]).toEqual(["JSESSIONID=1", "b=2", expect.stringMatching(/^__VCAP_ID__=i-1;/) as string]);
  });
});

describe.skipIf(own === undefined || other === undefined)("HTTP/2 over TLS to endpoints", () => {
  const ca = own?.ca ?? "";
  const good = (): Certificate => own?.sign("instance-1") as Certificate;

  async function secure(options: object) {
    const server = createSecureServer(options);
    const alpn: unknown[] = [];
    const sockets = new Set<{ destroy(): void }>();
    server.on("secureConnection", (socket) => { alpn.push(socket.alpnProtocol); });
    server.on("connection", (socket: { destroy(): void; on(event: string, listener: () => void): void }) => { sockets.add(socket); socket.on("error", () => undefined); });
    server.on("session", (one) => one.on("error", () => undefined));
    server.on("stream", mirror);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    return { host: "127.0.0.1", port, alpn, async [Symbol.asyncDispose]() { for (const socket of sockets) socket.destroy(); await new Promise((resolve) => server.close(resolve)); } };
  }

  test("13.69: by ALPN, the identity checked, our certificate shown", async () => {
    await using app = await secure({ ...good(), requestCert: true, rejectUnauthorized: true, ca });
    await using r = await rig({ backendCa: ca, backendCert: own?.sign("router").cert as string, backendKey: own?.sign("router").key as string });
    serve(r, app, { tlsPort: app.port, serverCertDomainSan: "instance-1" });
    expect(seen((await ask(r.port, { method: "POST", body: "secret" })).body)).toMatchObject({ body: "secret", headers: { ":scheme": "https" } });
    expect(app.alpn).toEqual(["h2"]);
  });

  test("an endpoint that offers HTTP/1.1 alone gets that", async () => {
    const server = createTls(good(), echo);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    await using r = await rig({ backendCa: ca });
    serve(r, { host: "127.0.0.1", port }, { tlsPort: port, serverCertDomainSan: "instance-1" });
    expect((await ask(r.port, { method: "POST", body: "x" })).echoed().body).toBe("x");
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  for (const [what, options, status, cause] of [
    ["another instance's certificate", () => own?.sign("instance-2"), 503, "hostname mismatch"],
    ["a certificate of an unknown authority", () => other?.sign("instance-1"), 526, "invalid certificate"],
    ["a wish for a certificate we have not", () => ({ ...good(), requestCert: true, rejectUnauthorized: true, ca }), 496, "client certificate refused"],
  ] as const) {
    test(`13.86: ${what}: ${status}`, async () => {
      await using app = await secure(options() as object);
      await using r = await rig({ backendCa: ca });
      serve(r, app, { tlsPort: app.port, serverCertDomainSan: "instance-1" });
      const answer = await ask(r.port, { method: "POST", body: "x" });
      expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([status, `endpoint_failure (${cause})`]);
      expect((await ask(r.port)).headers["x-cf-routererror"]).toBe("no_endpoints");
    });
  }
});
