#!/usr/bin/env node
// Requests per second, latency and processor time per request: straight to the backend, through this router with each of its engines,
// through nginx and haproxy where they are on PATH, all in one run.
//   node packages/router/bench/proxy.bench.mjs [--seconds 3] [--connections 64] [--json]
// Each proxy has one thread, an access log (haproxy: none) and one backend with a small body. Backend, proxy and load run as processes of their own; on a machine with few cores they share them, so read `cpu µs/request` first.
import { fork, spawn, spawnSync } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: "string", default: "3" }, connections: { type: "string", default: "64" }, json: { type: "boolean", default: false } },
});
const bodyBytes = 101;
const self = fileURLToPath(import.meta.url);

/** One worker each, connections kept on both sides, an access log. */
const others = {
  nginx: (folder, own, port) => ({ args: ["-p", folder, "-c", join(folder, "nginx.conf")], file: "nginx.conf", text: `daemon off; master_process off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 4096; }
http { access_log ${folder}/access.log; client_body_temp_path ${folder}/a; proxy_temp_path ${folder}/b; fastcgi_temp_path ${folder}/c; uwsgi_temp_path ${folder}/d; scgi_temp_path ${folder}/e;
  keepalive_requests 100000000;
  upstream app { server 127.0.0.1:${port}; keepalive 256; keepalive_requests 100000000; }
  server { listen 127.0.0.1:${own}; server_name bench.example.com;
    location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } } }
` }),
  haproxy: (folder, own, port) => ({ args: ["-db", "-f", join(folder, "haproxy.cfg")], file: "haproxy.cfg", text: `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option forwardfor
  http-reuse always
frontend in
  bind 127.0.0.1:${own}
  default_backend app
backend app
  server one 127.0.0.1:${port}
` }),
};

switch (positionals[0]) {
  case "backend": backend(); break;
  case "router": await router(Number(positionals[1]), positionals[2], positionals[3]); break;
  default: await main(Math.min(60, Number(values.seconds)) * 1_000, Math.min(1_000, Number(values.connections)));
}

/** Answers every request of a connection with the same small body, as cheaply as can be: the proxy must be what is measured. */
function backend() {
  const body = "x".repeat(bodyBytes);
  const reply = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  const server = createServer({ noDelay: true }, (socket) => {
    let rest = "";
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      rest += chunk.toString("latin1");
      for (let end = rest.indexOf("\r\n\r\n"); end >= 0; end = rest.indexOf("\r\n\r\n")) {
        rest = rest.slice(end + 4);
        socket.write(reply);
      }
    });
  });
  server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
}

/** `module` is the bundled router; it writes an access log and counts, as it would for anybody. */
async function router(port, engine, module) {
  const { createRouter } = await import(module);
  const made = createRouter({ port: 0, engine, accessLog: createWriteStream(join(dirname(module), `${engine}.log`)) });
  made.table.register("bench.example.com", { host: "127.0.0.1", port, app: "bench" });
  const { port: own } = await made.listen();
  process.once("SIGINT", () => process.exit());
  process.on("message", () => process.send({ cpu: process.cpuUsage(), rss: process.memoryUsage.rss() }));
  process.send({ port: own });
}

async function main(durationMs, connections) {
  const home = fileURLToPath(new URL("../node_modules", import.meta.url));
  await mkdir(home, { recursive: true });
  // Below the package, so that its dependencies resolve.
  const folder = await mkdtemp(join(home, ".bench-"));
  const origin = await start("backend");
  const rows = [];
  const measure = async (name, port, used) => {
    await load(port, { durationMs: Math.min(1_500, durationMs), connections });
    const before = await used();
    const result = await load(port, { durationMs, connections });
    const after = await used();
    rows.push({
      name, "requests/s": Math.round(result.requests / (result.ms / 1_000)), "p50 ms": at(result.latencies, 50), "p99 ms": at(result.latencies, 99),
      "cpu µs/request": before === undefined ? undefined : Math.round((after.us - before.us) / result.requests * 10) / 10, "memory MiB": after?.rss === undefined ? undefined : Math.round(after.rss / 1_048_576), errors: result.errors,
    });
  };
  const asked = (child) => async () => {
    child.process.send("cpu");
    const { cpu, rss } = await message(child.process);
    return { us: cpu.user + cpu.system, rss };
  };
  try {
    const module = join(folder, "index.mjs");
    await build({ entryPoints: [fileURLToPath(new URL("../src/index.ts", import.meta.url))], outfile: module, bundle: true, platform: "node", target: "node20", format: "esm", packages: "external", logLevel: "error" });
    await measure("backend alone", origin.port, async () => undefined);
    for (const engine of ["undici", "native"]) {
      const ours = await start("router", String(origin.port), engine, module);
      await measure(`opencf-router (${engine})`, ours.port, asked(ours));
      ours.process.kill();
    }
    for (const [name, configuration] of Object.entries(others)) {
      if (spawnSync(name, ["-v"]).error !== undefined) {
        if (!values.json) console.log(`${name} is not on PATH: its row is left out`);
      } else await other(name, configuration, { folder, origin: origin.port, measure });
    }
  } finally {
    origin.process.kill();
    await rm(folder, { recursive: true, force: true });
  }
  const nginx = rows.find(({ name }) => name === "nginx")?.["cpu µs/request"];
  if (nginx !== undefined) for (const row of rows) if (row["cpu µs/request"] !== undefined) row["of nginx"] = Number((row["cpu µs/request"] / nginx).toFixed(2));
  if (values.json) console.log(JSON.stringify({ node: process.version, connections, bodyBytes, seconds: durationMs / 1_000, rows }));
  else console.table(rows);
}

async function other(name, configuration, { folder, origin, measure }) {
  const own = 20_000 + (process.pid % 20_000);
  const { args, file, text } = configuration(folder, own, origin);
  await writeFile(join(folder, file), text);
  const child = spawn(name, args, { stdio: "ignore" });
  try {
    await reachable(own);
    await measure(name, own, () => usedBy(child.pid));
  } finally {
    child.kill();
    await new Promise((resolve) => child.exitCode === null ? child.once("exit", resolve) : resolve());
  }
}

/** Time and memory of a process that is none of ours, where the system tells (Linux: ticks of 10 ms, pages of 4 KiB). */
async function usedBy(pid) {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  if (stat === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { us: (Number(fields[11]) + Number(fields[12])) * 10_000, rss: Number(fields[21]) * 4_096 };
}

/** One request at a time on each connection, for as long as it lasts. */
async function load(port, { durationMs, connections }) {
  const request = "GET /some/path?with=query HTTP/1.1\r\nHost: bench.example.com\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nCookie: theme=dark\r\n\r\n";
  const latencies = [];
  let requests = 0;
  let errors = 0;
  const started = performance.now();
  const until = started + durationMs;
  await Promise.all(Array.from({ length: connections }, () => new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    let expected = 0;
    let sentAt = 0;
    const next = () => { sentAt = performance.now(); expected = 0; socket.write(request); };
    socket.on("connect", next);
    socket.on("error", () => { errors += 1; });
    socket.on("close", resolve);
    let held = "";
    socket.on("data", (chunk) => {
      if (expected === 0) {
        held += chunk.toString("latin1");
        const end = held.indexOf("\r\n\r\n");
        if (end < 0) return;
        if (!held.startsWith("HTTP/1.1 200")) errors += 1;
        expected = Number(/content-length: (\d+)/i.exec(held)[1]) - (held.length - end - 4);
        held = "";
      } else expected -= chunk.length;
      if (expected > 0) return;
      const now = performance.now();
      requests += 1;
      if (requests % 7 === 0) latencies.push(now - sentAt);
      if (now >= until) socket.destroy();
      else next();
    });
  })));
  return { requests, errors, ms: performance.now() - started, latencies: latencies.sort((a, b) => a - b) };
}

async function start(...args) {
  const child = fork(self, args);
  const { port } = await message(child);
  return { process: child, port };
}

function message(child) {
  return new Promise((resolve, reject) => {
    child.once("message", resolve);
    child.once("exit", (code) => reject(new Error(`a part of the bench ended with ${code}`)));
  });
}

async function reachable(port) {
  for (let tries = 0; tries < 100; tries += 1) {
    const open = await new Promise((resolve) => {
      const socket = connect({ port, host: "127.0.0.1" });
      socket.on("connect", () => { socket.destroy(); resolve(true); });
      socket.on("error", () => resolve(false));
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("it did not start");
}

function at(sorted, percent) {
  return Number((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * percent / 100))] ?? 0).toFixed(2));
}
