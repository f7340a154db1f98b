// One of proxies/peers.mjs, as a process of its own: with connections kept on both sides, otherwise as its README has it.
import { readFileSync } from "node:fs";
import { Agent, createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { given, serve } from "../kit/part.mjs";

const { name, folder, backend, certificate } = given();
const require = createRequire(pathToFileURL(join(folder, "package.json")));
const load = async (needed) => { const module = await import(pathToFileURL(resolvePackage(needed)).href); return module.default ?? module; };
const target = `http://127.0.0.1:${backend}`;
const tls = certificate === undefined ? undefined : { cert: readFileSync(certificate.cert), key: readFileSync(certificate.key), minVersion: "TLSv1.3" };
const agent = new Agent({ keepAlive: true, maxSockets: 512, maxFreeSockets: 512 });

/** By the entry for `import` where `require` has none. */
function resolvePackage(needed) {
  try { return require.resolve(needed); } catch {
    const home = join(folder, "node_modules", needed);
    const { exports, main, module } = JSON.parse(readFileSync(join(home, "package.json"), "utf8"));
    const entry = exports?.["."] ?? exports;
    const found = [entry, entry?.import, entry?.import?.default, entry?.default, module, main].find((path) => typeof path === "string");
    return join(home, found);
  }
}

const listen = (handle) => new Promise((resolve) => {
  const server = tls === undefined ? createServer(handle) : createTlsServer(tls, handle);
  server.keepAliveTimeout = 900_000;
  server.listen({ port: 0, host: "127.0.0.1", backlog: 4_096 }, () => resolve(server.address().port));
});

const makers = {
  async "node:http and undici's dispatch"() {
    const { Pool } = await load("undici");
    const pool = new Pool(target, { connections: 512 });
    return listen((request, response) => {
      pool.dispatch({ method: request.method, path: request.url, headers: request.headers, body: request.method === "GET" ? undefined : request }, {
        onConnect() {},
        onHeaders(status, headers) { response.writeHead(status, headers.map((one) => one.latin1Slice())); return true; },
        onData(chunk) { response.write(chunk); return true; },
        onComplete() { response.end(); },
        onError() { response.destroy(); },
      });
    });
  },
  async "fast-proxy"() {
    const { proxy } = (await load("fast-proxy"))({ base: target, http: { agents: { "http:": agent } } });
    return listen((request, response) => proxy(request, response, request.url, {}));
  },
  async "@fastify/http-proxy"() {
    const fastify = (await load("fastify"))({ logger: false, keepAliveTimeout: 900_000, ...(tls === undefined ? {} : { https: tls }) });
    fastify.register(await load("@fastify/http-proxy"), { upstream: target, undici: { connections: 512 } });
    await fastify.listen({ port: 0, host: "127.0.0.1" });
    return fastify.server.address().port;
  },
  async httpxy() {
    const { createProxyServer } = await load("httpxy");
    const proxy = createProxyServer({ target, agent });
    return listen((request, response) => { proxy.web(request, response).catch(() => response.destroy()); });
  },
  async "http-proxy-3"() {
    const { createProxyServer } = await load("http-proxy-3");
    const proxy = createProxyServer({ target, agent });
    return listen((request, response) => proxy.web(request, response, {}, () => response.destroy()));
  },
};
serve({ port: await makers[name]() });
