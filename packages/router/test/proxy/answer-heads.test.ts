import { describe, expect, test } from "vitest";
import { rawBackend, type Backend } from "../fixtures/backend.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { askHttp2, http2Backend, session } from "../fixtures/http2.ts";
import { rig } from "../fixtures/rig.ts";

/** Says `text` to each request head, whatever it asks. */
const saying = (text: string): Promise<Backend> => rawBackend((socket) => socket.on("data", () => socket.write(text, "latin1")));
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const get = "GET / HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n";

describe("interim answers (RFC 9110, 15.2)", () => {
  const several = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Why: soon\r\n\r\nHTTP/1.1 199 Odd\r\nX-Left: 3\r\nKeep-Alive: timeout=5\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n";

  test("each is passed on in its order, with its own headers, but for those of a connection", async () => {
    await using app = await saying(several + ok);
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, get);
    const heard = await client.end();
    expect(heard.split("\r\n\r\n").slice(0, 3)).toEqual([
      "HTTP/1.1 102 Processing",
      "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Why: soon",
      "HTTP/1.1 199 Unknown\r\nX-Left: 3",
    ]);
    expect(heard).toMatch(/\r\n\r\nHTTP\/1\.1 200 OK\r\n[^]*ok$/);
    await eventually(() => r.records.length === 1);
    expect(r.records[0]?.status).toBe(200);
  });

  test("over HTTP/2, in front and behind, as well", async () => {
    await using app = await saying(several + ok);
    await using second = await http2Backend((stream) => {
      stream.additionalHeaders({ ":status": 102 });
      stream.additionalHeaders({ ":status": 199, "x-left": "3" });
      stream.respond({ ":status": 200 });
      stream.end("ok");
    });
    await using r = await rig();
    r.serve([app]);
    r.router.table.register("two.example.com", { host: second.host, port: second.port, protocol: "http2" });
    await using client = await session(r.port);
    const one = await askHttp2(client);
    expect([one.status, one.body, one.interim.map((each) => [each[":status"], each["x-left"]])]).toEqual([200, "ok", [[102, undefined], [103, undefined], [199, "3"]]]);
    const two = await askHttp2(client, { ":authority": "two.example.com" });
    expect([two.status, two.interim.map((each) => [each[":status"], each["x-left"]])]).toEqual([200, [[102, undefined], [199, "3"]]]);
    await using old = await wire(r.port, get.replace("app.", "two."));
    expect(await old.end()).toMatch(/^HTTP\/1\.1 102 Processing\r\n\r\nHTTP\/1\.1 199 Unknown\r\nx-left: 3\r\n\r\nHTTP\/1\.1 200 /i);
  });

  test("a client of HTTP/1.0 gets none", async () => {
    await using app = await saying(several + ok);
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, "GET / HTTP/1.0\r\nHost: app.example.com\r\n\r\n");
    expect(await client.end()).toMatch(/^HTTP\/1\.[01] 200 OK/);
  });

  test.each([["as many as are taken", 32, 200], ["one more", 33, 502]])("%s: %i of them, %i", async (_, count, status) => {
    await using app = await saying("HTTP/1.1 102 Processing\r\n\r\n".repeat(count) + ok);
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, get);
    const heard = await client.end();
    expect(heard.match(/HTTP\/1\.1 102 /g)?.length).toBe(32);
    expect(heard).toContain(`HTTP/1.1 ${status} `);
    await eventually(() => app.open() === 0 || status === 200);
  });

  test("before a change of protocol, too", async () => {
    await using app = await saying("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello");
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    expect(await client.until("hello")).toMatch(/^HTTP\/1\.1 102 Processing\r\n\r\nHTTP\/1\.1 101 /);
  });
});

describe("13.74: answers with more header lines than are taken", () => {
  /** `Content-Length` is one of them. */
  const lines = (count: number, more = ""): string => `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n${"X-Same: 1\r\n".repeat(count - 1)}${more}\r\nok`;
  const tooMany = [502, "endpoint_failure (response headers too large)"];
  const outcome = ({ status, headers }: { status: number; headers: NodeJS.Dict<string | string[]> }): unknown[] => [status, headers["x-cf-routererror"]];

  test("as many as the limit pass, one more is 502, and is not tried elsewhere; each line counts, also of one name", async () => {
    await using app = await saying(lines(20));
    await using shouting = await saying(lines(21));
    await using r = await rig({ maxResponseHeaders: 20 });
    r.serve([app]);
    r.serve([shouting, shouting], "loud.example.com");
    // The second one is the same as the first, which an engine may know by then.
    for (let n = 0; n < 3; n += 1) expect(outcome(await ask(r.port))).toEqual([200, undefined]);
    for (let n = 0; n < 2; n += 1) expect(outcome(await ask(r.port, { host: "loud.example.com" }))).toEqual(tooMany);
    await eventually(() => r.records.length === 5);
    expect(r.records.map(({ attempts }) => attempts)).toEqual([1, 1, 1, 1, 1]);
    await eventually(() => shouting.open() === 0);
  });

  test("what says how the body is framed is not counted, as in a gorouter", async () => {
    const chunked = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n${"X-Same: 1\r\n".repeat(20)}\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n`;
    await using app = await saying(chunked);
    await using r = await rig({ maxResponseHeaders: 20 });
    r.serve([app]);
    expect(outcome(await ask(r.port))).toEqual([200, undefined]);
  });

  test("handshakes, questions and HTTP/2 have the same limit", async () => {
    const head = (count: number): Record<string, string> => Object.fromEntries(Array.from({ length: count }, (_, at) => [`x-${at}`, "1"]));
    await using shouting = await saying(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${"X-Same: 1\r\n".repeat(20)}\r\n`);
    await using loud = await saying(lines(21));
    await using second = await http2Backend((stream) => { stream.respond({ ":status": 200, ...head(21) }); stream.end("ok"); });
    await using r = await rig({ maxResponseHeaders: 20, maxAttempts: 1 });
    r.serve([shouting], "ws.example.com");
    r.serve([loud]);
    r.router.table.register("two.example.com", { host: second.host, port: second.port, protocol: "http2" });
    await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: ws.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    expect(await client.until("\r\n\r\n")).toMatch(/^HTTP\/1\.1 502 [^]*response headers too large/);
    expect(outcome(await ask(r.port, { method: "POST", body: "x", headers: { expect: "100-continue" } }))).toEqual(tooMany);
    expect(outcome(await ask(r.port, { host: "two.example.com" }))).toEqual(tooMany);
    await eventually(() => shouting.open() === 0 && loud.open() === 0);
  });
});
