import { describe, expect, test } from "vitest";
import { defaultSteps, type RouterOptions, type Step } from "../../src/index.ts";
import { echo, httpBackend } from "../fixtures/backend.ts";
import { ask, eventually, wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";
import { requestCases } from "../http1/corpus.ts";

const get = "GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n";

describe.each(["native", "undici"] as const)("an ambiguous request before the %s engine", (engine) => {
  test("reaches no app as something else", async () => {
    const seen: string[] = [];
    await using app = await httpBackend((request, response) => {
      seen.push(request.url as string);
      request.resume().on("end", () => response.end()).on("error", () => undefined);
    });
    // Of HTTP/2 this is not about.
    await using r = await rig({ engine, http2: false, maxRequestHeaderBytes: 61_440, maxRequestHeaders: 1_000 });
    r.serve([app]);
    for (const { name, bytes, expect: expected } of requestCases) {
      await using client = await wire(r.port, bytes);
      const sound = typeof expected === "number";
      if (sound) await eventually(() => client.heard().split("HTTP/1.1 200 ").length - 1 === expected, 5_000, () => `${name}: ${client.heard()}`);
      // Not every reader refuses all of these; none may see a request in what was a body.
      else if (engine === "native") expect([name, await client.until(/^HTTP\/1\.1 [45]\d\d |(\r\n\r\nHTTP\/1\.1 [45])/)]).toEqual([name, expect.stringMatching(/HTTP\/1\.1 (400|405|431|501|502) /)]);
      else {
        client.socket.end();
        await client.end();
      }
    }
    expect(seen.filter((url) => url === "/smuggled")).toEqual([]);
  }, 60_000);
});

describe("the native front", () => {
  const native = (options: RouterOptions = {}): RouterOptions => ({ engine: "native", ...options });

  for (const [name, bytes, status, code] of [
    ["both framings", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 400, "malformed_request"],
    ["a folded header", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400, "malformed_request"],
    ["a coding nobody can take off", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "malformed_request"],
    ["13.75 two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "invalid_host"],
    ["13.58 another version", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400, "malformed_request"],
  ] as const) {
    test(`answers ${name} with ${status}, closes, and reads nothing more`, async () => {
      await using app = await httpBackend(echo);
      await using r = await rig(native());
      r.serve([app]);
      await using client = await wire(r.port, `${bytes}${get}${get}`);
      const heard = await client.end();
      expect(heard).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
      expect(heard).toContain(`X-Cf-RouterError: ${code}`);
      expect(heard.match(/HTTP\/1\.1 \d/g)?.length).toBe(1);
      expect(app.requests.length).toBe(0);
    });
  }

  test("13.71 an idle connection is closed at its limit, one under way is not", async () => {
    await using app = await httpBackend((_, response) => void setTimeout(() => response.end("late"), 600));
    await using r = await rig(native({ clientIdleMs: 200 }));
    r.serve([app]);
    await using client = await wire(r.port, get);
    expect(await client.end()).toMatch(/ 200 [\s\S]*late/);
  });

  test("13.72 a head that does not end in its time: 408; drop by drop does not help", async () => {
    await using r = await rig(native({ headersTimeoutMs: 300 }));
    await using client = await wire(r.port, "GET / HTTP/1.1\r\n");
    const drip = setInterval(() => client.send("X: y\r\n"), 20);
    try {
      expect(await client.end()).toMatch(/^HTTP\/1\.1 408 /);
    } finally {
      clearInterval(drip);
    }
  });

  test("requests sent ahead are answered in order, and do not pile up", async () => {
    await using app = await httpBackend((request, response) => void setTimeout(() => response.end(request.url), 20 - 4 * Number((request.url as string).slice(1)) % 20));
    await using r = await rig(native());
    r.serve([app]);
    await using client = await wire(r.port, Array.from({ length: 10 }, (_, n) => `GET /${n} HTTP/1.1\r\nHost: app.example.com\r\n\r\n`).join(""));
    const heard = await client.until("/9");
    expect([...heard.matchAll(/\/(\d)(?:HTTP|\r\n|$)/g)].map(([, n]) => n)).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
  });

  test("what is left of a refused body is read, and the next request is found behind it", async () => {
    await using r = await rig(native());
    const body = "x".repeat(300_000);
    await using client = await wire(r.port, `POST / HTTP/1.1\r\nHost: nobody.example.com\r\nContent-Length: ${body.length}\r\n\r\n${body}GET /next HTTP/1.1\r\nHost: nobody.example.com\r\nConnection: close\r\n\r\n`);
    expect((await client.end()).split("HTTP/1.1 404 ").length).toBe(3);
  });

  test("an upgrade and what follows its refusal", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig(native());
    r.serve([app]);
    await using client = await wire(r.port, `${get}GET /up HTTP/1.1\r\nHost: app.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
    await client.until("\"url\":\"/up\"");
    client.send("GET /after HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n");
    expect(await client.end()).toContain("\"url\":\"/after\"");
  });

  test("a step answers with everything a ServerResponse has", async () => {
    const step: Step = async ({ response, target }, next) => {
      if (target !== "/own") return next();
      response.setHeader("X-One", "1");
      response.appendHeader("X-One", "2");
      response.setHeader("X-Gone", "1");
      response.removeHeader("x-gone");
      expect([response.getHeader("x-one"), response.hasHeader("X-GONE"), response.getHeaderNames(), response.headersSent]).toEqual([["1", "2"], false, ["x-one"], false]);
      response.statusCode = 418;
      response.write("some ");
      await new Promise<void>((resolve) => response.end("tea", () => resolve()));
      expect([response.headersSent, response.writableEnded, response.writableFinished]).toEqual([true, true, true]);
    };
    await using r = await rig(native({ steps: [step, ...defaultSteps] }));
    expect(await ask(r.port, { path: "/own" })).toMatchObject({ status: 418, reason: "I'm a Teapot", body: "some tea", headers: { "x-one": "1, 2", "transfer-encoding": "chunked", date: expect.any(String) as string }, complete: true });
  });

  test("13.57 an answer that no line can carry becomes 502, not two answers", async () => {
    const step: Step = (exchange, next) => { exchange.rewriteAnswer = (headers) => [...headers, "X-A", "b\r\nX-Evil: c"]; return next(); };
    await using app = await httpBackend(echo);
    await using r = await rig(native({ steps: [step, ...defaultSteps] }));
    r.serve([app]);
    await using client = await wire(r.port, get);
    expect(await client.end()).not.toContain("X-Evil");
  });

  test("13.102 a drain closes who waits, and lets who is answered finish", async () => {
    let answer: (() => void) | undefined;
    await using app = await httpBackend((request, response) => {
      if (request.url === "/quick") response.end("quick");
      else answer = () => void response.end("done");
    });
    await using r = await rig(native());
    r.serve([app]);
    await using idle = await wire(r.port, get.replace("/", "/quick"));
    await idle.until("quick");
    await using busy = await wire(r.port, get);
    await eventually(() => answer !== undefined);
    const drained = r.router.drain();
    await idle.end();
    answer?.();
    expect(await busy.end()).toMatch(/ 200 [\s\S]*Connection: close[\s\S]*done/i);
    await drained;
  });
});
