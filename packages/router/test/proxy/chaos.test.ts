import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { echo, httpBackend, misbehaving, rawBackend, type Backend } from "../fixtures/backend.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

describe("whatever is sent", () => {
  test("arrives: any method, path, headers and body, however it is cut", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app]);
    const name = fc.stringMatching(/^[Xx]-[A-Za-z0-9-]{1,12}$/).filter((text) => !/^x-(forwarded|cf|vcap|b3|request)/i.test(text));
    const value = fc.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/);
    await fc.assert(fc.asyncProperty(
      fc.constantFrom("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT"),
      fc.stringMatching(/^(\/[A-Za-z0-9%~._!$&'()*+,;=:@-]{0,6}){1,4}(\?[A-Za-z0-9=&%?/]{0,12})?$/).filter((path) => !/%(?![0-9a-f]{2})/i.test(path.split("?")[0] as string)),
      fc.array(fc.tuple(name, value), { maxLength: 6 }),
      fc.option(fc.array(fc.stringMatching(/^[a-z0-9]{1,40}$/), { minLength: 1, maxLength: 6 }), { nil: undefined }),
      async (method, path, headers, chunks) => {
        await using client = await wire(r.port);
        client.send(`${method} ${path} HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n${headers.map(([key, text]) => `${key}: ${text}\r\n`).join("")}${chunks === undefined ? "" : "Transfer-Encoding: chunked\r\n"}\r\n`);
        for (const chunk of chunks ?? []) {
          client.send(`${chunk.length.toString(16)}\r\n${chunk}\r\n`);
          await new Promise((resolve) => setImmediate(resolve));
        }
        if (chunks !== undefined) client.send("0\r\n\r\n");
        const heard = await client.end();
        const seen = JSON.parse(heard.slice(heard.indexOf("\r\n\r\n") + 4).replace(/^[0-9a-f]+\r\n/, "").replace(/\r\n0\r\n\r\n$/, "")) as { method: string; url: string; body: string; rawHeaders: string[] };
        expect([seen.method, seen.url, seen.body]).toEqual([method, path, (chunks ?? []).join("")]);
        const own = new Set(["host", "connection", "x-forwarded-for", "x-forwarded-proto", "x-request-start", "x-vcap-request-id", "x-cf-instanceid", "content-length", "transfer-encoding"]);
        const passed: [string, string][] = [];
        for (let at = 0; at < seen.rawHeaders.length; at += 2) if (!own.has((seen.rawHeaders[at] as string).toLowerCase())) passed.push([seen.rawHeaders[at] as string, seen.rawHeaders[at + 1] as string]);
        expect(passed).toEqual(headers);
      },
    ), { numRuns: 150 });
  }, 40_000);

  test("comes back: any framing the app chooses", async () => {
    let reply = "";
    await using app = await rawBackend((socket) => socket.once("data", () => socket.end(reply, "latin1")));
    await using r = await rig();
    r.serve([app]);
    await fc.assert(fc.asyncProperty(
      fc.constantFrom("length", "chunked", "close"), fc.array(fc.stringMatching(/^[a-z0-9\n ]{1,60}$/), { maxLength: 5 }), fc.integer({ min: 200, max: 599 }).filter((status) => status !== 204 && status !== 304 && status !== 205),
      async (framing, parts, status) => {
        const body = parts.join("");
        const framed = framing === "length" ? `Content-Length: ${body.length}\r\n\r\n${body}`
          : framing === "chunked" ? `Transfer-Encoding: chunked\r\n\r\n${parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join("")}0\r\n\r\n`
          : `Connection: close\r\n\r\n${body}`;
        reply = `HTTP/1.1 ${status} Whatever\r\nX-Echo: yes\r\n${framed}`;
        expect(await ask(r.port)).toMatchObject({ status, reason: "Whatever", body, complete: true, headers: { "x-echo": "yes" } });
      },
    ), { numRuns: 150 });
  }, 40_000);

  test("a reason phrase in UTF-8 is no reason to fail", async () => {
    await using app = await rawBackend((socket) => socket.once("data", () => socket.end("HTTP/1.1 200 日本\r\nContent-Length: 0\r\n\r\n")));
    await using r = await rig();
    r.serve([app]);
    const answer = await ask(r.port);
    expect([answer.status, Buffer.from(answer.reason, "latin1").toString()]).toEqual([200, "日本"]);
  });

  test("noise on the port takes nothing down", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig({ headersTimeoutMs: 500 });
    r.serve([app]);
    await fc.assert(fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.boolean(), async (bytes, asHeader) => {
      await using client = await wire(r.port, asHeader ? "POST / HTTP/1.1\r\nHost: app.example.com\r\nTransfer-Encoding: chunked\r\n\r\n" : "");
      client.send(Buffer.from(bytes));
      client.send("\r\n\r\n");
      client.socket.end();
      await client.end();
    }), { numRuns: 100 });
    expect((await ask(r.port)).status).toBe(200);
    await eventually(() => r.router.inFlight === 0);
  }, 40_000);
});

test("endpoints come, go, refuse and hang up under load: every GET is answered by one that works", async () => {
  await using one = await httpBackend((_, response) => response.end("fine"));
  await using two = await httpBackend((_, response) => { setTimeout(() => response.end("fine"), 2); });
  const bad: Backend[] = [await misbehaving.refuses(), await misbehaving.hangsUp(), await misbehaving.resets()];
  await using r = await rig({ maxAttempts: 5, failureMarkMs: 5 });
  r.serve([one, two]);
  let over = false;
  const flapping = (async () => {
    for (let n = 0; !over; n += 1) {
      const backend = bad[n % bad.length] as Backend;
      r.serve([backend]);
      await new Promise((resolve) => setTimeout(resolve, 3));
      r.router.table.unregister("app.example.com", backend);
      if (n % 5 === 0) {
        r.router.table.unregister("app.example.com", n % 2 ? one : two);
        await new Promise((resolve) => setTimeout(resolve, 2));
        r.serve([one, two]);
      }
    }
  })();
  const statuses = new Map<string, number>();
  await Promise.all(Array.from({ length: 20 }, async () => {
    for (let n = 0; n < 40; n += 1) {
      const { status, body } = await ask(r.port);
      const key = `${status} ${status === 200 ? body : ""}`;
      statuses.set(key, (statuses.get(key) ?? 0) + 1);
    }
  }));
  over = true;
  await flapping;
  expect(Object.fromEntries(statuses)).toEqual({ "200 fine": 800 });
  await eventually(() => r.records.length === 800);
  expect(r.records.some(({ failedAttempts }) => failedAttempts > 0)).toBe(true);
  for (const backend of bad) await backend[Symbol.asyncDispose]();
}, 40_000);

test("upgrades refused again and again on one connection leave nothing behind on it", async () => {
  await using app = await httpBackend(echo);
  await using r = await rig();
  r.serve([app]);
  const warnings: string[] = [];
  const hear = (warning: Error): void => void warnings.push(warning.message);
  process.on("warning", hear);
  await using client = await wire(r.port);
  for (let n = 1; n <= 30; n += 1) {
    client.send(`GET /${n}. HTTP/1.1\r\nHost: app.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
    await client.until(`"url":"/${n}."`);
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
  process.off("warning", hear);
  expect(warnings).toEqual([]);
});
