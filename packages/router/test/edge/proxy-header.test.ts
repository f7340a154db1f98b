import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { crc32c } from "../../src/edge/crc32c.ts";
import { readProxyHeader } from "../../src/edge/proxy-header.ts";

const signature = Buffer.from("0d0a0d0a000d0a515549540a", "hex");

/** A version 2 header. */
function binaryHeader({ command = 1, family = 0x11, version = 2, body = Buffer.alloc(0) }: { command?: number; family?: number; version?: number; body?: Buffer }): Buffer {
  const fixed = Buffer.from([version << 4 | command, family, body.length >> 8, body.length & 255]);
  return Buffer.concat([signature, fixed, body]);
}

const ipv4 = (from: string, port: number): Buffer => {
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(port, 0);
  ports.writeUInt16BE(443, 2);
  return Buffer.concat([Buffer.from(from.split(".").map(Number)), Buffer.from([10, 0, 0, 1]), ports]);
};
const extension = (type: number, value: Buffer): Buffer => Buffer.concat([Buffer.from([type, value.length >> 8, value.length & 255]), value]);

describe("the PROXY header", () => {
  for (const [line, source] of [
    ["PROXY TCP4 192.0.2.1 198.51.100.1 51234 443", { address: "192.0.2.1", port: 51_234 }],
    ["PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535", { address: "255.255.255.255", port: 65_535 }],
    ["PROXY TCP6 2001:db8::1 2001:db8::2 51234 443", { address: "2001:db8::1", port: 51_234 }],
    ["PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2", { address: "192.0.2.1", port: 1 }],
    ["PROXY UNKNOWN", undefined],
    ["PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535", undefined],
  ] as const) {
    test(`version 1: ${line}`, () => {
      const bytes = Buffer.from(`${line}\r\nGET / HTTP/1.1\r\n`);
      expect(readProxyHeader(bytes)).toEqual({ state: "whole", bytes: line.length + 2, source });
    });
  }

  for (const line of [
    "PROXY TCP4 192.0.2.1 198.51.100.1 51234", "PROXY TCP4 192.0.2.1 198.51.100.1 51234 443 1", "PROXY TCP4 192.0.2.256 198.51.100.1 1 2", "PROXY TCP4 ::1 ::1 1 2",
    "PROXY TCP6 192.0.2.1 192.0.2.2 1 2", "PROXY TCP6 fe80::1%eth0 ::1 1 2", "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443", "PROXY TCP4 192.0.2.1 198.51.100.1 01 443",
    "PROXY TCP4 192.0.2.1 198.51.100.1 -1 443", "PROXY TCP4  192.0.2.1 198.51.100.1 1 2", "PROXY UDP4 192.0.2.1 198.51.100.1 1 2", "PROXY ", `PROXY UNKNOWN ${"x".repeat(100)}`,
  ]) {
    test(`version 1 refuses ${line}`, () => expect(readProxyHeader(Buffer.from(`${line}\r\n`)).state).toBe("bad"));
  }

  test("version 2: IPv4, IPv6, UNIX, and what the balancer says of itself", () => {
    const v6 = Buffer.concat([Buffer.from("20010db8000000000000000000000001".repeat(2), "hex"), Buffer.from([0xc8, 0x22, 1, 0xbb])]);
    for (const [header, source] of [
      [binaryHeader({ body: ipv4("192.0.2.1", 51_234) }), { address: "192.0.2.1", port: 51_234 }],
      [binaryHeader({ family: 0x21, body: v6 }), { address: "2001:db8::1", port: 51_234 }],
      [binaryHeader({ family: 0x31, body: Buffer.alloc(216) }), undefined],
      [binaryHeader({ family: 0, body: Buffer.alloc(0) }), undefined],
      [binaryHeader({ command: 0, family: 0, body: Buffer.alloc(7) }), undefined],
    ] as const) expect(readProxyHeader(Buffer.concat([header, Buffer.from("rest")]))).toEqual({ state: "whole", bytes: header.length, source });
  });

  test("version 2: extensions are passed over, and their checksum counts", () => {
    const address = ipv4("192.0.2.1", 1);
    const plain = binaryHeader({ body: Buffer.concat([address, extension(0x02, Buffer.from("example.com")), extension(0x03, Buffer.alloc(4))]) });
    const at = plain.length - 4;
    plain.writeUInt32BE(crc32c(plain), at);
    expect(readProxyHeader(plain)).toMatchObject({ state: "whole", bytes: plain.length });
    plain.writeUInt32BE((plain.readUInt32BE(at) ^ 1) >>> 0, at);
    expect(readProxyHeader(plain)).toEqual({ state: "bad", reason: "wrong checksum" });
    // RFC 3720, B.4
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
    expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43);
  });

  for (const [what, header] of [
    ["another version", binaryHeader({ version: 1, body: ipv4("192.0.2.1", 1) })], ["another command", binaryHeader({ command: 2, body: ipv4("192.0.2.1", 1) })],
    ["datagrams", binaryHeader({ family: 0x12, body: ipv4("192.0.2.1", 1) })], ["too few bytes for its addresses", binaryHeader({ family: 0x21, body: ipv4("192.0.2.1", 1) })],
    ["an extension that ends early", binaryHeader({ body: Buffer.concat([ipv4("192.0.2.1", 1), Buffer.from([2, 0, 9, 1])]) })], ["a header without end", Buffer.concat([signature, Buffer.from([0x21, 0x11, 0xff, 0xff])])],
  ] as const) test(`version 2 refuses ${what}`, () => expect(readProxyHeader(header).state).toBe("bad"));

  test("nothing is decided before it can be, and never by chance: any header in any pieces, followed by anything", () => {
    const octet = fc.integer({ min: 0, max: 255 });
    const address = fc.tuple(octet, octet, octet, octet).map((parts) => parts.join("."));
    const port = fc.integer({ min: 0, max: 65_535 });
    fc.assert(fc.property(address, port, fc.boolean(), fc.uint8Array({ maxLength: 40 }), (from, number, binary, rest) => {
      const header = binary ? binaryHeader({ body: ipv4(from, number) }) : Buffer.from(`PROXY TCP4 ${from} 10.0.0.1 ${number} 80\r\n`);
      for (let at = 0; at < header.length; at += 1) expect(readProxyHeader(header.subarray(0, at)).state).toBe("partial");
      expect(readProxyHeader(Buffer.concat([header, rest]))).toEqual({ state: "whole", bytes: header.length, source: { address: from, port: number } });
    }));
    fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (bytes) => {
      expect(["absent", "bad", "partial", "whole"]).toContain(readProxyHeader(Buffer.from(bytes)).state);
    }));
    for (const start of ["GET / HTTP/1.1", "POST /", "PUT /", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PROXYX", "\x16\x03\x01", "\r\n\r\nGET"]) expect(readProxyHeader(Buffer.from(start, "latin1")).state).toBe("absent");
  });
});
