import { expect, test } from "vitest";
import { echo, httpBackend } from "../fixtures/backend.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

const probe = { headers: { "user-agent": "HTTP-Monitor/1.1" } };

test("the agent named is answered as by /health, without host, route or app; it is neither logged nor counted; while the router drains it gets 503", async () => {
  let finish: (() => void) | undefined;
  await using app = await httpBackend((_, response) => { finish = () => response.end("late"); });
  const lines: string[] = [];
  await using r = await rig({ healthCheckAgent: "HTTP-Monitor/1.1", accessLog: { write: (line: string) => lines.push(line) } });
  r.serve([app]);
  for (const more of [{}, { path: "/any/thing?x" }, { host: "nobody.example.com" }, { host: "127.0.0.1" }, { method: "POST", body: "x" }]) {
    expect(await ask(r.port, { ...probe, ...more })).toMatchObject({ status: 200, body: "ok\n", headers: { "cache-control": "private, max-age=0", expires: "0" } });
  }
  expect(await ask(r.port, { ...probe, method: "HEAD" })).toMatchObject({ status: 200, body: "" });
  await using raw = await wire(r.port, "GET / HTTP/1.1\r\nHost:\r\nUser-Agent: HTTP-Monitor/1.1\r\n\r\n");
  await raw.until("ok\n");
  expect([app.requests.length, r.records.length, lines.length, r.router.numbers().requests]).toEqual([0, 0, 0, 0]);

  // The same connection once more, and one that is like it but is not it.
  raw.send("GET / HTTP/1.1\r\nUser-Agent: HTTP-Monitor/1.10\r\nHost: app.example.com\r\n\r\n");
  await eventually(() => finish !== undefined);
  const draining = r.router.drain({ waitMs: 3_000 });
  const answer = await ask(r.port, probe);
  expect([answer.status, answer.body]).toEqual([503, ""]);
  finish?.();
  await raw.until("late");
  expect(r.router.numbers().requests).toBeLessThanOrEqual(1);
  await draining;
  expect([r.records.length, lines.length]).toEqual([1, 1]);
});

test("without that option every agent is a client", async () => {
  await using app = await httpBackend(echo);
  await using r = await rig();
  r.serve([app]);
  expect((await ask(r.port, probe)).status).toBe(200);
  expect(app.requests.length).toBe(1);
});
