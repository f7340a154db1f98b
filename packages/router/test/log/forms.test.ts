import { Writable } from "node:stream";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createAccessLog } from "../../src/log/access-log.ts";
import { silentLogger } from "../../src/ports.ts";
import { accessLogLine } from "../../src/proxy/access-log.ts";
import { LineForm } from "../../src/proxy/access-log-form.ts";
import type { RequestRecord } from "../../src/proxy/record.ts";
import { httpBackend } from "../fixtures/backend.ts";
import { eventually, wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

// Lines of requests that repeat each other are written from a form: they say what they would say if they were put together.

/** Records of one connection's requests, each a repetition of the one before in all but its target where there are several. */
async function recordsOf(targets: readonly string[], agent = "me"): Promise<{ records: RequestRecord[]; logged: string }> {
  let logged = "";
  await using app = await httpBackend((request, response) => {
    if (request.url === "/long") response.end("a longer answer than the others");
    else response.writeHead(request.url === "/missing" ? 404 : 200, { "X-Same": "1" }).end("ok");
  });
  const sink = new Writable({ write(chunk: Buffer, _, done) { logged += chunk.toString(); done(); } });
  await using r = await rig({ engine: "native", accessLog: sink });
  r.serve([{ ...app, app: "an-app", instanceId: "i-1", instanceIndex: "0" }]);
  await using client = await wire(r.port);
  for (const [at, target] of targets.entries()) {
    client.send(`GET ${target} HTTP/1.1\r\nHost: app.example.com\r\nUser-Agent: ${agent}\r\nReferer: http://there/\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n`);
    await eventually(() => r.records.length === at + 1);
  }
  await r.router.drain();
  return { records: r.records, logged };
}

test("what is logged is what the records say, whatever changes between them", async () => {
  const { records, logged } = await recordsOf(["/a", "/a", "/a", "/a", "/missing", "/missing", "/missing", "/a", "/long", "/long", "/long?x;y", "/long?x;y", "/long?x;y", "/a", "/a"]);
  expect(logged).toBe(records.map((record) => accessLogLine(record)).join(""));
  expect(logged.split("\n")).toHaveLength(16);
});

test("an agent with letters of two bytes is logged as it came", async () => {
  const { records, logged } = await recordsOf(["/a", "/a", "/a", "/a"], "m\u00e9 \"quoted\"");
  expect(logged).toBe(records.map((record) => accessLogLine(record)).join(""));
});

test("a form writes every line that it takes as the line would be put together, and leaves the others", async () => {
  const { records } = await recordsOf(["/a", "/a", "/a"]);
  const record = records[2] as RequestRecord;
  const options = {};
  const form = LineForm.of(record, options) as LineForm;
  expect(form).toBeInstanceOf(LineForm);
  const id = fc.oneof(fc.uuid(), fc.string({ minLength: 36, maxLength: 36, unit: "binary-ascii" }));
  const ms = fc.oneof(fc.double({ min: 0, max: 20_000, noNaN: true }), fc.constantFrom(0, 0.0004, 0.0005, 999.9995, 9_999.999, 9_999.9994, 9_999.9996, 10_000, -0.1));
  fc.assert(fc.property(id, ms, ms, fc.integer({ min: 0, max: 4e12 }), fc.nat(100), (requestId, totalMs, routerMs, receivedAtMs, at) => {
    const other = Object.assign(Object.create(record) as RequestRecord, { requestId, receivedAtMs, timings: { ...record.timings, totalMs, routerMs } });
    const piece = Buffer.alloc(at + form.length + 10, "#");
    if (form.writeTo(piece, at, other)) expect(piece.toString()).toBe(`${"#".repeat(at)}${accessLogLine(other, options)}${"#".repeat(10)}`);
    else expect(/[^!#-[\]-~]/.test(requestId) || totalMs < 0 || totalMs >= 9_999 || routerMs < 0 || routerMs >= 9_999).toBe(true);
  }), { numRuns: 2_000 });
});

test("lines that are longer than a batch, and those that just fill it, come whole and in order", () => {
  let logged = "";
  const log = createAccessLog([new Writable({ write(chunk: Buffer, _, done) { logged += chunk.toString(); done(); } })], {}, silentLogger);
  const lines = [10, 30_000, 65_536, 1, 21_845, 21_846, 200_000, 5].map((length, at) => `${at} ${"\u20ac".repeat(length)}\n`);
  for (const line of lines) log.addLine(line);
  log.flush();
  expect(logged).toBe(lines.join(""));
  expect(log.pendingLines).toBe(0);
});
