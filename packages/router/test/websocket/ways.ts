import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer as createTcpServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import type { RouterOptions } from "../../src/index.ts";
import { authority, type Certificate } from "../fixtures/certificates.ts";
import { eventually, wire } from "../fixtures/client.ts";
import { session } from "../fixtures/http2.ts";
import { rig, type Rig } from "../fixtures/rig.ts";

const own = authority();

/** One end of an open tunnel, with what it has heard behind the handshake. */
export interface End {
  readonly socket: Duplex;
  /** The handshake as this end got it: names in lower case; `:status` of an answer, `:target` of a request. */
  readonly head: Readonly<Record<string, string>>;
  heard(): Buffer;
  /** Bytes heard; cheaper than `heard`. */
  count(): number;
  /** Whether the other side has ended in good order, how the connection broke, whether it is gone. */
  readonly state: { ended: boolean; failed: string | undefined; closed: boolean };
}

export interface App extends AsyncDisposable {
  readonly port: number;
  readonly secure: boolean;
  /** The tunnels opened so far. */
  readonly tunnels: readonly End[];
}

export interface AppOptions {
  readonly secure?: boolean;
  /** Besides what is owed. */
  readonly headers?: (asked: End["head"]) => string;
  /** Sent in the same breath as the answer. */
  readonly behind?: Buffer;
}

const key = "dGhlIHNhbXBsZSBub25jZQ==";
/** What an app says to the key that clients send here (RFC 6455, 1.3). */
export const accepted = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/** What an app with TLS shows. */
export const secureAppOptions = (): Certificate => own?.sign("app.internal") as Certificate;
const accept = (given: string): string => createHash("sha1").update(`${given}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");

/** An app that agrees to every upgrade and then leaves it to the test. */
export async function app({ secure = false, headers = () => "", behind = Buffer.alloc(0) }: AppOptions = {}): Promise<App> {
  const tunnels: End[] = [];
  const sockets = new Set<Socket>();
  const serve = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.setNoDelay(true);
    atHead(socket, (head, rest) => {
      const lines = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${head["upgrade"] ?? ""}\r\nSec-WebSocket-Accept: ${accept(head["sec-websocket-key"] ?? "")}\r\n`;
      socket.write(Buffer.concat([Buffer.from(`${lines}${headers(head)}\r\n`, "latin1"), behind]));
      tunnels.push(listen(socket, head, rest));
    });
  };
  const server: Server = secure ? createTlsServer({ ...secureAppOptions(), allowHalfOpen: true }, serve) : createTcpServer({ allowHalfOpen: true }, serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port, secure, tunnels,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Reads the head of a message in HTTP/1.1, and hands over what is behind it. */
function atHead(socket: Duplex, then: (head: Record<string, string>, rest: Buffer) => void): void {
  let all = Buffer.alloc(0);
  socket.on("error", () => undefined);
  const hear = (chunk: Buffer): void => {
    all = Buffer.concat([all, chunk]);
    const end = all.indexOf("\r\n\r\n");
    if (end < 0) return;
    socket.off("data", hear);
    const [first = "", ...lines] = all.toString("latin1", 0, end).split("\r\n");
    const [, second = ""] = first.split(" ");
    const fields = lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]);
    then({ ":target": second, ":status": second, ...Object.fromEntries(fields) }, all.subarray(end + 4));
  };
  socket.on("data", hear);
}

function listen(socket: Duplex, head: End["head"], rest: Buffer): End {
  const parts = [rest];
  let count = rest.length;
  const state: End["state"] = { ended: false, failed: undefined, closed: false };
  socket.on("data", (chunk: Buffer) => { parts.push(chunk); count += chunk.length; });
  socket.on("end", () => { state.ended = true; });
  socket.on("error", (error: NodeJS.ErrnoException) => { state.failed = error.code ?? error.message; });
  socket.on("close", () => {
    state.closed = true;
    const { rstCode = 0 } = socket as { rstCode?: number };
    if (rstCode !== 0) state.failed = `RST_STREAM ${rstCode}`;
  });
  return { socket, head, state, count: () => count, heard: () => (parts.length === 1 ? parts[0] as Buffer : (parts.splice(0, parts.length, Buffer.concat(parts)), parts[0] as Buffer)) };
}

/** How a client comes to the router. */
export interface Front {
  readonly name: string;
  readonly http2: boolean;
  readonly secure: boolean;
}

const fronts: readonly Front[] = [
  { name: "HTTP/1.1", http2: false, secure: false }, { name: "HTTP/1.1 over TLS", http2: false, secure: true },
  { name: "HTTP/2", http2: true, secure: false }, { name: "HTTP/2 over TLS", http2: true, secure: true },
];

/** Every way from a client to an app; without openssl those with TLS are left out. */
export const ways = fronts.flatMap((front) => [false, true].map((secureApp) => ({ front, secureApp, name: `${front.name}, ${secureApp ? "an app with TLS" : "a plain app"}` })))
  .filter(({ front, secureApp }) => own !== undefined || (!front.secure && !secureApp));

export type Way = (typeof ways)[number];

/** A router that takes this way. */
export async function routerFor({ front }: Way, given: Pick<App, "port" | "secure">, options: RouterOptions = {}): Promise<Rig> {
  const r = await rig({
    ...(own === undefined ? {} : { backendCa: own.ca }),
    ...(front.secure ? { tls: { port: 0, certificates: [own?.sign("app.example.com") as Certificate] } } : {}), ...options,
  });
  r.serve([{ host: "127.0.0.1", port: given.port, ...(given.secure ? { tlsPort: given.port, serverCertDomainSan: "app.internal" } : {}) }]);
  return r;
}

export interface Opened {
  readonly client: End;
  readonly app: End;
}

export interface Handshake {
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent in the same breath. */
  readonly early?: Buffer;
}

/** A client past its handshake. */
export const connect = ({ front }: Way, r: Rig, { headers = {}, early = Buffer.alloc(0) }: Handshake = {}): Promise<End> => (front.http2 ? overHttp2 : overHttp1)(front, r, headers, early);

/** Opens a tunnel, and gives both its ends. */
export async function open(way: Way, r: Rig, given: App, handshake: Handshake = {}): Promise<Opened> {
  const before = given.tunnels.length;
  const client = await connect(way, r, handshake);
  await eventually(() => given.tunnels.length > before, 15_000);
  return { client, app: given.tunnels[before] as End };
}

async function overHttp1({ secure }: Front, r: Rig, headers: Readonly<Record<string, string>>, early: Buffer): Promise<End> {
  const socket: Socket = secure ? connectTls({ host: "127.0.0.1", port: (r.router.tlsAddress as { port: number }).port, ca: own?.ca ?? "", servername: "app.example.com" }) : (await wire(r.port)).socket;
  if (secure) await once(socket, "secureConnect");
  socket.removeAllListeners("data");
  // Who has ended may still hear.
  socket.allowHalfOpen = true;
  socket.setNoDelay(true);
  const lines = Object.entries({ Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  socket.write(Buffer.concat([Buffer.from(`GET /chat HTTP/1.1\r\nHost: app.example.com\r\n${lines}\r\n`, "latin1"), early]));
  return await new Promise((resolve, reject) => {
    socket.once("close", () => reject(new Error("closed within the handshake")));
    atHead(socket, (head, rest) => resolve(listen(socket, head, rest)));
  });
}

async function overHttp2({ secure }: Front, r: Rig, headers: Readonly<Record<string, string>>, early: Buffer): Promise<End> {
  const over = await (secure ? session((r.router.tlsAddress as { port: number }).port, { ca: own?.ca ?? "", servername: "app.example.com" }) : session(r.port));
  const asked = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  const stream = over.request({ ":method": "CONNECT", ":protocol": "websocket", ":scheme": "https", ":path": "/chat", ":authority": "app.example.com", "sec-websocket-version": "13", ...asked }, { endStream: false });
  stream.on("error", () => undefined);
  stream.on("close", () => over.close());
  const end = new Promise<End>((resolve, reject) => {
    stream.once("response", (head) => resolve(listen(stream, Object.fromEntries(Object.entries(head).map(([name, value]) => [name, String(value)])), Buffer.alloc(0))));
    stream.once("close", () => reject(new Error("closed within the handshake")));
  });
  if (early.length > 0) stream.write(early);
  return await end;
}

/** Waits until an end has heard so many bytes. */
export const heard = (end: End, bytes: number, ms = 30_000): Promise<void> => eventually(() => end.count() >= bytes, ms, () => `${bytes} bytes; heard ${end.count()}, ${JSON.stringify(end.state)}`);

/** Both ends are let go. */
export function leave({ client, app: other }: Opened): void {
  client.socket.destroy();
  other.socket.destroy();
}
