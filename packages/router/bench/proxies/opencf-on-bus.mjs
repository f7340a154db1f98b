// This router, fed by a bus, as a process of its own that tells what it took in and how long its turns were.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { given, serve } from "../kit/part.mjs";

export async function startOpencfOnBus({ parts, module, engine, nats }) {
  const part = await parts.node(import.meta.url, { measured: true, args: { module, engine, nats, log: join(parts.folder, `opencf-on-bus-${engine}.log`) } });
  return { name: `opencf-router (${engine})`, port: part.hello.port, part };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { module, engine, nats, log } = given();
  const { createBus, createRouter, logToFile, natsTransport, routesFromBus } = await import(module);
  const bus = await createBus({ transport: natsTransport({ servers: [`nats://127.0.0.1:${nats}`], turnBytes: 65_536, turnRestMs: 10 }) });
  // Nobody repeats a registration here for the sake of its route.
  const source = routesFromBus(bus, { staleAfterMs: 3_600_000 });
  let running;
  const router = createRouter({
    port: 0, engine, accessLog: logToFile(log),
    sources: [{ name: source.name, start: async (context) => (running = await source.start(context)) }],
  });
  const { port } = await router.listen();
  // The longest turn of its event loop, in processor time: what a request waits for where nobody else wants the machine.
  const cpuMs = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1_000; };
  let [turnMs, last] = [0, cpuMs()];
  setInterval(() => { const now = cpuMs(); turnMs = Math.max(turnMs, now - last); last = now; }, 1);
  serve({ port }, () => {
    const told = { ...running.numbers(), routes: router.table.routeCount, turnMs, cpuMs: cpuMs() };
    turnMs = 0;
    return told;
  });
}
