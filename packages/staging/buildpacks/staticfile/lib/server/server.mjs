// server FOLDER: serves a folder as Staticfile said. No dependencies; runs on the Node of the machine.
import { readFile } from "node:fs/promises";
import { createServer as createHttp1 } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import { createServer } from "node:net";
import { createSite } from "./site.mjs";

const settings = JSON.parse(await readFile(new URL("settings.json", import.meta.url), "utf8"));
if (process.env.FORCE_HTTPS) settings.forceHttps = true;
if (process.env.ENABLE_HTTP2) settings.http2 = true;
const answer = await createSite(process.argv[2], settings);
const port = Number(process.env.PORT ?? 8080);

const handle = (request, response) => {
  response.on("close", () => console.log(`${request.method} ${JSON.stringify(request.url).slice(1, -1)} ${response.statusCode}`));
  answer(request, response).catch((error) => {
    if (response.headersSent || response.destroyed) return response.destroy?.();
    console.error(`${request.method} ${request.url}: ${error.message}`);
    response.writeHead(500, { "content-type": "text/plain" });
    response.end("500\n");
  });
};

const http1 = createHttp1(handle);
const http2 = settings.http2 ? createHttp2(handle) : undefined;
const sessions = new Set();
http2?.on("session", (session) => {
  sessions.add(session);
  session.once("close", () => sessions.delete(session));
  session.on("error", () => {});
});

/** HTTP/2 without TLS starts with a fixed preface, so one port can speak both. */
const preface = Buffer.from("PRI * HTTP/2.0");
const listener = http2
  ? createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.once("readable", () => {
      const start = socket.read();
      if (start === null) return socket.destroy();
      socket.unshift(start);
      const speaks2 = start.length >= 3 && start.subarray(0, preface.length).equals(preface.subarray(0, start.length));
      (speaks2 ? http2 : http1).emit("connection", socket);
    });
  })
  : http1;
listener.listen(port, () => console.log(`serving on port ${port}`));

process.once("SIGTERM", () => {
  listener.close(() => process.exit(0));
  http1.closeIdleConnections();
  for (const session of sessions) session.close();
  setTimeout(() => process.exit(0), 8_000).unref();
});
