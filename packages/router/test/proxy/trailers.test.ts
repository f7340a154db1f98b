import type { IncomingHttpHeaders } from "node:http";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { announcedTrailers, passedTrailers } from "../../src/proxy/trailers.ts";
import { httpBackend, type HttpBackend } from "../fixtures/backend.ts";
import { eventually, wire } from "../fixtures/client.ts";
import { http2Backend, session } from "../fixtures/http2.ts";
import { engineUnderTest } from "../fixtures/engine.ts";
import { rig } from "../fixtures/rig.ts";

/** An app that tells the body and what came behind it. */
const telling = (): Promise<HttpBackend> => httpBackend((request, response) => {
  const parts: Buffer[] = [];
  request.on("data", (part: Buffer) => parts.push(part));
  request.on("end", () => response.end(JSON.stringify({ body: Buffer.concat(parts).toString(), announced: request.headers.trailer ?? "", trailers: request.rawTrailers })));
});
const post = (trailer: string, lines: readonly string[]): string =>
  `POST / HTTP/1.1\r\nHost: app.example.com\r\n${trailer === "" ? "" : `Trailer: ${trailer}\r\n`}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
const told = (heard: string): unknown => JSON.parse(/\{.*\}/.exec(heard)?.[0] ?? "null");
/** undici sends none by itself: those that are announced go another way. */
const announcedOnly = (): boolean => engineUnderTest.option.engine === "undici";

describe("trailers of requests (RFC 9110, 6.5)", () => {
  test("are passed on to the app, in their order, and the connection serves on", async () => {
    await using app = await telling();
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port);
    for (const sum of ["1", "2"]) {
      client.send(post("X-Sum, X-Other", [`X-Sum: ${sum}`, "X-Other: a", "X-Other: b"]));
      const heard = await client.until(`X-Sum\\",\\"${sum}`.replaceAll("\\", ""));
      expect(told(heard.slice(heard.lastIndexOf("HTTP/1.1 200")))).toEqual({ body: "hello", announced: "X-Sum, X-Other", trailers: ["X-Sum", sum, "X-Other", "a", "X-Other", "b"] });
    }
  });

  test("unannounced ones, too, where the engine can", async () => {
    await using app = await telling();
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, post("", ["X-Sum: 1"]));
    expect(told(await client.until("}"))).toEqual({ body: "hello", announced: "", trailers: announcedOnly() ? [] : ["X-Sum", "1"] });
  });

  test("behind a body that was asked for", async () => {
    await using app = await telling();
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, "POST / HTTP/1.1\r\nHost: app.example.com\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    await client.until("HTTP/1.1 100 Continue\r\n\r\n");
    client.send("5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n");
    expect(told(await client.until("}"))).toEqual({ body: "hello", announced: "X-Sum", trailers: ["X-Sum", "1"] });
  });

  test("to an endpoint that speaks HTTP/2, and from a client that does", async () => {
    let behind: IncomingHttpHeaders = {};
    await using second = await http2Backend((stream) => {
      stream.on("trailers", (given) => { behind = given; });
      stream.resume().on("end", () => { stream.respond({ ":status": 200 }); stream.end("{}"); });
    });
    await using app = await telling();
    await using r = await rig();
    r.serve([app]);
    r.router.table.register("two.example.com", { host: second.host, port: second.port, protocol: "http2" });
    await using old = await wire(r.port, post("X-Sum", ["X-Sum: 1", "Authorization: no"]).replace("app.", "two."));
    await old.until("{}");
    expect(JSON.parse(JSON.stringify(behind))).toEqual({ "x-sum": "1" });

    await using client = await session(r.port);
    const ask = (authority: string): Promise<string> => new Promise((resolve, reject) => {
      const stream = client.request({ ":method": "POST", ":path": "/", ":authority": authority, trailer: "x-sum" }, { waitForTrailers: true });
      stream.once("wantTrailers", () => stream.sendTrailers({ "x-sum": "2" }));
      let text = "";
      stream.on("data", (part: Buffer) => { text += part.toString(); });
      stream.on("end", () => resolve(text));
      stream.on("error", reject);
      stream.end("hello");
    });
    expect(JSON.parse(await ask("app.example.com"))).toEqual({ body: "hello", announced: "x-sum", trailers: ["x-sum", "2"] });
    await ask("two.example.com");
    expect(JSON.parse(JSON.stringify(behind))).toEqual({ "x-sum": "2" });
  });

  test("a request of HTTP/2 without any ends as before", async () => {
    await using second = await http2Backend((stream) => stream.pipe(stream));
    await using r = await rig();
    r.router.table.register("two.example.com", { host: second.host, port: second.port, protocol: "http2" });
    await using old = await wire(r.port, post("", []).replace("app.", "two."));
    await old.until("5\r\nhello\r\n0\r\n\r\n");
  });

  test("those that an app would take for a header of the request do not pass; what would frame or route it is refused", async () => {
    await using app = await telling();
    await using r = await rig();
    r.serve([app]);
    const spoofed = ["Authorization: Bearer x", "Cookie: a=b", "X-Forwarded-For: 1.2.3.4", "X_Forwarded_Proto: https", "X-CF-InstanceID: 7", "X-Vcap-Request-Id: 1", "If-Match: *", "Content-Type: text/html", "X-Good: 1"];
    await using client = await wire(r.port, post("X-Good, Authorization, x_cf_app", spoofed));
    expect(told(await client.until("}"))).toEqual({ body: "hello", announced: "X-Good", trailers: ["X-Good", "1"] });
    for (const line of ["Content-Length: 5", "Transfer-Encoding: chunked", "Host: other.example.com"]) {
      await using smuggler = await wire(r.port, post("X-Good", [line, "X-Good: 1"]));
      const heard = await smuggler.until(/HTTP\/1\.1 \d+ [^]*\r\n\r\n/);
      if (heard.startsWith("HTTP/1.1 200")) expect(told(await smuggler.until("}"))).toMatchObject({ trailers: ["X-Good", "1"] });
      else expect(heard).toMatch(/^HTTP\/1\.1 (400|499) /);
    }
  });

  test("more than 16 KiB of them, or 100 of them, do not pass", async () => {
    await using app = await telling();
    await using r = await rig({ maxRequestHeaderBytes: 1_048_576 });
    r.serve([app]);
    for (const lines of [[`X-Sum: ${"a".repeat(20_000)}`], Array.from({ length: 101 }, (_, at) => `X-${at}: 1`)]) {
      await using client = await wire(r.port, post("X-Sum", lines));
      const heard = await client.until(/HTTP\/1\.1 [^]*\r\n\r\n/);
      if (heard.startsWith("HTTP/1.1 200")) expect(told(await client.until("}"))).toMatchObject({ trailers: [] });
      else expect(heard).toMatch(/^HTTP\/1\.1 4/);
    }
  });

  test("a body with a length has none, whatever is announced", async () => {
    await using app = await telling();
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port, "POST / HTTP/1.1\r\nHost: app.example.com\r\nTrailer: X-Sum\r\nContent-Length: 5\r\n\r\nhello");
    expect(told(await client.until("}"))).toEqual({ body: "hello", announced: "", trailers: [] });
    await eventually(() => r.records.length === 1);
  });

  test("whatever comes, what passes are lines of their own and names that are allowed", () => {
    const name = fc.oneof(fc.constantFrom("Host", "content_length", "X-Cf-App", "TE", "X-Sum", "x-vcap-a", "grpc-status", ":status", "a b"), fc.string());
    fc.assert(fc.property(fc.array(fc.tuple(name, fc.oneof(fc.string(), fc.constantFrom("a\r\nHost: b", "ok")))), (pairs) => {
      const passed = passedTrailers(pairs.flat());
      expect(passed.length).toBeLessThanOrEqual(pairs.length * 2);
      for (let at = 0; at < passed.length; at += 2) {
        expect(passed[at]).toMatch(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/);
        expect((passed[at] as string).replaceAll("_", "-")).not.toMatch(/^(host|te|content-length|trailer|cookie|authorization|x-cf-.*|x-vcap-.*|x-forwarded-.*)$/i);
        expect(passed[at + 1]).not.toMatch(/[\r\n\0]/);
        expect(announcedTrailers(passed[at] as string)).toBe(passed[at]);
      }
    }));
  });
});
