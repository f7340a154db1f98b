#!/usr/bin/env node
// What connections cost that do nothing: 10 000 kept after a request, and 5 000 open WebSockets; memory of this router with both engines, beside nginx.
//   node packages/router/bench/idle.bench.mjs [--connections 10000] [--websockets 5000] [--settle 2] [--no-pin] [--json]
// Each connection has had one exchange; they come from several addresses 127.0.0.x. A WebSocket is two connections of the router, one to
// each side. `resident`: what the system has given the process, less what it had before the first of them, after some thousand requests, both
// once it does not fall any more (`--settle`: about how many seconds without a fall are enough);
// `in use`: the same of what its heap and buffers hold after a collection. Memory of the kernel for sockets is in neither. nginx sets memory
// aside for its connections when it starts, so its figures leave that out. Where fewer files may be open than needed, there are fewer connections, and a note.
import { setTimeout as sleep } from "node:timers/promises";
import { bundle } from "./kit/bundle.mjs";
import { round } from "./kit/figures.mjs";
import { allowOpenFiles } from "./kit/open-files.mjs";
import { createLoad } from "./kit/load.mjs";
import { createParts } from "./kit/parts.mjs";
import { commandLine, report } from "./kit/report.mjs";
import { residentBytes } from "./kit/usage.mjs";
import { engines, startOpencf } from "./proxies/opencf.mjs";
import { hasNginx, startNginx } from "./proxies/nginx.mjs";

const options = commandLine(import.meta.url, { connections: 10_000, websockets: 5_000, settle: 2, pin: true });
/** Files a process needs besides its connections. */
const spare = 300;
const parts = await createParts({ pin: options.pin });
try {
  const backendPart = await parts.node(new URL("./kit/idle-backend-process.mjs", import.meta.url));
  const backend = backendPart.hello.port;
  const client = await parts.node(new URL("./kit/idle-client-process.mjs", import.meta.url));
  const load = await createLoad(parts, 1);
  const module = await bundle(parts.folder);
  const starts = [...engines.map((engine) => () => startOpencf({ parts, module, engine, backend, nodeArgs: ["--expose-gc"] })), ...(hasNginx() ? [() => startNginx({ parts, backend })] : [])];
  const tables = [];
  for (const webSocket of [false, true]) {
    const wanted = Math.round(webSocket ? options.websockets : options.connections);
    const each = webSocket ? 2 : 1;
    const notes = new Set();
    const rows = [];
    for (const start of starts) {
      // A new process for each kind: memory that was freed once would hide what comes after.
      const { name, port, part } = await start();
      const allowed = Math.min(...[[part, each], [client, 1], [backendPart, 1]].map(([{ pid }, per]) => Math.floor((allowOpenFiles(pid, wanted * per + spare) - spare) / per)));
      const count = Math.min(wanted, allowed);
      if (count < wanted) notes.add(`Only ${count} of ${wanted}: no more files may be open. Raise it with \`ulimit -n\`.`);
      await load.open({ port, connections: 64 });
      await load.run(Math.min(1_000, options.settle * 1_000));
      await load.close();
      const before = await memoryOf(part);
      await client.ask({ do: "open", port, count, webSocket });
      const after = await memoryOf(part);
      const { open } = await client.ask({ do: "count" });
      await client.ask({ do: "close" });
      await part.stop();
      if (open !== count) notes.add(`${name}: only ${open} of ${count} were still open at the end.`);
      rows.push({ proxy: name, connections: count, "resident bytes each": round((after.resident - before.resident) / count, 0), "in use bytes each": after.inUse === undefined ? undefined : round((after.inUse - before.inUse) / count, 0), "resident MB before": round(before.resident / 1e6, 1), "resident MB": round(after.resident / 1e6, 1) });
    }
    tables.push({ title: webSocket ? "Open WebSockets" : "Idle keep-alive connections", rows, notes: [...notes] });
  }
  report({ json: options.json, title: "Connections that do nothing", about: { pinned: parts.pinned }, tables });
} finally {
  await parts.end();
}
process.exit();

/** Once it does not fall any more: what a collection frees, the system gets back somewhat later. */
async function memoryOf({ pid, ask, hello }) {
  // What nobody tells is nobody's business: nginx has no heap to ask for.
  const look = async () => ({ inUse: hello === undefined ? undefined : (await ask({})).inUse, resident: residentBytes(pid) });
  let least = await look();
  for (let unchanged = 0, looks = 0; unchanged < 3 && looks < 20; looks += 1) {
    await sleep(options.settle * 250);
    const now = await look();
    unchanged = now.resident < least.resident * 0.995 ? 0 : unchanged + 1;
    if (now.resident < least.resident) least = now;
  }
  return least;
}
