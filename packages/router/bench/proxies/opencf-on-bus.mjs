// This router, fed by a bus, as a process of its own that tells what it took in and how long its turns were.
import { openSync, readSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { given, serve } from "../kit/part.mjs";

export async function startOpencfOnBus({ parts, module, engine, nats, nodeArgs }) {
  const part = await parts.node(import.meta.url, { measured: true, nodeArgs, args: { module, engine, nats, log: join(parts.folder, `opencf-on-bus-${engine}.log`) } });
  return { name: `opencf-router (${engine})`, port: part.hello.port, part };
}

/**
 * How long the thread of the event loop has run, and waited for its core while others had it. Where the system does not tell, the processor time of all threads.
 * Asked a thousand times a second: nothing is left behind that V8 would have to collect.
 */
function threadClock(cpuMs) {
  const text = Buffer.alloc(128);
  let file;
  try { file = openSync(`/proc/self/task/${process.pid}/schedstat`, "r"); } catch { return () => ({ ran: cpuMs(), waited: 0 }); }
  return () => {
    const [ran, waited] = text.latin1Slice(0, readSync(file, text, 0, text.length, 0)).split(" ");
    return { ran: ran / 1e6, waited: waited / 1e6 };
  };
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
  const cpuMs = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1_000; };
  let turn = { ran: 0, held: 0 };
  const threadMs = threadClock(cpuMs);
  let last = threadMs();
  setInterval(() => {
    const now = threadMs();
    turn = { ran: Math.max(turn.ran, now.ran - last.ran), held: Math.max(turn.held, now.ran - last.ran + now.waited - last.waited) };
    last = now;
  }, 1);
  serve({ port }, () => {
    const told = { ...running.numbers(), routes: router.table.routeCount, turnMs: turn.ran, heldMs: turn.held, cpuMs: cpuMs() };
    turn = { ran: 0, held: 0 };
    return told;
  });
}
