import { describe, expect, test } from "vitest";
import { httpBackend, rawBackend, type HttpBackend } from "../fixtures/backend.ts";
import { eventually, wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

/** Answers each piece of the body as it comes, and a point at the end of it. */
const talkative = (): Promise<HttpBackend> => httpBackend((request, response) => {
  response.writeHead(200);
  response.flushHeaders();
  request.on("error", () => undefined);
  request.on("data", (chunk: Buffer) => response.write(`<${chunk.toString()}>`));
  request.on("end", () => response.end("."));
});

const head = (framing: string): string => `POST / HTTP/1.1\r\nHost: app.example.com\r\n${framing}\r\nConnection: close\r\n\r\n`;

test("13.64: an app hears of a request before the first byte of its body has come, and may answer it", async () => {
  await using app = await talkative();
  await using r = await rig({ backendIdleMs: 100 });
  r.serve([app]);
  for (const [framing, pieces] of [["Transfer-Encoding: chunked", ["3\r\none\r\n", "3\r\ntwo\r\n0\r\n\r\n"]], ["Content-Length: 6", ["one", "two"]]] as const) {
    await using client = await wire(r.port, head(framing));
    await client.until("\r\n\r\n");
    for (const [at, text] of ["one", "two"].entries()) {
      client.send(pieces[at] as string);
      await client.until(`<${text}>`);
    }
    expect(await client.end()).toMatch(/^HTTP\/1\.1 200 [^]*\.\r\n0\r\n\r\n$/);
  }
  await eventually(() => r.records.length === 2 && app.open() === 0);
  expect(r.records.map(({ bytesIn, attempts, error }) => [bytesIn, attempts, error])).toEqual([[6, 1, undefined], [6, 1, undefined]]);
});

test("a body that turns out to be empty is not late, however long the app thinks", async () => {
  await using app = await httpBackend((request, response) => void request.resume().on("end", () => setTimeout(() => response.end("thought"), 400)));
  await using r = await rig();
  r.serve([app]);
  await using client = await wire(r.port, head("Transfer-Encoding: chunked"));
  client.send("0\r\n\r\n");
  expect(await client.end()).toMatch(/thought/);
  expect(app.requests.length).toBe(1);
});

test("13.64: a client that leaves before the first byte: the app sees the end, the log says 499", async () => {
  let ended = 0;
  await using app = await httpBackend((request) => void request.on("close", () => { ended += 1; }).on("error", () => undefined));
  await using r = await rig({ backendIdleMs: 100 });
  r.serve([app]);
  await using client = await wire(r.port, head("Content-Length: 6"));
  await eventually(() => app.requests.length === 1);
  client.socket.destroy();
  await eventually(() => r.records.length === 1 && ended === 1 && app.open() === 0);
  expect(r.records[0]).toMatchObject({ status: 499, bytesIn: 0 });
});

describe("13.64 an app that answers while it reads", () => {
  for (const framing of ["Transfer-Encoding: chunked", "Content-Length: 11"] as const) {
    const piece = (text: string): string => (framing.startsWith("T") ? `${text.length.toString(16)}\r\n${text}\r\n` : text);

    test(`enabled, ${framing}: each piece is answered before the next is sent`, async () => {
      await using app = await talkative();
      await using r = await rig();
      r.serve([app]);
      await using client = await wire(r.port, head(framing) + piece("one"));
      await client.until("<one>");
      for (const text of ["two", "three"]) {
        client.send(piece(text));
        await client.until(`<${text}>`);
      }
      if (framing.startsWith("T")) client.send("0\r\n\r\n");
      expect(await client.end()).toMatch(/\.\r\n0\r\n\r\n$/);
      await eventually(() => r.records.length === 1);
      expect(r.records[0]).toMatchObject({ status: 200, bytesIn: 11, error: undefined });
    });

    test(`not enabled, ${framing}: what had not come when the answer began never reaches the app, and the answer is visibly cut`, async () => {
      await using app = await talkative();
      await using r = await rig({ concurrentReadWrite: false, backendIdleMs: 100 });
      r.serve([app]);
      await using client = await wire(r.port, head(framing) + piece("one"));
      expect(await client.until("<one>")).toMatch(/^HTTP\/1\.1 200 /);
      client.send(piece("two"));
      const heard = await client.end(10_000);
      expect(heard).not.toContain("<two>");
      expect(heard).not.toMatch(/0\r\n\r\n$/);
      await eventually(() => r.records.length === 1 && app.open() === 0);
      expect(r.records[0]).toMatchObject({ status: 200, truncated: "upload ended", error: "answer_truncated (upload ended)" });
      // The app is not to blame.
      expect(r.router.table.lookup("app.example.com", "/")?.endpoints[0]?.backend).toMatchObject({ failedUntil: 0, inFlight: 0 });
    });
  }

  for (const concurrentReadWrite of [true, false]) {
    test(`a refusal in the middle of an upload arrives whole, enabled: ${concurrentReadWrite}`, async () => {
      await using app = await rawBackend((socket) => socket.once("data", () => {
        socket.write("HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\n\r\ntoo much");
      }));
      await using r = await rig({ concurrentReadWrite, backendIdleMs: 100 });
      r.serve([app]);
      await using client = await wire(r.port, "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 1000\r\n\r\nhello");
      expect(await client.until("too much")).toMatch(/^HTTP\/1\.1 413 /);
      await eventually(() => r.records.length === 1);
      expect(r.records[0]).toMatchObject({ status: 413, error: undefined });
      await eventually(() => app.open() === 0);
    });

    test(`a body that came before the answer is no matter, enabled: ${concurrentReadWrite}`, async () => {
      await using app = await talkative();
      await using r = await rig({ concurrentReadWrite, backendIdleMs: 100 });
      r.serve([app]);
      await using client = await wire(r.port, "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 3\r\n\r\none");
      await client.until("0\r\n\r\n");
      client.send("POST / HTTP/1.1\r\nHost: app.example.com\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\ntwo\r\n0\r\n\r\n");
      expect(await client.end()).toMatch(/<one>[^]*HTTP\/1\.1 200 [^]*<two>/);
      await eventually(() => r.records.length === 2);
      expect(r.records.map(({ bytesIn, error }) => [bytesIn, error])).toEqual([[3, undefined], [3, undefined]]);
    });
  }

  test("not enabled: the connection of a refused upload serves on when the rest of it has come", async () => {
    await using app = await httpBackend((request, response) => {
      if (request.method === "GET") return response.end("next");
      response.statusCode = 413;
      response.end("too much");
    });
    await using r = await rig({ concurrentReadWrite: false, backendIdleMs: 100 });
    r.serve([app]);
    await using client = await wire(r.port, "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 10\r\n\r\nhello");
    await client.until("too much");
    client.send("worldGET / HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n");
    expect(await client.end()).toMatch(/next$/);
  });
});
