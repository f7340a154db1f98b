import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { classify, failureRules, isIdempotent, mayRetry, type FailedAttempt } from "../../src/proxy/failure.ts";
import { echo, httpBackend, misbehaving, rawBackend, type Backend } from "../fixtures/backend.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

describe("the failure table", () => {
  const failed = (code: string, progress: "unsent" | "sent" = "sent"): FailedAttempt => ({ code, message: "", progress });
  for (const [code, progress, status, retryGet, retryPost, mark, eject] of [
    ["CLIENT_GONE", "sent", 499, false, false, false, false],
    ["ENDPOINT_TIMEOUT", "sent", 502, false, false, false, false],
    ["ECONNREFUSED", "unsent", 502, true, true, true, true],
    ["DIAL_TIMEOUT", "unsent", 502, true, true, true, true],
    ["ETIMEDOUT", "unsent", 502, true, true, true, true],
    ["EHOSTUNREACH", "unsent", 502, true, true, true, true],
    ["ENOTFOUND", "unsent", 502, true, true, true, true],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "unsent", 503, true, true, true, true],
    ["CERT_HAS_EXPIRED", "unsent", 526, true, true, true, true],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "unsent", 526, true, true, true, true],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "unsent", 526, true, true, true, true],
    ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", "sent", 496, true, true, true, true],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "unsent", 525, true, true, true, true],
    ["EPROTO", "unsent", 525, true, true, true, true],
    ["ECONNRESET", "sent", 502, true, false, true, false],
    ["ECONNRESET", "unsent", 502, true, true, true, false],
    ["EOF", "sent", 502, true, false, false, false],
    ["HEADERS_TOO_LARGE", "sent", 502, false, false, false, false],
    ["BAD_RESPONSE", "sent", 502, false, false, false, false],
    ["ESOMETHING", "sent", 502, false, false, false, false],
    ["ESOMETHING", "unsent", 502, true, true, false, false],
  ] as const) {
    test(`${code}, ${progress}`, () => {
      const failure = failed(code, progress);
      const rule = classify(failure);
      expect([rule.status, mayRetry(rule, failure, true), mayRetry(rule, failure, false), rule.mark, rule.eject]).toEqual([status, retryGet, retryPost, mark, eject]);
    });
  }
  test("no cause can carry an address", () => {
    for (const { cause } of failureRules) expect(cause).toMatch(/^[A-Za-z ]+$/);
  });
  // EOF table of the original: method × body × idempotency key.
  for (const method of ["GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE"]) {
    for (const body of [false, true]) for (const key of [false, true]) {
      const expected = !body && (key || ["GET", "HEAD", "OPTIONS", "TRACE"].includes(method));
      test(`13.80 ${method}${body ? " with a body" : ""}${key ? " with a key" : ""} ${expected ? "may" : "may not"} be repeated`, () => expect(isIdempotent(method, body, key)).toBe(expected));
    }
  }
});

async function several(count: number, make: () => Promise<Backend>): Promise<Backend & { all: Backend[] }> {
  const all = await Promise.all(Array.from({ length: count }, make));
  return { ...(all[0] as Backend), all, async [Symbol.asyncDispose]() { await Promise.all(all.map((one) => one[Symbol.asyncDispose]())); } };
}

describe("retries", () => {
  for (const [maxAttempts, status] of [[4, 502], [10, 200]] as const) {
    test(`13.77 five endpoints of which four are dead: ${maxAttempts} attempts → ${status}`, async () => {
      await using dead = await several(4, misbehaving.refuses);
      await using app = await httpBackend(echo);
      await using r = await rig({ maxAttempts });
      r.serve([...dead.all, app]);
      const pool = r.router.table.lookup("app.example.com", "/");
      if (pool) pool.cursor = 0;
      const answer = await ask(r.port);
      expect(answer.status).toBe(status);
      await eventually(() => r.records.length === 1);
      expect(r.records[0]).toMatchObject(status === 200 ? { attempts: 5, failedAttempts: 4 } : { attempts: 4, failedAttempts: 4 });
    });
  }

  test("13.77 never more attempts than endpoints", async () => {
    await using dead = await several(2, misbehaving.refuses);
    await using r = await rig({ maxAttempts: 10 });
    r.serve(dead.all);
    await ask(r.port);
    await eventually(() => r.records.length === 1);
    expect(r.records[0]?.attempts).toBe(2);
  });

  test("13.78 an endpoint that turns up meanwhile is tried", async () => {
    await using dead = await misbehaving.refuses();
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([dead]);
    const warn = r.router.table;
    const backend = warn.lookup("app.example.com", "/")?.endpoints[0]?.backend;
    // The attempt reads the mark; registering at that moment is as near to "meanwhile" as it gets.
    if (backend) Object.defineProperty(backend, "failedUntil", { get: () => 0, set: () => r.serve([app]) });
    expect((await ask(r.port)).status).toBe(200);
  });

  test("13.79 a POST goes on to another endpoint when nothing was sent, its body whole", async () => {
    await using dead = await several(2, misbehaving.refuses);
    await using app = await httpBackend(echo);
    await using r = await rig({ maxAttempts: 3 });
    r.serve([...dead.all, app]);
    for (const size of [3, 300_000]) {
      for (const { backend } of r.router.table.lookup("app.example.com", "/")?.endpoints ?? []) backend.failedUntil = 0;
      const body = "b".repeat(size);
      const answer = await ask(r.port, { method: "POST", body });
      expect([answer.status, answer.echoed().body.length]).toEqual([200, size]);
    }
  });

  test("13.79 a chunked upload too", async () => {
    await using dead = await misbehaving.refuses();
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([dead, app]);
    for (let n = 0; n < 4; n += 1) {
      const answer = await ask(r.port, { method: "PUT", body: Readable.from(["one", "two", "three"]) });
      expect([answer.status, answer.echoed().body]).toEqual([200, "onetwothree"]);
    }
  });

  for (const how of ["hangsUp", "resets"] as const) {
    test(`13.80 an endpoint that ${how}: GET is repeated elsewhere, POST is not`, async () => {
      await using bad = await misbehaving[how]();
      await using app = await httpBackend(echo);
      await using r = await rig();
      r.serve([bad, app]);
      const fromBad = (): void => {
        const pool = r.router.table.lookup("app.example.com", "/");
        if (pool === undefined) return;
        pool.cursor = 0;
        for (const { backend } of pool.endpoints) backend.failedUntil = 0;
      };
      fromBad();
      expect((await ask(r.port)).status).toBe(200);
      fromBad();
      expect((await ask(r.port, { method: "POST", body: "x" })).status).toBe(502);
      fromBad();
      expect((await ask(r.port, { method: "DELETE" })).status).toBe(502);
      fromBad();
      expect((await ask(r.port, { method: "DELETE", headers: { "idempotency-key": "1" } })).status).toBe(200);
      expect(app.requests.map(({ method }) => method)).toEqual(["GET", "DELETE"]);
    });
  }

  test("13.82 an answer of the app is never repeated, whatever its status", async () => {
    await using app = await httpBackend((_, response) => { response.statusCode = 503; response.end("mine"); });
    await using other = await httpBackend(echo);
    await using r = await rig();
    r.serve([app, other]);
    const pool = r.router.table.lookup("app.example.com", "/");
    if (pool) pool.cursor = 0;
    expect(await ask(r.port)).toMatchObject({ status: 503, body: "mine" });
    expect(other.requests.length).toBe(0);
  });

  test("13.32 a dead endpoint is avoided for a while", async () => {
    await using dead = await misbehaving.refuses();
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([dead, app]);
    for (let n = 0; n < 10; n += 1) expect((await ask(r.port)).status).toBe(200);
    await eventually(() => r.records.length === 10);
    expect(r.records.reduce((sum, { failedAttempts }) => sum + failedAttempts, 0)).toBe(1);
  });

  test("a keep-alive connection that the app closed does not cost a GET", async () => {
    let answered = 0;
    // Answers once per connection and closes it, without having said so.
    await using app = await rawBackend((socket) => socket.on("data", () => {
      answered += 1;
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", () => socket.end());
    }));
    await using r = await rig();
    r.serve([app]);
    for (let n = 0; n < 20; n += 1) expect((await ask(r.port)).body).toBe("ok");
    expect(answered).toBe(20);
  });
});
