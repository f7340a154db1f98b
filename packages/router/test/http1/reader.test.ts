import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createBodyReader } from "../../src/http1/body-reader.ts";
import { encodeChunk, encodeLastChunk } from "../../src/http1/chunked-writer.ts";
import { CHUNKED, NO_BODY, UNTIL_CLOSE } from "../../src/http1/head.ts";
import { createRequestHeadParser, createResponseHeadParser } from "../../src/http1/head-parser.ts";
import { refusalCodes, refusalOf } from "../../src/http1/refusal.ts";
import { requestCases, responseCases, type Case } from "./corpus.ts";
import { readByUs } from "./differential/ours.ts";
import type { Side } from "./differential/understood.ts";

describe.each([["request", requestCases], ["response", responseCases]] as const)("of ambiguous messages, a %s with", (side, cases) => {
  test.each(cases.map((one) => [one.name, one] as const))("%s", (_, one) => expectAnswer(side, one));
});

function expectAnswer(side: Side, { bytes, expect: expected }: Case): void {
  const sample = { side, method: "GET", bytes: Buffer.from(bytes, "latin1") };
  const whole = readByUs(sample);
  if (typeof expected === "string") expect(whole.end).toBe(`refused ${expected}`);
  else expect([whole.messages.length, whole.end]).toEqual([expected, "open"]);
  // Octet by octet the answer is the same, and comes no later than the line it is about.
  if (bytes.length < 2_000) expect(readByUs(sample, Array.from({ length: bytes.length }, (_, at) => at))).toEqual(whole);
}

describe("the head of a request", () => {
  test("keeps names, values and their order as they came", () => {
    const parser = createRequestHeadParser();
    const head = parser.push(Buffer.from("PATCH /a%20b?c HTTP/1.1\r\nhOST:  x.example:80 \r\nX-a: 1\r\nX-A:\t2\t\r\nEmpty:\r\nExpect: 100-Continue\r\nContent-Length: 12\r\n\r\nbody", "latin1"));
    expect(head).toMatchObject({
      kind: "request", method: "PATCH", target: "/a%20b?c", version: "1.1", host: "x.example:80", framing: { kind: "length", length: 12 }, keepAlive: true, upgrade: undefined, expectContinue: true,
      rawHeaders: ["hOST", "x.example:80", "X-a", "1", "X-A", "2", "Empty", "", "Expect", "100-Continue", "Content-Length", "12"],
    });
    expect(parser.begun).toBe(false);
  });
  for (const [version, connection, keepAlive] of [["1.1", "", true], ["1.1", "close", false], ["1.1", "x, Close", false], ["1.0", "", false], ["1.0", "Keep-Alive", true], ["1.0", "keep-alive, close", false]] as const) {
    test(`HTTP/${version} with Connection: ${connection || "none"} ${keepAlive ? "goes on" : "ends"}`, () => {
      const head = createRequestHeadParser().push(Buffer.from(`GET / HTTP/${version}\r\nHost: a\r\n${connection === "" ? "" : `Connection: ${connection}\r\n`}\r\n`));
      expect(head).toMatchObject({ kind: "request", keepAlive });
    });
  }
  for (const [connection, upgrade, expected] of [["Upgrade", "websocket", "websocket"], ["keep-alive, upgrade", "x", "x"], ["keep-alive", "websocket", undefined], ["upgrade", "", ""]] as const) {
    test(`Connection: ${connection} and Upgrade: ${upgrade}`, () => {
      expect(createRequestHeadParser().push(Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\nConnection: ${connection}\r\nUpgrade: ${upgrade}\r\n\r\n`))).toMatchObject({ upgrade: expected });
    });
  }
  test("says that it has begun, and only then", () => {
    const parser = createRequestHeadParser();
    expect([parser.begun, parser.push(Buffer.from("GET / HT")), parser.begun]).toEqual([false, undefined, true]);
    expect(parser.push(Buffer.from("TP/1.0\r\n\r\nrest"))).toMatchObject({ kind: "request", host: undefined });
    expect([parser.begun, parser.next]).toEqual([false, 10]);
  });
  test("may be as large as the limit and no larger", () => {
    const head = (bytes: number): Buffer => Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(bytes - 32)}\r\n\r\n`);
    expect(head(100).length).toBe(100);
    for (const cut of [0, 50, 99]) {
      const read = (bytes: Buffer): unknown => {
        const parser = createRequestHeadParser({ maxHeadBytes: 100 });
        return parser.push(bytes.subarray(0, cut)) ?? parser.push(bytes.subarray(cut));
      };
      expect(read(head(100))).toMatchObject({ kind: "request" });
      expect(read(head(101))).toBe(refusalOf("request", "head_too_large"));
    }
  });
});

describe("the body of a response", () => {
  for (const [status, method, lines, framing] of [
    [200, "GET", "Content-Length: 5", { kind: "length", length: 5 }], [200, "GET", "Transfer-Encoding: chunked", CHUNKED], [200, "GET", "", UNTIL_CLOSE],
    [200, "HEAD", "Content-Length: 5", NO_BODY], [204, "GET", "", NO_BODY], [304, "GET", "Content-Length: 5", NO_BODY], [200, "CONNECT", "", NO_BODY], [404, "CONNECT", "Content-Length: 5", { kind: "length", length: 5 }],
    [101, "GET", "Connection: upgrade\r\nUpgrade: x", NO_BODY],
  ] as const) {
    test(`of a ${status} to ${method} with ${JSON.stringify(lines)}: ${framing.kind}`, () => {
      const parser = createResponseHeadParser();
      parser.method = method;
      expect(parser.push(Buffer.from(`HTTP/1.1 ${status} x\r\n${lines === "" ? "" : `${lines}\r\n`}\r\n`))).toMatchObject({ framing });
    });
  }
  test("a 204 that announces a body ends the connection", () => {
    expect(createResponseHeadParser().push(Buffer.from("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n"))).toMatchObject({ framing: NO_BODY, keepAlive: false });
  });
  test("whose connection ends early is truncated, where that can be told", () => {
    for (const [framing, refused] of [[{ kind: "length", length: 5 }, true], [CHUNKED, true], [UNTIL_CLOSE, false], [NO_BODY, false]] as const) {
      expect(createBodyReader(framing, "response").finish() !== undefined).toBe(refused);
    }
  });
});

test("every reason has a status, a sentence and a rule", () => {
  for (const code of refusalCodes) expect(refusalOf("request", code)).toMatchObject({ status: expect.toSatisfy((status: number) => status >= 400 && status < 600) as number, rule: expect.stringMatching(/^RFC \d+ section \d/) as string });
  expect(new Set(refusalCodes.map((code) => refusalOf("request", code).sentence)).size).toBe(refusalCodes.length);
  for (const code of refusalCodes) expect(refusalOf("response", code).status).toBe(502);
});

test("every reason of the table is given to somebody", () => {
  const given = new Set([...requestCases, ...responseCases].map(({ expect: expected }) => expected));
  // The end of a connection is no message.
  expect(refusalCodes.filter((code) => !given.has(code))).toEqual(["truncated"]);
});

describe("what is written is read again", () => {
  const slices = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 });
  const name = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/).filter((text) => !/^(content-length|transfer-encoding|host|connection|upgrade|trailer|te)$/i.test(text));
  const value = fc.stringMatching(/^([\x21-\x7e\x80-\xff]{1,3}([ \t]{0,2}[\x21-\x7e\x80-\xff]{1,3}){0,2})?$/);
  const cuts = fc.array(fc.nat({ max: 600 }), { maxLength: 6 });

  test("chunks and trailers, however they are cut", () => {
    fc.assert(fc.property(slices, fc.array(fc.tuple(name, value), { maxLength: 4 }), cuts, (parts, trailers, places) => {
      const wire = Buffer.concat([...parts.flatMap((part) => encodeChunk(Buffer.from(part))), encodeLastChunk(trailers.flat()), Buffer.from("next")]);
      const reader = createBodyReader(CHUNKED, "response");
      const read: Buffer[] = [];
      let rest = "";
      for (const piece of cut(wire, places)) {
        const next = reader.done ? 0 : reader.push(piece, 0, (slice) => read.push(Buffer.from(slice)));
        expect(typeof next).toBe("number");
        rest += piece.toString("latin1", next as number);
      }
      expect([Buffer.concat(read).toString("latin1"), reader.trailers, rest, reader.done]).toEqual([Buffer.concat(parts).toString("latin1"), trailers.flat(), "next", true]);
    }));
  });

  test("heads, however they are cut", () => {
    fc.assert(fc.property(fc.array(fc.tuple(name.filter((text) => !/^(expect)$/i.test(text)), value), { maxLength: 6 }), cuts, (headers, places) => {
      const wire = Buffer.from(`GET /x HTTP/1.1\r\nHost: a\r\n${headers.map(([one, other]) => `${one}: ${other}\r\n`).join("")}\r\nrest`, "latin1");
      const parser = createRequestHeadParser();
      let seen = 0;
      for (const piece of cut(wire, places)) {
        const head = parser.push(piece);
        seen += piece.length;
        if (head === undefined) continue;
        expect(head).toMatchObject({ kind: "request", rawHeaders: ["Host", "a", ...headers.flat()] });
        expect(wire.subarray(seen - piece.length + parser.next).toString().startsWith("rest") || parser.next === piece.length).toBe(true);
        return;
      }
      expect.unreachable("no head");
    }));
  });
});

test("nothing is written that would be read as something else", () => {
  for (const trailers of [["a b", "c"], ["", "c"], ["a", "b\r\nc: d"], ["a", "b\0"], ["a", "\u20ac"]]) expect(() => encodeLastChunk(trailers)).toThrow(expect.objectContaining({ code: "ROUTER_BAD_OPTION" }));
  expect(encodeChunk(Buffer.alloc(0))).toEqual([]);
});

const cut = (wire: Buffer, places: readonly number[]): Buffer[] => {
  const sorted = [0, ...places.map((place) => Math.min(place, wire.length)).sort((one, other) => one - other), wire.length];
  return sorted.slice(1).map((end, at) => wire.subarray(sorted[at], end));
};
