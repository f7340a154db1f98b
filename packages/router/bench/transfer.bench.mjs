#!/usr/bin/env node
// One large body over one connection, down and up: rate, processor time and memory of this router with both engines, beside nginx.
//   node packages/router/bench/transfer.bench.mjs [--mib 1024] [--rounds 3] [--no-pin] [--json]
// Measured in turn, `--rounds` times; given are medians, and ratios as the median of those within each round. nginx with its default
// (`proxy_buffering on`) is 1; request bodies are never collected (`proxy_request_buffering off`). MB are 1 000 000 bytes.
// `memory growth`: the most the proxy had during any of its transfers, less what it had before the first one, after some small ones.
// `straight`: no proxy between client and backend; what these two can do on this machine.
import { bundle } from "./kit/bundle.mjs";
import { median, round } from "./kit/figures.mjs";
import { createParts } from "./kit/parts.mjs";
import { commandLine, report } from "./kit/report.mjs";
import { cpuMicros, residentBytes, watchMemory } from "./kit/usage.mjs";
import { engines, startOpencf } from "./proxies/opencf.mjs";
import { hasNginx, startNginx } from "./proxies/nginx.mjs";

const options = commandLine(import.meta.url, { mib: 1_024, rounds: 3, pin: true });
const bytes = Math.round(options.mib * 1_048_576);
const reference = "nginx, buffering on";
const parts = await createParts({ pin: options.pin });
try {
  const backend = (await parts.node(new URL("./kit/transfer-backend-process.mjs", import.meta.url))).hello.port;
  const client = await parts.node(new URL("./kit/transfer-client-process.mjs", import.meta.url));
  const module = await bundle(parts.folder);
  const proxies = [{ name: "straight", port: backend }];
  for (const engine of engines) proxies.push(await startOpencf({ parts, module, engine, backend }));
  if (hasNginx()) for (const buffering of [true, false]) proxies.push(await startNginx({ parts, backend, name: `nginx, buffering ${buffering ? "on" : "off"}`, buffering }));

  const tables = [];
  for (const upload of [false, true]) {
    const rounds = new Map(proxies.map(({ name }) => [name, []]));
    const before = new Map();
    for (const { name, port, part } of proxies) {
      for (let small = 0; small < 50; small += 1) await client.ask({ port, bytes: 1_000, upload });
      if (part !== undefined) before.set(name, residentBytes(part.pid));
    }
    for (let at = 0; at < options.rounds; at += 1) {
      for (const { name, port, part } of proxies) rounds.get(name).push(await measure({ client, port, part, upload }));
    }
    const base = rounds.get(reference) ?? [];
    tables.push({
      title: `${options.mib} MiB ${upload ? "up" : "down"}`,
      rows: proxies.map(({ name }) => {
        const each = rounds.get(name);
        const most = Math.max(...each.map(({ memory }) => memory));
        return {
          proxy: name, "of nginx's rate": round(median(each.map(({ rate }, at) => base[at] && rate / base[at].rate))), "MB/s": round(median(each.map(({ rate }) => rate)), 0),
          "CPU ms/GB": round(median(each.map(({ cpu }) => cpu)), 0), "memory growth MB": before.has(name) ? round((most - before.get(name)) / 1e6, 1) : undefined,
        };
      }),
      notes: hasNginx() ? [] : ["nginx is not on the PATH: no ratios."],
    });
  }
  report({ json: options.json, title: "Large bodies", about: { rounds: options.rounds, pinned: parts.pinned }, tables });
} finally {
  await parts.end();
}
process.exit();

async function measure({ client, port, part, upload }) {
  if (part === undefined) return { rate: bytes / 1_000 / (await client.ask({ port, bytes, upload })).ms };
  const cpu = cpuMicros(part.pid);
  const memory = watchMemory(part.pid);
  try {
    const { ms } = await client.ask({ port, bytes, upload });
    return { rate: bytes / 1_000 / ms, cpu: (cpuMicros(part.pid) - cpu) / 1_000 / (bytes / 1e9), memory: memory.stop() };
  } finally {
    memory.stop();
  }
}
