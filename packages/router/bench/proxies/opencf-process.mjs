// Router of proxies/opencf.mjs, as a process of its own.
import { host } from "../kit/messages.mjs";
import { given, serve } from "../kit/part.mjs";

const { module, engine, backend, certificate, log } = given();
const { createRouter, logToFile } = await import(module);
const router = createRouter({
  engine, accessLog: logToFile(log),
  ...(certificate === undefined ? { port: 0 } : { port: false, tls: { port: 0, certificates: [{ certFile: certificate.cert, keyFile: certificate.key }], minVersion: "TLSv1.3" } }),
});
router.table.register(host, { host: "127.0.0.1", port: backend, app: "bench", instanceId: "i-0", instanceIndex: "0" });
await router.listen();

/** What is in use, without what is only not yet thrown away; with `--expose-gc` alone. */
function inUse() {
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return { inUse: heapUsed + external };
}
serve({ port: (router.tlsAddress ?? router.address).port }, inUse);
