import { createHash } from "node:crypto";
import { request as httpRequest } from "node:http";
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { httpBackend, misbehaving, rawBackend } from "../fixtures/backend.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

const MiB = 1_048_576;

/** `size` bytes in pieces, and their digest; the same for the same seed. */
function pieces(size: number, piece = 65_536): { stream: () => Readable; digest: string } {
  const block = Buffer.alloc(piece);
  for (let at = 0; at < piece; at += 1) block[at] = (at * 31 + (at >> 8)) & 0xff;
  const hash = createHash("sha256");
  for (let left = size; left > 0; left -= piece) hash.update(block.subarray(0, Math.min(left, piece)));
  function* generate(): Generator<Buffer> {
    for (let left = size; left > 0; left -= piece) yield block.subarray(0, Math.min(left, piece));
  }
  return { stream: () => Readable.from(generate(), { objectMode: false, highWaterMark: piece }), digest: hash.digest("hex") };
}

describe("bodies", () => {
  for (const framing of ["length", "chunks"] as const) {
    test(`13.63: 192 MiB up and down with ${framing}, memory bounded`, async () => {
      const size = 192 * MiB;
      const sent = pieces(size);
      let digest = "";
      let most = 0;
      await using app = await httpBackend((request, response) => {
        const hash = createHash("sha256");
        request.on("data", (chunk: Buffer) => hash.update(chunk));
        request.on("end", () => {
          digest = hash.digest("hex");
          if (framing === "length") response.setHeader("Content-Length", size);
          sent.stream().pipe(response);
        });
      });
      await using r = await rig();
      r.serve([app]);
      const baseline = process.memoryUsage().rss;
      const watch = setInterval(() => { most = Math.max(most, process.memoryUsage().rss - baseline); }, 20);
      const received = await new Promise<string>((resolve, reject) => {
        const request = httpRequest({ host: "127.0.0.1", port: r.port, method: "PUT", headers: { host: "app.example.com", ...(framing === "length" ? { "content-length": size } : {}) } }, (response) => {
          const hash = createHash("sha256");
          response.on("data", (chunk: Buffer) => hash.update(chunk));
          response.on("end", () => resolve(hash.digest("hex")));
        });
        request.on("error", reject);
        sent.stream().pipe(request);
      });
      clearInterval(watch);
      expect([digest, received]).toEqual([sent.digest, sent.digest]);
      // Client, router and app share this process; a body kept in memory would take 192 MiB or more.
      expect(most).toBeLessThan(160 * MiB);
      await eventually(() => r.records.length === 1);
      expect(r.records[0]).toMatchObject({ bytesIn: size, bytesOut: size, status: 200 });
    }, 60_000);
  }

  test("13.63: chunks arrive as they are sent", async () => {
    let push: ((text: string) => void) | undefined;
    await using app = await httpBackend((_, response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.flushHeaders();
      push = (text) => void response.write(text);
    });
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await client.until("\r\n\r\n");
    for (const text of ["data: one\n\n", "data: two\n\n", "data: three\n\n"]) {
      push?.(text);
      await client.until(text);
    }
  });

  test("13.63, 13.64: request chunks reach the app as they are sent, and its answer may begin before they end", async () => {
    await using app = await httpBackend((request, response) => {
      response.writeHead(200);
      request.on("data", (chunk: Buffer) => response.write(`<${chunk.toString()}>`));
      request.on("end", () => response.end("."));
    });
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, "POST / HTTP/1.1\r\nHost: app.example.com\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    for (const text of ["one", "two"]) {
      client.send(`${text.length.toString(16)}\r\n${text}\r\n`);
      await client.until(`<${text}>`);
    }
    client.send("0\r\n\r\n");
    expect(await client.end()).toMatch(/1\r\n\.\r\n0\r\n\r\n$/);
  });

  test("a slow reader slows the app down and nothing piles up", async () => {
    let produced = 0;
    let ended = false;
    await using app = await httpBackend((_, response) => {
      const block = Buffer.alloc(65_536);
      const fill = (): void => {
        while (produced < 200 * MiB) {
          produced += block.length;
          if (!response.write(block)) return void response.once("drain", fill);
        }
        ended = true;
        response.end();
      };
      fill();
    });
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await client.until("200 OK");
    client.socket.pause();
    let last = -1;
    await eventually(async () => {
      const before = produced;
      await new Promise((resolve) => setTimeout(resolve, 150));
      last = before;
      return produced === last;
    }, 10_000);
    // What the kernel's socket buffers hold, on two connections.
    expect(produced).toBeLessThan(40 * MiB);
    expect(ended).toBe(false);
  }, 20_000);

  test("a slow app slows the client down", async () => {
    let wake: (() => void) | undefined;
    await using app = await rawBackend((socket) => {
      socket.once("data", () => socket.pause());
      wake = () => socket.resume();
    });
    await using r = await rig({ backendIdleMs: 100 });
    r.serve([app]);
    let sent = 0;
    const request = httpRequest({ host: "127.0.0.1", port: r.port, method: "PUT", headers: { host: "app.example.com" } });
    request.on("error", () => undefined);
    const block = Buffer.alloc(65_536);
    const fill = (): void => {
      while (sent < 200 * MiB) {
        sent += block.length;
        if (!request.write(block)) return void request.once("drain", fill);
      }
    };
    fill();
    await eventually(async () => {
      const before = sent;
      await new Promise((resolve) => setTimeout(resolve, 150));
      return sent > 0 && sent === before;
    }, 10_000);
    expect(sent).toBeLessThan(40 * MiB);
    request.destroy();
    // Nobody reads a client who is held back, so that it left is noticed when the app goes on.
    wake?.();
    await eventually(() => r.records.length === 1);
    await eventually(() => app.open() === 0);
  }, 20_000);

  test("trailers of the app follow its body", async () => {
    await using app = await httpBackend((_, response) => {
      response.writeHead(200, { Trailer: "X-Sum" });
      response.write("body");
      response.addTrailers({ "X-Sum": "42", "X-Unannounced": "1" });
      response.end();
    });
    await using r = await rig();
    r.serve([app]);
    const answer = await ask(r.port);
    expect(answer).toMatchObject({ body: "body", trailers: { "x-sum": "42", "x-unannounced": "1" } });
    expect(answer.headers.trailer).toBe("X-Sum");
  });

  test("early hints are passed on, the final status is the one that counts", async () => {
    await using app = await httpBackend((_, response) => { response.writeEarlyHints({ link: "</a.css>; rel=preload" }); response.end("done"); });
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n");
    expect(await client.end()).toMatch(/^HTTP\/1.1 103 [\s\S]*<\/a.css>; rel=preload[\s\S]*HTTP\/1.1 200 /);
    await eventually(() => r.records.length === 1);
    expect(r.records[0]?.status).toBe(200);
  });
});

describe("broken ends", () => {
  for (const how of ["truncates", "diesMidChunks"] as const) {
    test(`13.84 an app that ${how}: the client gets what there was, and sees that it is not all`, async () => {
      await using app = await misbehaving[how]();
      await using r = await rig({ backendIdleMs: 100 });
      r.serve([app]);
      const answer = await ask(r.port);
      expect(answer).toMatchObject({ status: 200, body: "hello", complete: false });
      await eventually(() => r.records.length === 1);
      expect(r.records[0]).toMatchObject({ status: 200, error: expect.stringMatching(/^answer_truncated \(/) });
      expect(r.router.numbers().truncated_responses).toBe(1);
    });
  }

  test("a client of HTTP/1.0, for whom the end of the connection is the end of the body, gets a reset", async () => {
    await using app = await misbehaving.diesMidChunks();
    await using r = await rig({ backendIdleMs: 100 });
    r.serve([app]);
    await using client = await wire(r.port);
    const failed = new Promise<boolean>((resolve) => {
      client.socket.on("error", () => resolve(true));
      client.socket.on("end", () => resolve(false));
    });
    client.send("GET / HTTP/1.0\r\nHost: app.example.com\r\n\r\n");
    expect(await failed).toBe(true);
  });

  test("a client that takes nothing of an answer that is over does not hold its connection for ever", async () => {
    await using app = await httpBackend((_, response) => {
      const block = Buffer.alloc(65_536);
      const fill = (): void => { while (response.write(block)); response.once("drain", fill); };
      fill();
    });
    await using r = await rig({ endpointTimeoutMs: 1_500, clientStallMs: 200, backendIdleMs: 100 });
    r.serve([app]);
    await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await client.until("200 OK");
    client.socket.pause();
    await eventually(() => app.open() === 0);
    await eventually(() => r.records.length === 1);
    expect(r.records[0]).toMatchObject({ status: 200, error: "answer_truncated (timeout)" });
    expect(r.router.inFlight).toBe(0);
  });

  test("13.84 an answer that takes too long as a whole is cut", async () => {
    await using app = await httpBackend((_, response) => {
      const timer = setInterval(() => response.write("tick"), 20);
      response.on("close", () => clearInterval(timer));
    });
    await using r = await rig({ endpointTimeoutMs: 200 });
    r.serve([app]);
    const answer = await ask(r.port);
    expect([answer.status, answer.complete]).toEqual([200, false]);
    expect(answer.body).toContain("ticktick");
  });

  test("13.83, 13.85 a client that leaves before the answer: the app's connection goes too, and the log says 499", async () => {
    await using app = await misbehaving.stalls();
    await using r = await rig({ backendIdleMs: 100 });
    r.serve([app]);
    await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await eventually(() => app.heard() > 0);
    client.socket.destroy();
    await eventually(() => app.open() === 0);
    await eventually(() => r.records.length === 1);
    expect(r.records[0]).toMatchObject({ status: 499, error: "endpoint_failure (context canceled)", attempts: 1 });
    const endpoint = r.router.table.lookup("app.example.com", "/")?.endpoints[0];
    expect(endpoint?.backend).toMatchObject({ failedUntil: 0, inFlight: 0 });
  });

  test("13.85 a client that leaves during the answer: the app's connection goes too", async () => {
    let closed = false;
    await using app = await httpBackend((_, response) => {
      const timer = setInterval(() => response.write("tick"), 5);
      response.on("close", () => { closed = true; clearInterval(timer); });
    });
    await using r = await rig({ backendIdleMs: 100 });
    r.serve([app]);
    await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await client.until("tick");
    client.socket.destroy();
    await eventually(() => closed);
    await eventually(() => r.records.length === 1);
    expect(r.records[0]?.status).toBe(200);
  });

  test("13.83, 13.85 a client that leaves during its upload: the app sees it end", async () => {
    let aborted = false;
    await using app = await httpBackend((request) => { request.on("close", () => { aborted = !request.complete; }); request.resume(); });
    await using r = await rig({ backendIdleMs: 100 });
    r.serve([app]);
    await using client = await wire(r.port, "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 1000\r\n\r\npart");
    await eventually(() => app.requests.length === 1);
    client.socket.destroy();
    await eventually(() => aborted);
    await eventually(() => r.records.length === 1);
    expect(r.records[0]).toMatchObject({ status: 499, bytesIn: 4 });
  });

  test("a broken chunk of a client ends both sides", async () => {
    await using app = await httpBackend((request) => { request.on("error", () => undefined); request.resume(); });
    await using r = await rig({ backendIdleMs: 100 });
    r.serve([app]);
    await using client = await wire(r.port, "POST / HTTP/1.1\r\nHost: app.example.com\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    await eventually(() => app.requests.length === 1);
    client.send("zz\r\n");
    await client.end();
    await eventually(() => app.open() === 0);
  });

  test("a client that closes its half of the connection has left: a browser's closed tab looks no different", async () => {
    await using app = await misbehaving.stalls();
    await using r = await rig({ backendIdleMs: 100 });
    r.serve([app]);
    await using client = await wire(r.port, "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await eventually(() => app.heard() > 0);
    client.socket.end();
    await eventually(() => app.open() === 0);
    await eventually(() => r.records.length === 1);
    expect(r.records[0]?.status).toBe(499);
  });
});
