// As much of WebSocket (RFC 6455) as idle connections need: a handshake and one short text frame each way.
import { createHash } from "node:crypto";
import { host } from "./messages.mjs";

const key = "dGhlIHNhbXBsZSBub25jZQ==";
const accepted = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");

export const upgradeRequest = Buffer.from(`GET /socket HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`);
export const upgradeAnswer = Buffer.from(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accepted}\r\n\r\n`);
/** "hello", masked with zeros as a client must mask, and as a server says it. */
export const clientFrame = Buffer.from([0x81, 0x85, 0, 0, 0, 0, ...Buffer.from("hello")]);
export const serverFrame = Buffer.from([0x81, 0x05, ...Buffer.from("hello")]);
