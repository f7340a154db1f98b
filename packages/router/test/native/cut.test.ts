import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Endpoint } from "../../src/endpoint.ts";
import type { HeaderBlock, RequestHead, ResponseHead } from "../../src/http1/head.ts";
import { createRequestHeadParser, createResponseHeadParser } from "../../src/http1/head-parser.ts";
import { writeAnswerHead } from "../../src/native/answer-head.ts";
import type { ClientResponse } from "../../src/native/client-response.ts";
import { beginCut } from "../../src/native/cut-answer.ts";
import { clientHead } from "../../src/proxy/answer.ts";
import { defaultSteps, rewriteHeaders, type Step } from "../../src/index.ts";
import { cutRequest } from "../../src/proxy/cut-request.ts";
import type { Exchange } from "../../src/proxy/exchange.ts";
import { buildRequestHeaders } from "../../src/proxy/headers.ts";
import { flatOf, linesOf } from "../../src/proxy/lines.ts";
import { spokenFor } from "../../src/proxy/passage.ts";
import { httpBackend } from "../fixtures/backend.ts";
import { wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

// Lines that are cut out of a head as they stand: what reaches the other side is what it would be if they were taken apart.

/** Each of them in the case of the moment. */
const requestNames = [
  "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Trailer", "Upgrade", "TE", "Expect", "HTTP2-Settings",
  "X-Vcap-Request-Id", "X-CF-ApplicationID", "X-CF-InstanceID", "X-CF-InstanceIndex", "X-CF-App-Instance", "X-CF-Process-Instance", "X-Forwarded-For", "X-Forwarded-Proto",
  "X-Request-Start", "X-Forwarded-Client-Cert", "Idempotency-Key", "X-Idempotency-Key", "Cookie", "User-Agent", "Referer", "X_Forwarded_For", "X_Other", "Accept", "X-Forwarded-Fox",
  "X-CF-Instance", "Hosts", "Date", "Set-Cookie", "X-Cf-Proxy-Signature", "Authorization", "A",
];
const answerNames = [
  "Connection", "Keep-Alive", "Proxy-Connection", "Trailer", "Upgrade", "TE", "X-Vcap-Request-Id", "X-Cf-Proxy-Signature", "Set-Cookie", "WWW-Authenticate", "Date", "ETag", "Expect",
  "Host", "X-CF-InstanceID", "X-Forwarded-For", "Cookie", "X_Other", "Content-Type", "Trailers",
];
const values = ["", "1", "keep-alive", "close", "x-a, A", "trailers", "https", "1.2.3.4", "a=b; Path=/", "JSESSIONID=1", "__VCAP_ID__=i-0; JSESSIONID=2", "caf\u00e9", "Negotiate", "a \t b", "\"q\""];
const cases = [(name: string) => name, (name: string) => name.toLowerCase(), (name: string) => name.toUpperCase()];

const line = (names: readonly string[]) => fc.record({
  name: fc.constantFrom(...names), value: fc.constantFrom(...values), spelled: fc.constantFrom(...cases),
  blanks: fc.oneof({ weight: 30, arbitrary: fc.constant(" |") }, { weight: 1, arbitrary: fc.constantFrom("|", "\t|", "  |", " | ", " |\t") }),
}).map(({ name, value, spelled, blanks }) => `${spelled(name)}:${blanks.replace("|", value)}\r\n`);
const linesWith = (names: readonly string[]) => fc.array(line(names), { maxLength: 9 }).map((lines) => lines.join(""));

const requestId = "01234567-89ab-4cde-8f01-23456789abcd";
const settingsOf = (changes: object): object => ({
  trustedProxies: undefined, forwardedProto: "keep", forwardedClientCert: "sanitize-set", maxResponseHeaders: 0, traceKey: "", concurrentReadWrite: true,
  stickyCookieNames: ["JSESSIONID"], stickyForNegotiate: true, secureCookies: false, ...changes,
});

describe("a request's lines, cut out and taken apart", () => {
  const exchangeOf = (head: RequestHead, changes: object, settings: object): Exchange => ({
    block: head.block, host: head.host ?? "", currentHeaders: head.rawHeaders, receivedHeaders: head.rawHeaders, peerAddress: "10.0.0.1", secure: false, viaRouteService: false,
    connection: {}, context: { settings: settingsOf(settings) }, ...changes,
  }) as unknown as Exchange;
  const read = (lines: string): RequestHead => createRequestHeadParser().push(Buffer.from(`POST /a HTTP/1.1\r\nHost: a.example:80\r\n${lines}\r\n`, "latin1")) as RequestHead;

  test("say the same, whatever they are", () => {
    let cut = 0;
    const changes = fc.constantFrom({}, { secure: true }, { connection: { clientCertificate: "Y2VydA==" } });
    const settings = fc.constantFrom({}, { forwardedProto: "https" }, { forwardedProto: "replace" }, { forwardedClientCert: "forward" }, { trustedProxies: { check: () => false } }, { trustedProxies: { check: () => true } });
    fc.assert(fc.property(linesWith(requestNames), fc.constantFrom("", "Content-Length: 0\r\n", "Content-Length: 12\r\n", "transfer-encoding: chunked\r\n"), changes, settings, (lines, framing, change, setting) => {
      const head = read(lines + framing);
      if (head.kind !== "request") return;
      const exchange = exchangeOf(head, change, setting);
      const parts = cutRequest(exchange, head.block);
      if (parts === undefined) return;
      cut += 1;
      const { headers, forwarding } = buildRequestHeaders(exchange);
      expect(parts.lines).toEqual(linesOf(headers));
      expect(flatOf(parts.lines)).toEqual(headers);
      expect(parts.forwarding).toEqual(forwarding);
      expect({ referer: parts.referer, userAgent: parts.userAgent }).toEqual(spokenFor(head.rawHeaders));
    }), { numRuns: 5_000 });
    expect(cut).toBeGreaterThan(500);
  });

  test("are cut where they are what clients send, and taken apart where more is to be done", () => {
    const cuts = (lines: string, change = {}): boolean => { const head = read(lines); return cutRequest(exchangeOf(head, change, {}), head.block) !== undefined; };
    for (const usual of ["", "Accept: */*\r\nCookie: a=b\r\nConnection: keep-alive\r\n", "X-Forwarded-For: 1.2.3.4\r\n", "X-Empty: \r\n", "Connection: close\r\nProxy-Authorization: x\r\n"]) expect(cuts(usual), usual).toBe(true);
    for (const other of ["Connection: keep-alive, x-a\r\nX-A: 1\r\n", "TE: trailers\r\n", "X_Forwarded_For: 1\r\n", "X-Forwarded-Client-Cert: x\r\n", "Accept:*/*\r\n", "Accept:  a\r\n", "Accept: a \r\n", "Accept:\ta\r\n", "X:\r\n"]) expect(cuts(other), other).toBe(false);
    expect(cuts("", { viaRouteService: true })).toBe(false);
    expect(cuts("", { peerAddress: "1\r\nX: y" })).toBe(false);
  });
});

describe("an answer's lines, cut out and taken apart", () => {
  const endpoint = { address: "10.0.0.2:80", instanceId: "i-0", backend: {} } as unknown as Endpoint;
  const exchangeOf = (changes: object, settings: object): Exchange => ({
    requestId, method: "GET", httpVersionMajor: 1, httpVersionMinor: 1, stickyInstance: "", context: { settings: settingsOf(settings), draining: false, id: "r" },
    received: () => undefined, ...changes,
  }) as unknown as Exchange;
  const read = (line: string, lines: string, method = "GET"): ResponseHead => {
    const parser = createResponseHeadParser();
    parser.method = method;
    return parser.push(Buffer.from(`${line}\r\n${lines}\r\n`, "latin1")) as ResponseHead;
  };
  const cutOf = (exchange: Exchange, head: ResponseHead, changes = {}, to = endpoint): { status: number; text: string; chunked: boolean } | undefined => {
    let written: { status: number; text: string; chunked: boolean } | undefined;
    const response = { shouldKeepAlive: true, isUntouched: true, writeText: (status: number, text: string, chunked: boolean) => { written = { status, text, chunked }; }, ...changes } as unknown as ClientResponse;
    return beginCut(exchange, to, { head, response }) ? written : undefined;
  };

  test("say the same, whatever they are", () => {
    let cut = 0;
    const methods = fc.constantFrom("GET", "HEAD", "POST");
    const changes = fc.constantFrom({}, { stickyInstance: "i-0" }, { stickyInstance: "gone" });
    fc.assert(fc.property(fc.constantFrom("HTTP/1.1 200 OK", "HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified", "HTTP/1.1 404 ", "HTTP/1.0 500 caf\u00e9"), linesWith(answerNames), fc.constantFrom("", "Content-Length: 0\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"), methods, changes, (line, lines, framing, method, change) => {
      const head = read(line, lines + framing, method);
      if (head.kind !== "response") return;
      const exchange = exchangeOf({ method, ...change }, {});
      const written = cutOf(exchange, head);
      if (written === undefined) return;
      cut += 1;
      const plain = exchangeOf({ method, ...change }, {});
      const { bytes, chunked, keepAlive } = writeAnswerHead(head.status, head.reason, clientHead(plain, endpoint, { status: head.status, reason: head.reason, headers: head.rawHeaders }, false), { http10: false, head: method === "HEAD", keepAlive: true, sendDate: true });
      expect({ ...written, keepAlive: true }).toEqual({ status: head.status, text: bytes.toString("latin1"), chunked, keepAlive });
      expect([exchange.status, exchange.framed]).toEqual([head.status, plain.framed]);
    }), { numRuns: 5_000 });
    expect(cut).toBeGreaterThan(500);
  });

  test("are taken apart where more is to be done", () => {
    const usual = read("HTTP/1.1 200 OK", "Set-Cookie: a=b\r\nContent-Length: 5\r\nConnection: keep-alive\r\n");
    const cuts = (head: ResponseHead, change = {}, settings = {}, response = {}): boolean => cutOf(exchangeOf(change, settings), head, response) !== undefined;
    expect(cuts(usual)).toBe(true);
    for (const other of ["Connection: x-a\r\n", "Trailer: X\r\n", "WWW-Authenticate: Negotiate\r\n", "ETag:1\r\n"]) expect(cuts(read("HTTP/1.1 200 OK", other)), other).toBe(false);
    expect(cuts(read("HTTP/1.1 103 Early Hints", ""))).toBe(false);
    for (const change of [{ rewriteAnswer: (list: string[]) => list }, { closesAfter: true }, { httpVersionMinor: 0 }, { requestId: "a\r\nb" }, { context: { settings: settingsOf({}), draining: true } }, { upload: {}, context: { settings: settingsOf({ concurrentReadWrite: false }), draining: false } }]) expect(cuts(usual, change), JSON.stringify(change)).toBe(false);
    for (const setting of [{ traceKey: "k" }, { maxResponseHeaders: 2 }]) expect(cuts(usual, {}, setting), JSON.stringify(setting)).toBe(false);
    for (const response of [{ shouldKeepAlive: false }, { isUntouched: false }]) expect(cuts(usual, {}, {}, response), JSON.stringify(response)).toBe(false);
    const session = read("HTTP/1.1 200 OK", "Set-Cookie: JSESSIONID=1\r\nContent-Length: 0\r\n");
    expect(cutOf(exchangeOf({}, {}), session)?.text).toContain("Set-Cookie: __VCAP_ID__=i-0; Path=/; HttpOnly\r\n");
    // A registration that brought what no line can carry.
    expect(cutOf(exchangeOf({}, {}), session, {}, { ...endpoint, instanceId: "i\r\nX: y" } as Endpoint)).toBeUndefined();
  });
});

test("what is marked in a head is what stands there, however it came", () => {
  const seenIn = ({ text, marks, begin, end, count, isRegular, seen, namesOptions, length }: HeaderBlock): object => {
    const lines = [];
    for (let at = 0; at < marks.length; at += 5) lines.push([marks[at], text.slice(marks[at + 1], marks[at + 4]), text.slice(marks[at + 2], marks[at + 3])]);
    return { lines, text: text.slice(begin, end), count, isRegular, seen, namesOptions, length };
  };
  fc.assert(fc.property(linesWith(requestNames), fc.array(fc.nat(300), { maxLength: 4 }), (lines, places) => {
    const bytes = Buffer.from(`\r\nGET /a HTTP/1.1\r\nHost: a\r\n${lines}\r\nbehind`, "latin1");
    const whole = createRequestHeadParser().push(bytes) as RequestHead;
    const parser = createRequestHeadParser();
    const cuts = [0, ...places.map((place) => Math.min(place, bytes.length)).sort((one, other) => one - other), bytes.length];
    for (const [at, end] of cuts.slice(1).entries()) {
      const head = parser.push(Buffer.from(bytes.subarray(cuts[at], end)));
      if (head === undefined) continue;
      expect(head.kind).toBe(whole.kind);
      if (head.kind !== "request") return;
      expect(head.block.text.slice(head.block.begin, head.block.end)).toBe(`Host: a\r\n${lines}`);
      expect(seenIn(head.block)).toEqual(seenIn(whole.block));
      expect(head.rawHeaders).toEqual(whole.rawHeaders);
      return;
    }
    expect.unreachable("no head");
  }), { numRuns: 2_000 });
});

test("a reader that has let go of its last head keeps none of its text, and reads on", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const used = (): number => { collect(); return process.memoryUsage().heapUsed; };
  const head = Buffer.from(`GET / HTTP/1.1\r\nHost: a.long.name.example.com\r\nX-Long: ${"y".repeat(50_000)}\r\n\r\n`);
  const parsers = Array.from({ length: 200 }, () => createRequestHeadParser());
  const before = used();
  for (const parser of parsers) expect(parser.push(head)).toMatchObject({ kind: "request" });
  for (const parser of parsers) parser.forget();
  expect(used() - before).toBeLessThan(3_000_000);
  for (const parser of parsers) expect(parser.push(head)).toMatchObject({ host: "a.long.name.example.com" });
});

test("a head that is larger than most is read as any other", () => {
  const long = `X-Long: ${"y".repeat(5_000)}\r\nX_Other: 1\r\nConnection: close\r\n`;
  const head = createRequestHeadParser().push(Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\n${long}\r\n`)) as RequestHead;
  expect([head.rawHeaders.length, head.keepAlive, head.block.end - head.block.begin]).toEqual([8, false, long.length + 9]);
});

test("a step that looks at the headers, or adds one, sees and sends them all", async () => {
  await using app = await httpBackend((request, response) => void response.end(JSON.stringify(request.rawHeaders)));
  const heard: (readonly string[])[] = [];
  const look: Step = (exchange, next) => {
    heard.push(exchange.receivedHeaders);
    if (exchange.target === "/add") exchange.outboundHeaders.push("X-Added", "1");
    return next();
  };
  await using r = await rig({ engine: "native", steps: defaultSteps.flatMap((step) => (step === rewriteHeaders ? [step, look] : [step])) });
  r.serve([{ host: app.host, port: app.port, instanceId: "i-0" }]);
  await using client = await wire(r.port);
  for (const [at, target] of ["/see", "/add"].entries()) {
    client.send(`GET ${target} HTTP/1.1\r\nHost: app.example.com\r\nX-Turn: ${at}\r\nConnection: keep-alive\r\n\r\n`);
    await client.until(new RegExp(`X-Turn","${at}"[^\\]]*\\]`));
  }
  expect(heard.map((headers) => headers.slice(2))).toEqual([["X-Turn", "0", "Connection", "keep-alive"], ["X-Turn", "1", "Connection", "keep-alive"]]);
  expect(client.heard()).toMatch(/"X-Turn","1","X-Forwarded-For","[^"]*","X-Forwarded-Proto","http","X-Request-Start","\d+","X-Vcap-Request-Id","[^"]*","X-Added","1"/);
});
