import { describe, expect, test } from "vitest";
import { echo, httpBackend, misbehaving, rawBackend } from "../fixtures/backend.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

const MiB = 1_048_576;

describe("Expect: 100-continue", () => {
  const head = "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

  test("13.65 one interim answer, then the body, then the final one", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, head);
    await client.until("HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    const heard = await client.until("\"body\":\"hello\"");
    expect(heard.match(/HTTP\/1\.1 100/g)?.length).toBe(1);
    await eventually(() => r.records.length === 1);
    expect(r.records[0]).toMatchObject({ status: 200, bytesIn: 5 });
  });

  test("13.65: the app is asked, and what it says is passed on: a body it does not want is never sent", async () => {
    const asked: (string | undefined)[] = [];
    await using app = await httpBackend(echo);
    app.server.on("checkContinue", (request, response) => {
      asked.push(request.headers.expect);
      response.writeHead(417, { "X-Why": "no" });
      response.end("not that");
    });
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, head);
    const heard = await client.end();
    expect(heard).toMatch(/^HTTP\/1\.1 417 /);
    expect(heard).toContain("not that");
    expect(heard).toMatch(/connection: close/i);
    expect([asked, app.requests.length]).toEqual([["100-continue"], 0]);
    await eventually(() => r.records.length === 1 && app.open() === 0);
    expect(r.records[0]).toMatchObject({ status: 417, bytesIn: 0 });
  });

  test("13.65: an app that does not know the question gets the body after a second, of unknown length too; its connection is not used again", async () => {
    await using app = await rawBackend((socket) => {
      let all = "";
      socket.on("data", (chunk: Buffer) => {
        all += chunk.toString("latin1");
        if (all.endsWith("0\r\n\r\n")) socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${all.length}\r\n\r\n${all}`);
      });
    });
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, head.replace("Content-Length: 5", "Transfer-Encoding: chunked"));
    await client.until("HTTP/1.1 100 Continue\r\n\r\n");
    client.send("5\r\nhello\r\n0\r\n\r\n");
    const heard = await client.until("5\r\nhello\r\n0\r\n\r\n");
    expect(heard.match(/HTTP\/1\.1 100/g)?.length).toBe(1);
    expect(heard).toMatch(/expect: 100-continue/i);
    await eventually(() => app.open() === 0);
  });

  test("13.65: its connection is closed, or used for the next question where that is configured", async () => {
    for (const [reuseExpectConnections, connections] of [[false, 4], [true, 1]] as const) {
      await using app = await httpBackend(echo);
      await using r = await rig({ reuseExpectConnections });
      r.serve([app]);
      for (let n = 0; n < 4; n += 1) {
        const answer = await ask(r.port, { method: "POST", body: `hello ${n}`, headers: { expect: "100-continue" } });
        expect([answer.status, answer.echoed().body]).toEqual([200, `hello ${n}`]);
      }
      expect(app.connections()).toBe(connections);
    }
  });

  test("13.65: reused or not, a body that was refused does not corrupt the next request", async () => {
    await using app = await httpBackend(echo);
    app.server.on("checkContinue", (request, response) => {
      if (request.headers["x-refuse"] === undefined) { response.writeContinue(); app.server.emit("request", request, response); }
      else response.writeHead(417, { "Content-Length": 0 }).end();
    });
    await using r = await rig({ reuseExpectConnections: true });
    r.serve([app]);
    for (const [refuse, status] of [[{}, 200], [{ "x-refuse": "1" }, 417], [{}, 200], [{ "x-refuse": "1" }, 417], [{}, 200]] as const) {
      const answer = await ask(r.port, { method: "POST", body: "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", headers: { expect: "100-continue", ...refuse } });
      expect(answer.status).toBe(status);
      expect(app.requests.map(({ url }) => url)).not.toContain("/smuggled");
    }
    // Each refusal has cost its connection.
    expect(app.connections()).toBe(3);
  });

  test("13.65: a kept connection that the app has closed meanwhile is not taken for the app", async () => {
    let heads = 0;
    await using app = await rawBackend((socket) => {
      let answered = false;
      socket.on("data", (chunk) => {
        const text = chunk.toString();
        // A second question on the same connection finds nobody.
        if (answered) { socket.resetAndDestroy(); return; }
        if (text.startsWith("POST ")) { heads += 1; socket.write("HTTP/1.1 100 Continue\r\n\r\n"); }
        if (text.endsWith("0\r\n\r\n")) { answered = true; socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); }
      });
    });
    await using r = await rig({ reuseExpectConnections: true });
    r.serve([app]);
    for (let n = 0; n < 3; n += 1) expect((await ask(r.port, { method: "POST", body: "hello", headers: { expect: "100-continue" } })).status).toBe(200);
    expect([heads, app.connections()]).toEqual([3, 3]);
  });

  test("13.65: 103 before the answer, and trailers behind it", async () => {
    await using app = await httpBackend((request, response) => {
      response.writeEarlyHints({ link: "</a.css>; rel=preload" });
      request.resume().on("end", () => { response.writeHead(200, { Trailer: "X-Sum" }); response.write("ok"); response.addTrailers({ "X-Sum": "7" }); response.end(); });
    });
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, head);
    await client.until("HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    expect(await client.until("0\r\nX-Sum: 7\r\n\r\n")).toMatch(/HTTP\/1\.1 103 [^]*HTTP\/1\.1 200 OK/);
  });

  test("13.79: tried elsewhere where nobody listens, the body whole", async () => {
    await using gone = await misbehaving.refuses();
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([gone, app]);
    for (let n = 0; n < 2; n += 1) {
      const answer = await ask(r.port, { method: "POST", body: "hello", headers: { expect: "100-continue" } });
      expect([answer.status, answer.echoed().body]).toEqual([200, "hello"]);
    }
  });

  test("nobody is asked for a body that would go nowhere", async () => {
    await using r = await rig();
    await using client = await wire(r.port, head);
    const heard = await client.end();
    expect(heard).toMatch(/^HTTP\/1\.1 404/);
    expect(heard).toMatch(/connection: close/i);
  });

  test("13.65 a body the app refuses does not spoil the connection for the next request", async () => {
    await using app = await httpBackend((request, response) => {
      if (request.method === "POST") { response.statusCode = 413; response.end("too much"); } else echo(request, response);
    });
    await using r = await rig();
    r.serve([app]);
    for (let n = 0; n < 5; n += 1) {
      const refused = await ask(r.port, { method: "POST", body: Buffer.alloc(2 * MiB), headers: { expect: "100-continue" } });
      expect([refused.status, refused.body]).toEqual([413, "too much"]);
      expect((await ask(r.port)).echoed().method).toBe("GET");
    }
  });
});
