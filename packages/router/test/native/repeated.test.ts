import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRequestHeadParser, createResponseHeadParser } from "../../src/http1/head-parser.ts";
import { defaultSteps, rewriteHeaders, type RouterOptions, type Step } from "../../src/index.ts";
import { httpBackend, rawBackend } from "../fixtures/backend.ts";
import { eventually, wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

// What a client or an app repeats on a connection is not read and put together again: nobody may see a difference.

/** A head as anybody can see it. */
const seen = (head: object | undefined): object | undefined => {
  if (head === undefined) return undefined;
  const { block: _, ...rest } = head as { block?: unknown; rawHeaders?: unknown };
  return { ...rest, rawHeaders: (head as { rawHeaders?: unknown }).rawHeaders };
};

const requestLines = ["GET / HTTP/1.1", "GET /a?b HTTP/1.1", "HEAD / HTTP/1.1", "POST /x HTTP/1.1", "GET / HTTP/1.0", "CONNECT a:1 HTTP/1.1", "OPTIONS * HTTP/1.1", "GET  / HTTP/1.1", "G\u00e4T / HTTP/1.1", "GET http://b/ HTTP/1.1"];
const requestFields = ["Host: a\r\n", "Host: a\r\nX: 1\r\n", "Host: a\r\nContent-Length: 3\r\n", "Host: a\r\nTransfer-Encoding: chunked\r\n", "Host: a\r\nConnection: close\r\n", "Host: a\r\nConnection: upgrade\r\nUpgrade: x\r\n", "", "Host: a\r\nHost: b\r\n", "Host: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n", "host: a\r\nX:\t2 \r\n", "Host: a\r\n bad: 1\r\n"];
const statusLines = ["HTTP/1.1 200 OK", "HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified", "HTTP/1.0 200 OK", "HTTP/1.1 404 ", "HTTP/1.1 103 Early Hints", "HTTP/1.1 20 OK", "HTTP/1.1 101 Switching"];
const answerFields = ["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Set-Cookie: a=b\r\nContent-Length: 0\r\n", "Connection: close\r\nContent-Length: 2\r\n", "Content-Length: 1\r\nContent-Length: 1\r\n", "X-A: 1\r\nDate: now\r\nContent-Length: 7\r\n"];

test("a reader that has seen heads before reads every head as a new one would", () => {
  const heads = (lines: string[], fields: string[], methods: string[]) => fc.array(
    fc.record({ line: fc.constantFrom(...lines), fields: fc.constantFrom(...fields), method: fc.constantFrom(...methods), cut: fc.option(fc.nat(120), { nil: undefined }) }), { minLength: 2, maxLength: 30 });
  fc.assert(fc.property(heads(requestLines, requestFields, ["GET"]), heads(statusLines, answerFields, ["GET", "HEAD", "CONNECT"]), (requests, answers) => {
    const [request, answer] = [createRequestHeadParser(), createResponseHeadParser()];
    for (const [known, list, fresh] of [[request, requests, createRequestHeadParser], [answer, answers, createResponseHeadParser]] as const) {
      for (const { line, fields, method, cut } of list) {
        const bytes = Buffer.from(`${line}\r\n${fields}\r\nbehind`, "latin1");
        const other = fresh();
        if ("method" in known) known.method = method;
        if ("method" in other) other.method = method;
        const at = cut !== undefined && cut < bytes.length - 6 ? cut : bytes.length;
        let read = known.push(bytes.subarray(0, at));
        if (read === undefined) read = known.push(bytes.subarray(at));
        expect(seen(read)).toEqual(seen(other.push(bytes)));
        if (read?.kind !== "refusal") expect(bytes.subarray((at < bytes.length && known.next <= bytes.length - at ? at : 0) + known.next).toString()).toBe("behind");
        bytes.fill(0x21);
      }
    }
  }), { numRuns: 300 });
});

/** Sends the same bytes again and again on one connection; gives what the app saw each time and what the client got, without what differs from request to request. */
async function repeat(requests: readonly string[], options: RouterOptions = {}, endpoint = {}) {
  await using app = await httpBackend((request, response) => {
    request.resume().on("end", () => response.end(JSON.stringify({ line: `${request.method} ${request.url}`, headers: request.rawHeaders })));
  });
  await using r = await rig({ engine: "native", ...options });
  r.serve([{ host: app.host, port: app.port, app: "guid", instanceId: "i-0", instanceIndex: "0", ...endpoint }]);
  await using client = await wire(r.port);
  const out: { line: string; headers: string[]; head: string }[] = [];
  for (const text of requests) {
    const before = client.heard().length;
    client.send(text);
    await client.until(new RegExp(`^[^]{${before}}HTTP/1\\.1 200 [^]*\\]\\}(\\r\\n0\\r\\n\\r\\n)?$`));
    const answer = client.heard().slice(before);
    const [head = "", body = ""] = answer.split("\r\n\r\n{");
    const { line, headers } = JSON.parse(`{${body.replace(/\r\n0\r\n\r\n$/, "")}`) as { line: string; headers: string[] };
    out.push({ line, head: blurred(head), headers: headers.map((value, at) => (["X-Request-Start", "X-Vcap-Request-Id"].includes(headers[at - 1] as string) ? value.replace(/^\d{13}$|^[0-9a-f-]{36}$/, "…") : value)) });
  }
  return { out, records: r.records };
}

const blurred = (head: string): string => head.replace(/(X-Vcap-Request-Id: )[0-9a-f-]{36}/i, "$1…").replace(/(Date: )[^\r]+/i, "$1…").replace(/(Content-Length: )\d+/i, "$1…").split("\r\n").sort().join("\n");

const heads: readonly (readonly [string, string])[] = [
  ["plain", "Accept: */*\r\n"],
  ["forwarded", "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-Proto: https\r\n"],
  ["its own start", "X-Request-Start: 12\r\n"],
  ["an id that is not believed", "X-Vcap-Request-Id: mine\r\nX-CF-InstanceID: mine\r\n"],
  ["names in Connection", "Connection: keep-alive, x-secret, x-forwarded-for\r\nX-Secret: 1\r\nX-Forwarded-For: 9.9.9.9\r\n"],
  ["disguised names", "X_Forwarded_For: 1\r\nX_Other: 2\r\n"],
  ["TE", "TE: trailers, gzip\r\n"],
  ["a key", "Idempotency-Key: k\r\n"],
  ["the same name twice", "X-A: 1\r\nx-a: 2\r\nCookie: a=b\r\nCookie: c=d\r\n"],
  ["affinity", "Cookie: JSESSIONID=1; __VCAP_ID__=i-0\r\n"],
  ["affinity for one that is gone", "Cookie: JSESSIONID=1; __VCAP_ID__=gone\r\n"],
];

describe("a request that is repeated on a connection reaches the app as the first one did", () => {
  for (const [name, fields] of heads) {
    test(name, async () => {
      const text = `GET /a?b=c HTTP/1.1\r\nHost: app.example.com\r\n${fields}\r\n`;
      const { out } = await repeat([text, text, text, text.replace("/a?b=c", "/other"), text]);
      for (const later of [out[1], out[2], out[4]]) expect(later).toEqual(out[0]);
      expect(out[3]).toEqual({ ...out[0], line: "GET /other" });
      expect(new Set(out[0]?.headers).has("…")).toBe(true);
    });
  }

  test("with a body, announced or in chunks", async () => {
    const one = "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 4\r\n\r\nbody";
    const other = "POST / HTTP/1.1\r\nHost: app.example.com\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    const { out } = await repeat([one, one, one, other, other, other, one]);
    for (const at of [1, 2, 6]) expect(out[at]).toEqual(out[0]);
    for (const at of [4, 5]) expect(out[at]).toEqual(out[3]);
    expect(out[0]?.headers).toContain("Content-Length");
    expect(out[3]?.headers).toContain("Transfer-Encoding");
  });

  test("with another host in its target", async () => {
    const own = "GET /a HTTP/1.1\r\nHost: app.example.com\r\n\r\n";
    const { out } = await repeat([own, own, own.replace("/a", "http://app.example.com:80/a"), own, own.replace("/a", "http://app.example.com:80/a")]);
    expect([0, 1, 3].map((at) => out[at]?.headers[1])).toEqual(Array.from({ length: 3 }, () => "app.example.com"));
    expect([2, 4].map((at) => out[at]?.headers[1])).toEqual(["app.example.com:80", "app.example.com:80"]);
  });

  test("each one has an id of its own, and the log knows where it came from", async () => {
    const text = "GET / HTTP/1.1\r\nHost: app.example.com\r\nX-Forwarded-For: 1.2.3.4\r\nUser-Agent: me\r\nReferer: there\r\n\r\n";
    const { records } = await repeat([text, text, text, text]);
    expect(new Set(records.map(({ requestId }) => requestId)).size).toBe(4);
    for (const record of records) expect(record).toMatchObject({ forwardedFor: "1.2.3.4, 127.0.0.1", forwardedProto: "http", userAgent: "me", referer: "there", status: 200 });
  });

  test("an id that a step gives is the one that app and client see; one that no line can carry is seen by nobody", async () => {
    const ids = ["a", "a", "x".repeat(36), "y".repeat(36), "é".repeat(36), "z".repeat(40), "w".repeat(36)];
    const seenIds: string[] = [];
    await using app = await httpBackend((request, response) => {
      seenIds.push(request.headers["x-vcap-request-id"] as string);
      response.end("ok");
    });
    let count = 0;
    const give: Step = (exchange, next) => {
      exchange.requestId = ids[count++] ?? `${"v".repeat(20)}\r\nX-Evil: 1${"v".repeat(5)}`;
      return next();
    };
    await using r = await rig({ engine: "native", steps: [defaultSteps[0] as Step, give, ...defaultSteps.slice(1)] });
    r.serve([app]);
    await using client = await wire(r.port);
    for (const id of ids) {
      const before = client.heard().length;
      client.send("GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
      await client.until(new RegExp(`^[^]{${before}}HTTP/1\\.1 200 [^]*ok$`));
      expect(/X-Vcap-Request-Id: ([^\r]*)/.exec(client.heard().slice(before))?.[1]).toBe(id);
    }
    expect(seenIds).toEqual(ids);
    client.send("GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
    await eventually(() => r.records.length === ids.length + 1);
    expect(seenIds).toEqual(ids);
    expect(client.heard()).not.toContain("X-Evil: 1");
  });

  test("steps may change headers of every second one, before and after they are rewritten, and the answer's", async () => {
    let count = 0;
    const before: Step = (exchange, next) => {
      if (count % 2 === 1) exchange.setHeader("X-Mine", String(count));
      return next();
    };
    const pushed: Step = (exchange, next) => {
      if (count % 4 === 2) exchange.requestHeaders.push("X-Pushed", "1");
      return next();
    };
    const after: Step = (exchange, next) => {
      if (count % 4 === 0) exchange.outboundHeaders.push("X-Late", "1");
      if (count % 4 === 2) exchange.response.setHeader("X-Answer", "1");
      count += 1;
      return next();
    };
    const at = defaultSteps.indexOf(rewriteHeaders);
    const steps = [before, pushed, ...defaultSteps.slice(0, at + 1), after, ...defaultSteps.slice(at + 1)];
    const text = "GET / HTTP/1.1\r\nHost: app.example.com\r\nAccept: */*\r\n\r\n";
    const { out } = await repeat(Array.from({ length: 8 }, () => text), { steps });
    const has = (name: string): boolean[] => out.map(({ headers }) => headers.includes(name));
    expect(has("X-Mine")).toEqual([false, true, false, true, false, true, false, true]);
    expect(has("X-Pushed")).toEqual([false, false, true, false, false, false, true, false]);
    expect(has("X-Late")).toEqual([true, false, false, false, true, false, false, false]);
    expect(out.map(({ head }) => head.includes("X-Answer"))).toEqual([false, false, true, false, false, false, true, false]);
    for (const { headers } of out) expect(headers.filter((name) => name === "X-Vcap-Request-Id")).toHaveLength(1);
  });
});

const answers: readonly (readonly [string, string])[] = [
  ["with a length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"],
  ["in chunks, with trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n"],
  ["with a date and an id of its own", "HTTP/1.1 200 OK\r\nDate: then\r\nX-Vcap-Request-Id: mine\r\nContent-Length: 2\r\n\r\nok"],
  ["with a session", "HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID=1; Secure\r\nContent-Length: 2\r\n\r\nok"],
  ["with two cookies", "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok"],
  ["with names in Connection", "HTTP/1.1 200 OK\r\nConnection: x-secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=30\r\nContent-Length: 2\r\n\r\nok"],
  ["without a body", "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"],
  ["not modified", "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"],
  ["of another kind", "HTTP/1.1 404 Nowhere\r\nContent-Length: 2\r\n\r\nno"],
  ["that asks to negotiate", "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n"],
  ["with a length of nought", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
];

describe("an answer that is repeated on a connection reaches the client as the first one did", () => {
  for (const [name, answer] of answers) {
    test(name, async () => {
      await using app = await rawBackend((socket) => socket.on("data", () => socket.write(answer)));
      await using r = await rig({ engine: "native", stickyForNegotiate: true });
      r.serve([{ host: app.host, port: app.port, app: "guid", instanceId: "i-0" }]);
      await using client = await wire(r.port);
      const got: string[] = [];
      for (let count = 0; count < 5; count += 1) {
        const before = client.heard().length;
        client.send("GET / HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
        await client.until(new RegExp(`^[^]{${before}}HTTP/1\\.1 [^]*\\r\\n\\r\\n`));
        const end = answer.slice(answer.indexOf("\r\n\r\n") + 4);
        await client.until(new RegExp(`^[^]{${before}}[^]*\\r\\n\\r\\n${end.replaceAll("\r", "\\r").replaceAll("\n", "\\n")}$`));
        got.push(client.heard().slice(before).replace(/(X-Vcap-Request-Id: )[0-9a-f-]{36}/i, "$1…").replace(/(Date: )[A-Z][^\r]+/, "$1…").split("\r\n").sort().join("\n"));
      }
      for (const later of got.slice(1)) expect(later).toBe(got[0]);
      expect(app.connections()).toBe(1);
    });
  }

  test("another status with the same lines is another answer, and a HEAD has no body", async () => {
    let count = 0;
    await using app = await rawBackend((socket) => socket.on("data", (chunk: Buffer) => {
      count += 1;
      const body = chunk.toString().startsWith("HEAD") ? "" : "ok";
      socket.write(`HTTP/1.1 ${count % 3 === 0 ? "404 Gone away" : "200 OK"}\r\nContent-Length: 2\r\n\r\n${body}`);
    }));
    await using r = await rig({ engine: "native" });
    r.serve([app]);
    await using client = await wire(r.port);
    const statuses: string[] = [];
    for (const method of ["GET", "GET", "GET", "HEAD", "GET", "HEAD", "HEAD", "GET", "GET"]) {
      const before = client.heard().length;
      client.send(`${method} / HTTP/1.1\r\nHost: app.example.com\r\n\r\n`);
      await client.until(new RegExp(`^[^]{${before}}HTTP/1\\.1 [^]*\\r\\n\\r\\n${method === "GET" ? "ok" : ""}$`));
      statuses.push(client.heard().slice(before, before + 20).slice(9).split("\r")[0] as string);
    }
    expect(statuses).toEqual(["200 OK", "200 OK", "404 Gone aw", "200 OK", "200 OK", "404 Gone aw", "200 OK", "200 OK", "404 Gone aw"].map((text) => text.slice(0, 11)));
  });

  test("a cookie of affinity is that of the route that was asked, also where two routes share a connection", async () => {
    await using app = await rawBackend((socket) => socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID=1\r\nContent-Length: 2\r\n\r\nok")));
    await using r = await rig({ engine: "native" });
    for (const path of ["/a", "/b"]) r.serve([{ host: app.host, port: app.port, app: "guid", instanceId: `i${path}` }], `app.example.com${path}`);
    await using client = await wire(r.port);
    const cookies: string[] = [];
    for (const path of ["/a", "/a", "/a", "/b", "/b", "/a"]) {
      const before = client.heard().length;
      client.send(`GET ${path} HTTP/1.1\r\nHost: app.example.com\r\n\r\n`);
      await client.until(new RegExp(`^[^]{${before}}HTTP/1\\.1 [^]*ok$`));
      cookies.push(/__VCAP_ID__=([^;]*; Path=[^;]*)/.exec(client.heard().slice(before))?.[1] ?? "none");
    }
    expect(cookies).toEqual(["/a", "/a", "/a", "/b", "/b", "/a"].map((path) => `i${path}; Path=${path}`));
    expect(app.connections()).toBe(1);
  });

  test("the last one before the end says that the connection closes", async () => {
    await using app = await rawBackend((socket) => socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")));
    await using r = await rig({ engine: "native" });
    r.serve([app]);
    await using client = await wire(r.port);
    const ask = async (fields: string): Promise<string> => {
      const before = client.heard().length;
      client.send(`GET / HTTP/1.1\r\nHost: app.example.com\r\n${fields}\r\n`);
      await client.until(new RegExp(`^[^]{${before}}HTTP/1\\.1 [^]*ok$`));
      return client.heard().slice(before);
    };
    expect(await ask("")).not.toMatch(/^connection:/im);
    expect(await ask("")).not.toMatch(/^connection:/im);
    expect(await ask("Connection: close\r\n")).toMatch(/^connection: close\r$/im);
    await client.end();
  });
});
