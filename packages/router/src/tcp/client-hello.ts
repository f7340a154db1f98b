/** What the first bytes of a connection say: a name (empty: none), or that more of them are needed. */
export type ServerName = { readonly name: string } | "more";

/** A ClientHello may be in several records; one that is longer than this is nobody's. */
export const maxHelloBytes = 32_768;

const handshakeRecord = 22;
const clientHello = 1;
const serverNameExtension = 0;

/**
 * The name in a TLS ClientHello (RFC 8446, 4.1.2; RFC 6066, 3), without answering it. Whatever is no ClientHello has none.
 */
export function serverNameOf(bytes: Buffer): ServerName {
  const hello = helloOf(bytes);
  if (hello === "more") return bytes.length >= maxHelloBytes ? { name: "" } : "more";
  return { name: hello === undefined ? "" : nameIn(hello) };
}

/** The handshake message, put together from its records. */
function helloOf(bytes: Buffer): Buffer | "more" | undefined {
  const parts: Buffer[] = [];
  let held = 0;
  for (let at = 0; ;) {
    if (at < bytes.length && bytes[at] !== handshakeRecord) return undefined;
    if (bytes.length < at + 5) return "more";
    if (bytes[at + 1] !== 3) return undefined;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > 16_384 + 256) return undefined;
    const part = bytes.subarray(at + 5, at + 5 + length);
    parts.push(part);
    held += part.length;
    if (held >= 4) {
      const message = parts.length === 1 ? parts[0] as Buffer : Buffer.concat(parts);
      if (message[0] !== clientHello) return undefined;
      const whole = 4 + message.readUIntBE(1, 3);
      if (whole > maxHelloBytes) return undefined;
      if (message.length >= whole) return message.subarray(4, whole);
    }
    if (part.length < length) return "more";
    at += 5 + length;
  }
}

/** @returns the name in lower case; empty when there is none, or when the message contradicts itself */
function nameIn(hello: Buffer): string {
  try {
    let at = 2 + 32;
    at += 1 + hello.readUInt8(at);
    at += 2 + hello.readUInt16BE(at);
    at += 1 + hello.readUInt8(at);
    const end = at + 2 + hello.readUInt16BE(at);
    if (end > hello.length) return "";
    for (at += 2; at + 4 <= end;) {
      const type = hello.readUInt16BE(at);
      const length = hello.readUInt16BE(at + 2);
      if (type === serverNameExtension) {
        const name = hello.subarray(at + 9, at + 9 + hello.readUInt16BE(at + 7));
        return hello.readUInt8(at + 6) === 0 && at + 9 + name.length <= at + 4 + length ? name.toString("latin1").toLowerCase().replace(/\.$/, "") : "";
      }
      at += 4 + length;
    }
  } catch {
    // Shorter than it says.
  }
  return "";
}
