import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { translateHead } from "../../src/http2/head.ts";
import { echo, httpBackend, misbehaving } from "../fixtures/backend.ts";
import { wire } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";

/** One frame (RFC 9113, 4.1). */
const frame = (type: number, flags: number, stream: number, payload: Buffer): Buffer =>
  Buffer.concat([Buffer.from([payload.length >> 16, payload.length >> 8 & 255, payload.length & 255, type, flags, 0, 0, 0, stream]), payload]);
/** Fields in the plainest form HPACK has, so that anything can be said. */
const block = (fields: readonly (readonly [string, string])[]): Buffer =>
  Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0, name.length]), Buffer.from(name, "latin1"), Buffer.from([value.length]), Buffer.from(value, "latin1")]));
const preface = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0, Buffer.alloc(0))]);
const [HEADERS, DATA, RST, PING, GOAWAY] = [1, 0, 3, 6, 7];

interface Heard { readonly type: number; readonly flags: number; readonly stream: number; readonly payload: Buffer }

function framesIn(heard: string): Heard[] {
  const bytes = Buffer.from(heard, "latin1");
  const out: Heard[] = [];
  for (let at = 0; at + 9 <= bytes.length;) {
    const length = bytes.readUIntBE(at, 3);
    if (at + 9 + length > bytes.length) break;
    out.push({ type: bytes[at + 3] as number, flags: bytes[at + 4] as number, stream: bytes.readUInt32BE(at + 5), payload: bytes.subarray(at + 9, at + 9 + length) });
    at += 9 + length;
  }
  return out;
}

const good: readonly (readonly [string, string])[] = [[":method", "GET"], [":scheme", "http"], [":path", "/"], [":authority", "app.example.com"]];
const replaced = (name: string, value: string) => good.map((field) => (field[0] === name ? [name, value] as const : field));
const without = (name: string) => good.filter((field) => field[0] !== name);

describe("what an HTTP/2 request must not become in HTTP/1.1", () => {
  for (const [what, fields, body = ""] of [
    ["an upper-case name", [...good, ["X-A", "1"]]], ["transfer-encoding", [...good, ["transfer-encoding", "chunked"]], "0\r\n\r\n"], ["connection", [...good, ["connection", "x-forwarded-for"]]],
    ["upgrade", [...good, ["upgrade", "websocket"]]], ["te other than trailers", [...good, ["te", "gzip"]]], ["two lengths", [...good, ["content-length", "1"], ["content-length", "2"]], "a"],
    ["a length that is too short", [...good, ["content-length", "1"]], "GET /admin"], ["a length that is too long", [...good, ["content-length", "100"]], "a"], ["a length that is no number", [...good, ["content-length", "+1"]], "a"],
    ["a space in the target", replaced(":path", "/ HTTP/1.1\tx")], ["a line break in the target", replaced(":path", "/ HTTP/1.1\r\nHost: evil")], ["an absolute target", replaced(":path", "http://evil/")], ["a target without a slash", replaced(":path", "evil")], ["no target", without(":path")], ["an empty target", replaced(":path", "")],
    ["a space in the method", replaced(":method", "GET /admin HTTP/1.1\r\nx: ")], ["no method", without(":method")], ["a space in the authority", replaced(":authority", "app.example.com evil")], ["a line break in the authority", replaced(":authority", "app.example.com\r\nx: 1")],
    ["another host beside the authority", [...good, ["host", "other.example.com"]]], ["two hosts", [...without(":authority"), ["host", "app.example.com"], ["host", "app.example.com"]]],
    ["a pseudo-header twice", [...good, [":path", "/admin"]]], ["a pseudo-header after the others", [...without(":path"), ["x-a", "1"], [":path", "/"]]], ["an unknown pseudo-header", [[":evil", "1"], ...good]], ["one of an answer", [[":status", "200"], ...good]],
    ["a protocol without CONNECT", [...good, [":protocol", "websocket"]]], ["CONNECT with a path", [[":method", "CONNECT"], [":authority", "app.example.com:443"], [":path", "/"]]],
  ] as unknown as [string, [string, string][], string?][]) {
    test(`${what}: the stream is refused, and no app sees it`, async () => {
      await using app = await httpBackend(echo);
      await using r = await rig();
      r.serve([app]);
      await using client = await wire(r.port);
      client.send(Buffer.concat([preface, frame(HEADERS, body === "" ? 5 : 4, 1, block(fields)), ...(body === "" ? [] : [frame(DATA, 1, 1, Buffer.from(body))]), frame(PING, 0, 0, Buffer.alloc(8))]));
      await client.until(/\x06\x01\0\0\0\0\0{8}|\x07\0\0\0\0\0/s);
      // What is refused may be told by a reset or by 400; the app, in any case, is asked nothing whole.
      await client.until(/\0\0\x04\x03\0\0\0\0\x01|\x07\0\0\0\0\0|\x00\x00.{0,1}\x01[\x04\x05]\0\0\0\x01/s);
      const frames = framesIn(client.heard());
      const answered = frames.find(({ type, stream }) => type === HEADERS && stream === 1);
      // 0x8c is the static table's `:status: 400`.
      expect(frames.some(({ type }) => type === GOAWAY || type === RST) || answered?.payload[0] === 0x8c).toBe(true);
      if (answered !== undefined) expect(answered.payload[0]).toBe(0x8c);
      expect(app.requests.filter(({ complete }) => complete)).toEqual([]);
    });
  }

  for (const [what, field] of [
    ["a line break in a value", ["x-a", "1\r\nx-forwarded-for: 6.6.6.6"]], ["a bare line feed in a value", ["x-a", "1\nx-b: 2"]], ["a NUL in a value", ["x-a", "1\0"]],
    ["a line break in a name", ["x-a\r\nx-b", "1"]], ["a colon in a name", ["x-a:b", "1"]], ["a space in a name", ["x a", "1"]], ["an empty name", ["", "1"]],
  ] as [string, [string, string]][]) {
    test(`${what}: the field reaches nobody`, async () => {
      await using app = await httpBackend(echo);
      await using r = await rig();
      r.serve([app]);
      await using client = await wire(r.port);
      client.send(Buffer.concat([preface, frame(HEADERS, 5, 1, block([...good, field, ["x-last", "1"]]))]));
      await client.until('"body":""');
      const names = app.requests[0]?.rawHeaders.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase()).filter((name) => name !== "connection");
      expect(names?.sort()).toEqual(["host", "x-cf-instanceid", "x-forwarded-for", "x-forwarded-proto", "x-last", "x-request-start", "x-vcap-request-id"]);
      expect(app.requests[0]?.headers["x-forwarded-for"]).toBe("127.0.0.1");
    });
  }

  test("the connection serves on after a stream that was refused", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port);
    client.send(Buffer.concat([preface, frame(HEADERS, 5, 1, block([...good, ["connection", "close"]])), frame(HEADERS, 5, 3, block(good))]));
    await client.until('"method":"GET"');
    expect(app.requests.length).toBe(1);
  });

  test("13.84: an answer that is cut short ends with a reset, and nothing says before that it was whole", async () => {
    await using app = await misbehaving.truncates();
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port);
    client.send(Buffer.concat([preface, frame(HEADERS, 5, 1, block(good))]));
    await client.until("\0\0\x04\x03\0\0\0\0\x01\0\0\0\x02");
    const frames = framesIn(client.heard()).filter(({ stream }) => stream === 1);
    expect(frames.map(({ type, flags }) => [type, flags & 1])).toEqual([[HEADERS, 0], [DATA, 0], [RST, 0]]);
  });

  test("trailers of a request do not become headers", async () => {
    await using app = await httpBackend(echo);
    await using r = await rig();
    r.serve([app]);
    await using client = await wire(r.port);
    client.send(Buffer.concat([preface, frame(HEADERS, 4, 1, block(replaced(":method", "POST"))), frame(DATA, 0, 1, Buffer.from("body")), frame(HEADERS, 5, 1, block([["x-forwarded-for", "6.6.6.6"], ["host", "evil"]]))]));
    await client.until('"body":"body"');
    expect([app.requests[0]?.headers.host, app.requests[0]?.headers["x-forwarded-for"]]).toEqual(["app.example.com", "127.0.0.1"]);
  });

  test("whatever a head says, what is made of it is one head of HTTP/1.1 with the same fields", () => {
    const text = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 12 });
    const word = fc.constantFrom(":method", ":path", ":authority", ":scheme", ":protocol", "host", "cookie", "expect", "content-length", "te", "x-a", "x_b", "connection", "transfer-encoding", "a b", "A\r\n");
    const value = fc.oneof(fc.constantFrom("GET", "CONNECT", "/", "/a?b", "*", "app.example.com", "websocket", "1", "a=1"), text);
    fc.assert(fc.property(fc.array(fc.tuple(fc.oneof(word, text), value), { maxLength: 12 }), fc.boolean(), (fields, hasBody) => {
      const head = translateHead(fields.flat(), hasBody);
      if (typeof head === "string") return;
      const lines = `${head.method} ${head.target} HTTP/1.1\r\n${head.rawHeaders.map((part, at) => (at % 2 === 0 ? `${part}: ` : `${part}\r\n`)).join("")}`.split("\r\n");
      expect(lines.length).toBe(2 + head.rawHeaders.length / 2);
      expect(lines[0]?.split(" ").length).toBe(3);
      expect(head.rawHeaders.filter((name, at) => at % 2 === 0 && name === "host").length).toBeLessThanOrEqual(1);
      for (let at = 0; at < head.rawHeaders.length; at += 2) expect(head.rawHeaders[at]).toMatch(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/);
    }), { numRuns: 5_000 });
  });
});
