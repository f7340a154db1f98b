import { once } from "node:events";
import { createSecureServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { authority, type Certificate } from "../fixtures/certificates.ts";
import { eventually } from "../fixtures/client.ts";
import { http2Backend, session } from "../fixtures/http2.ts";
import { rig } from "../fixtures/rig.ts";

const own = authority();
/** More than the receiver's window of 65,535, less than the router's towards the sender. */
const said = Buffer.from(Array.from({ length: 240_000 }, (_, at) => at % 251));

/** All that is heard of `what` until it is gone. */
const whole = (what: NodeJS.ReadableStream): Promise<Buffer> => new Promise((resolve) => {
  const parts: Buffer[] = [];
  what.on("data", (chunk: Buffer) => parts.push(chunk));
  what.on("close", () => resolve(Buffer.concat(parts)));
  what.resume();
});

describe.skipIf(own === undefined)("what a finished stream of HTTP/2 over TLS brought, where its connection ends before the other side has read it", () => {
  test("an answer: the client still gets it whole", async () => {
    let gone = false;
    const app = createSecureServer(own?.sign("app.internal") as Certificate, () => undefined);
    app.on("stream", (stream: ServerHttp2Stream) => {
      stream.session?.socket.on("close", () => { gone = true; });
      stream.respond({ ":status": 200 });
      stream.end(said);
      // As an app goes that is stopped in good order.
      stream.session?.close();
    });
    onTestFinished(() => void app.close());
    app.listen(0, "127.0.0.1");
    await once(app, "listening");
    const { port } = app.address() as AddressInfo;
    await using r = await rig({ backendCa: own?.ca ?? "" });
    r.router.table.register("app.example.com", { host: "127.0.0.1", port, tlsPort: port, serverCertDomainSan: "app.internal", protocol: "http2" });
    await using client = await session(r.port);
    const stream = client.request({ ":authority": "app.example.com" });
    stream.on("error", () => undefined);
    await once(stream, "response");
    await eventually(() => gone);
    const heard = await whole(stream);
    expect([stream.rstCode, heard.length, heard.equals(said)]).toEqual([0, said.length, true]);
    expect(r.records[0]?.truncated).toBeUndefined();
  });

  test("the last words of a WebSocket: the app still gets them whole", async () => {
    let tunnel: ServerHttp2Stream | undefined;
    await using app = await http2Backend((stream) => {
      tunnel = stream.pause();
      stream.respond({ ":status": 200 });
      stream.end();
    }, { settings: { enableConnectProtocol: true } });
    await using r = await rig({ tls: { port: 0, certificates: [own?.sign("app.example.com") as Certificate] } });
    r.router.table.register("app.example.com", { host: app.host, port: app.port, protocol: "http2" });
    await using client = await session((r.router.tlsAddress as { port: number }).port, { ca: own?.ca ?? "", servername: "app.example.com" });
    const stream = client.request({ ":method": "CONNECT", ":protocol": "websocket", ":scheme": "https", ":path": "/", ":authority": "app.example.com", "sec-websocket-version": "13" }, { endStream: false });
    stream.on("error", () => undefined);
    await once(stream.resume(), "end");
    stream.end(said);
    client.close();
    await once(client, "close");
    const heard = await whole(tunnel as ServerHttp2Stream);
    expect([tunnel?.rstCode, heard.length, heard.equals(said)]).toEqual([0, said.length, true]);
  });
});
