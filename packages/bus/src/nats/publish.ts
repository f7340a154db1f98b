import type { MsgHdrs, NatsConnection, PublishOptions } from "nats";
import { BusError } from "../errors.ts";
import { type HeadersInit, normalizeHeaders } from "../headers.ts";
import { assertSubject } from "../subject.ts";
import type { PacketOptions } from "../transport.ts";
import { codeOf } from "./errors.ts";

/** Subjects that have been found good; forgotten when there are too many. */
const remembered = 1_024;

/** Checks and writes packets. The writer throws what `Transport.publish` does. */
export function createWriter(outlet: () => NatsConnection, limit: () => number): { check(subject: string, data: unknown, options: PacketOptions): Checked; write(packet: Checked): void } {
  const good = new Set<string>();
  return {
    check(subject, data, { reply, headers }) {
      if (!good.has(subject)) {
        assertSubject(subject);
        if (good.size >= remembered) good.clear();
        good.add(subject);
      }
      if (reply !== undefined) assertSubject(reply);
      const block = headers && encodeHeaders(headers);
      const size = (block?.length ?? 0) + sizeOf(data, limit());
      if (size > limit()) throw new BusError("BUS_PAYLOAD_TOO_LARGE", `${subject}: ${size} bytes are more than the bus carries (${limit()})`);
      // The client keeps what it is given until the end of the turn; the caller may write into it before. Its own way from text to bytes takes twice as long.
      return { subject, data: typeof data === "string" ? Buffer.from(data) : new Uint8Array(data as Uint8Array), reply, block };
    },
    write({ subject, data, reply, block }) {
      const options: PublishOptions = {};
      if (reply !== undefined) options.reply = reply;
      // The client only asks for the bytes.
      if (block) options.headers = { encode: () => block } as unknown as MsgHdrs;
      try {
        outlet().publish(subject, data, options);
      } catch (error) {
        if (codeOf(error) === "CONNECTION_CLOSED" || codeOf(error) === "CONNECTION_DRAINING") throw new BusError("BUS_CLOSED", "this connection to the bus is closed", { cause: error });
        throw error;
      }
    },
  };
}

interface Checked {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly reply: string | undefined;
  readonly block: Uint8Array | undefined;
}

/** Bytes of a payload; a text is measured only where it might be too long. */
function sizeOf(data: unknown, limit: number): number {
  if (typeof data === "string") return data.length * 3 <= limit - 65_536 ? data.length : Buffer.byteLength(data);
  if (data instanceof Uint8Array) return data.length;
  throw new BusError("BUS_INVALID_PAYLOAD", `a payload is text or bytes, not ${data === null ? "null" : typeof data}`);
}

/** The block of NATS headers (ADR-4), or undefined where there is none. */
function encodeHeaders(given: HeadersInit): Uint8Array | undefined {
  const headers = normalizeHeaders(given);
  let text = "";
  for (const key of Object.keys(headers)) for (const value of headers[key] as readonly string[]) text += `${key}: ${value}\r\n`;
  return text === "" ? undefined : Buffer.from(`NATS/1.0\r\n${text}\r\n`);
}
