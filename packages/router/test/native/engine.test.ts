import { describe, expect, test } from "vitest";
import { createRouter, type Step, defaultSteps } from "../../src/index.ts";
import { keepAliveMs } from "../../src/native/keep-alive.ts";
import { echo, httpBackend, rawBackend } from "../fixtures/backend.ts";
import { ask, eventually } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

const native = { engine: "native" as const };
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

describe("what an endpoint answers", () => {
  for (const [what, bytes, cause] of [
    ["a length and a coding", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "malformed response"],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", "malformed response"],
    ["a coding nobody knows", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "malformed response"],
    ["a folded header", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", "malformed response"],
    ["LF alone", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "malformed response"],
    ["a change of protocol nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "malformed response"],
    ["an interim answer with a body", "HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\nabc", "malformed response"],
    ["13.74 too large a head", `HTTP/1.1 200 OK\r\nX: ${"a".repeat(2_000)}\r\nContent-Length: 0\r\n\r\n`, "response headers too large"],
    ["half a head", "HTTP/1.1 200 OK\r\nContent-Le", "EOF"],
  ] as const) {
    test(`${what}: 502, and its connection goes`, async () => {
      await using app = await rawBackend((socket) => socket.once("data", () => (cause === "EOF" ? socket.end(bytes) : socket.write(bytes))));
      await using r = await rig({ ...native, maxResponseHeaderBytes: 1_000, maxAttempts: 1 });
      r.serve([app]);
      const answer = await ask(r.port);
      expect([answer.status, answer.headers["x-cf-routererror"]]).toEqual([502, `endpoint_failure (${cause})`]);
      await eventually(() => app.open() === 0);
    });
  }

  test("once per request: a second answer on the same connection is nobody's", async () => {
    let connection = 0;
    await using app = await rawBackend((socket) => {
      const own = ++connection;
      socket.on("data", () => socket.write(own === 1 ? `${ok}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged` : ok));
    });
    await using r = await rig(native);
    r.serve([app]);
    for (let n = 0; n < 5; n += 1) expect((await ask(r.port)).body).toBe("ok");
    expect(app.connections()).toBe(2);
  });

  test("unasked, while the connection is idle: it is closed", async () => {
    let speak: (() => void) | undefined;
    await using app = await rawBackend((socket) => socket.on("data", () => {
      socket.write(ok);
      speak = () => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
    }));
    await using r = await rig(native);
    r.serve([app]);
    expect((await ask(r.port)).body).toBe("ok");
    speak?.();
    await eventually(() => app.open() === 0);
    expect((await ask(r.port)).body).toBe("ok");
    expect(app.connections()).toBe(2);
  });

  test("in single octets: the same as in one piece", async () => {
    const text = "HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\nX-Sum: 8\r\n\r\n";
    await using app = await rawBackend((socket) => {
      socket.setNoDelay(true);
      socket.on("data", () => {
        let at = 0;
        const next = (): void => { if (at < text.length && !socket.destroyed) socket.write(text[at++] as string, () => setImmediate(next)); };
        next();
      });
    });
    await using r = await rig(native);
    r.serve([app]);
    for (let n = 0; n < 2; n += 1) expect(await ask(r.port)).toMatchObject({ status: 200, reason: "Fine", body: "abcdefgh", trailers: { "x-sum": "8" }, complete: true });
    expect(app.connections()).toBe(1);
  });

  test("until the connection ends", async () => {
    await using app = await rawBackend((socket) => socket.once("data", () => socket.end("HTTP/1.0 200 OK\r\n\r\nall there is")));
    await using r = await rig(native);
    r.serve([app]);
    for (let n = 0; n < 2; n += 1) expect(await ask(r.port)).toMatchObject({ status: 200, body: "all there is", complete: true });
  });

  for (const [what, head] of [["Connection: close", "HTTP/1.1 200 OK\r\nConnection: close\r\n"], ["HTTP/1.0", "HTTP/1.0 200 OK\r\n"], ["Keep-Alive: timeout=1", "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\n"]] as const) {
    test(`13.70 ${what}: the connection is not used again`, async () => {
      await using app = await rawBackend((socket) => socket.on("data", () => socket.write(`${head}Content-Length: 2\r\n\r\nok`)));
      await using r = await rig(native);
      r.serve([app]);
      for (let n = 0; n < 3; n += 1) expect((await ask(r.port)).body).toBe("ok");
      expect(app.connections()).toBe(3);
    });
  }
});

describe("an idle connection that the endpoint has given up", () => {
  /** Answers the first request of each connection; the second one finds it reset. */
  const tired = () => rawBackend((socket) => {
    let asked = 0;
    socket.on("data", () => {
      asked += 1;
      if (asked === 1) socket.write(ok);
      else socket.resetAndDestroy();
    });
  });

  test("costs no GET, even where there is no other endpoint", async () => {
    await using app = await tired();
    await using r = await rig({ ...native, maxAttempts: 1 });
    r.serve([app]);
    for (let n = 0; n < 10; n += 1) expect((await ask(r.port)).status).toBe(200);
    expect(r.records.reduce((sum, { failedAttempts }) => sum + failedAttempts, 0)).toBe(0);
  });

  test("13.80 but a POST may have been acted on: it is not repeated, one with a key and no body is", async () => {
    await using app = await tired();
    await using r = await rig({ ...native, maxAttempts: 1 });
    r.serve([app]);
    expect((await ask(r.port)).status).toBe(200);
    expect((await ask(r.port, { method: "POST", body: "x" })).status).toBe(502);
    expect((await ask(r.port)).status).toBe(200);
    expect((await ask(r.port, { method: "POST", headers: { "idempotency-key": "1" } })).status).toBe(200);
  });

  test("is closed after backendIdleMs", async () => {
    await using app = await rawBackend((socket) => socket.on("data", () => socket.write(ok)));
    await using r = await rig({ ...native, backendIdleMs: 200 });
    r.serve([app]);
    await ask(r.port);
    expect(app.open()).toBe(1);
    await eventually(() => app.open() === 0);
  });
});

describe("what goes to the endpoint", () => {
  for (const [what, step] of [
    ["a line end in a value", (exchange, next) => { exchange.setHeader("X-A", "b\r\nX-Evil: c"); return next(); }],
    ["a colon in a name", (exchange, next) => { exchange.setHeader("X: y", "b"); return next(); }],
    ["a letter no octet stands for", (exchange, next) => { exchange.setHeader("X-A", "\u20ac"); return next(); }],
    ["a blank in the target", (exchange, next) => { exchange.target = "/a b"; return next(); }],
  ] as readonly (readonly [string, Step])[]) {
    test(`${what}, put there by a step: 502, and the endpoint hears nothing`, async () => {
      await using app = await httpBackend(echo);
      await using r = await rig({ ...native, steps: [step, ...defaultSteps] });
      r.serve([app]);
      expect((await ask(r.port)).status).toBe(502);
      expect(app.requests.length).toBe(0);
    });
  }

  test("a request without a body says so where one is expected, and nowhere else", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig(native);
    r.serve([app]);
    const framing = async (method: string): Promise<unknown> => {
      const { headers } = (await ask(r.port, { method, headers: { "content-length": [] as string[] } })).echoed();
      return [headers["content-length"], headers["transfer-encoding"]];
    };
    expect(await framing("GET")).toEqual([undefined, undefined]);
    expect(await framing("POST")).toEqual(["0", undefined]);
  });

  test("a client that leaves while the endpoint is dialled: nothing is left behind", async () => {
    await using r = await rig({ ...native, dialTimeoutMs: 5_000 });
    // TEST-NET-1: nobody answers, or nobody can be reached.
    r.router.table.register("app.example.com", { host: "192.0.2.1", port: 80 });
    const controller = new AbortController();
    const asked = fetch(`http://127.0.0.1:${r.port}/`, { headers: { host: "app.example.com" }, signal: controller.signal }).catch(() => undefined);
    setTimeout(() => controller.abort(), 50);
    await asked;
    await eventually(() => r.records.length === 1);
    expect(r.router.inFlight).toBe(0);
  });
});

test("the engine's name is checked", () => {
  expect(() => createRouter({ engine: "other" as "native" })).toThrow(expect.objectContaining({ code: "ROUTER_BAD_OPTION" }));
});

test("how long an endpoint lets connections idle", () => {
  for (const [headers, ms] of [[[], Infinity], [["Keep-Alive", "timeout=5"], 4_000], [["keep-alive", "max=3, timeout=10"], 9_000], [["Keep-Alive", "timeout=0"], -1_000], [["Keep-Alive", "xtimeout=5"], Infinity]] as const) {
    expect(keepAliveMs(headers)).toBe(ms);
  }
});
