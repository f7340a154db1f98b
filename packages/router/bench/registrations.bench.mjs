#!/usr/bin/env node
// What registrations cost the requests that go on meanwhile: heartbeats of many apps, and 100 000 new routes at once.
// Router, publisher and client are processes of their own; nats-server has to be on the PATH.
//   npm run build -w packages/bus -w packages/router && node packages/router/bench/registrations.bench.mjs [--apps 20000] [--beats 20000] [--requests 500] [--seconds 5] [--json]
import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { Agent, createServer, request } from "node:http";
import { connect } from "node:net";
import { parseArgs } from "node:util";

async function router() {
  const [{ createBus, natsTransport }, { createRouter }, { routesFromBus }] = await Promise.all([import("@opencf/bus"), import("../dist/index.js"), import("../dist/bus-link.js")]);
  const bus = await createBus({ transport: natsTransport({ servers: [process.env.OPENCF_BENCH_NATS] }) });
  const source = routesFromBus(bus);
  let numbers = () => ({});
  const counted = { name: source.name, start: async (context) => { const running = await source.start(context); numbers = () => running.numbers(); return running; } };
  const one = createRouter({ port: 0, sources: [counted] });
  const { port } = await one.listen();
  // The longest turn of its event loop, in CPU time: what a request waits for where nobody else wants the machine.
  let turnMs = 0;
  let last = cpuMs();
  setInterval(() => { const now = cpuMs(); turnMs = Math.max(turnMs, now - last); last = now; }, 1);
  process.on("message", () => { process.send({ ...numbers(), turnMs: Math.round(turnMs),  routes: one.table.routeCount, cpuMs: cpuMs() }); turnMs = 0; });
  process.send({ port });
}

/** Speaks NATS by hand, so that the publisher is not what is measured. */
async function publisher() {
  const url = new URL(process.env.OPENCF_BENCH_NATS);
  const socket = connect({ host: url.hostname, port: Number(url.port) });
  await once(socket, "data");
  socket.write("CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
  socket.on("data", (chunk) => { if (chunk.includes("PING")) socket.write("PONG\r\n"); });
  const messages = new Map();
  const message = (app) => {
    let made = messages.get(app);
    if (made === undefined) {
      const body = JSON.stringify({
        host: `10.${(app >> 16) & 255}.${(app >> 8) & 255}.${app & 255}`, port: 61_000 + (app % 1_000), uris: [`app-${app}.example.com`], app: `00000000-0000-4000-8000-${String(app).padStart(12, "0")}`,
        private_instance_id: `instance-${app}`, private_instance_index: "0", tags: { component: "route-emitter", process_type: "web" }, availability_zone: "z1",
      });
      messages.set(app, made = Buffer.from(`PUB router.register ${Buffer.byteLength(body)}\r\n${body}\r\n`));
    }
    return made;
  };
  process.on("message", async ({ from, count, perSecond, seconds }) => {
    const begun = performance.now();
    const total = perSecond === undefined ? count : perSecond * seconds;
    for (let sent = 0; sent < total;) {
      const due = perSecond === undefined ? total : Math.min(total, Math.floor((performance.now() - begun) / 1_000 * perSecond));
      const parts = [];
      for (; sent < due && parts.length < 2_000; sent += 1) parts.push(message(from + (sent % count)));
      if (parts.length > 0 && !socket.write(Buffer.concat(parts))) await once(socket, "drain");
      else await new Promise((resolve) => setTimeout(resolve, 5));
    }
    process.send({ sent: total, ms: performance.now() - begun });
  });
  process.send({ ready: true });
}

async function bench() {
  const { values } = parseArgs({ options: { apps: { type: "string", default: "20000" }, beats: { type: "string", default: "20000" }, requests: { type: "string", default: "500" }, seconds: { type: "string", default: "5" }, json: { type: "boolean", default: false } } });
  const [apps, beats, requests, seconds] = [values.apps, values.beats, values.requests, values.seconds].map(Number);
  const natsPort = await freePort();
  const nats = spawn("nats-server", ["-a", "127.0.0.1", "-p", String(natsPort)], { stdio: "ignore" });
  const app = createServer((_, response) => response.end("ok"));
  await once(app.listen(0, "127.0.0.1"), "listening");
  const env = { ...process.env, OPENCF_BENCH_NATS: `nats://127.0.0.1:${natsPort}` };
  const children = [];
  const start = async (name) => {
    const child = fork(new URL(import.meta.url), { env: { ...env, OPENCF_BENCH_ROLE: name } });
    children.push(child);
    const [hello] = await once(child, "message");
    return { child, hello };
  };
  let longest = 0;
  const say = async (child, message) => {
    child.send(message);
    const [answer] = await once(child, "message");
    longest = Math.max(longest, answer.turnMs ?? 0);
    return answer;
  };
  try {
    await until(() => canConnect(natsPort));
    const { child: routing, hello: { port } } = await start("router");
    const { child: publishing } = await start("publisher");
    const socket = connect({ host: "127.0.0.1", port: natsPort });
    await once(socket, "data");
    const body = JSON.stringify({ host: "127.0.0.1", port: app.address().port, uris: ["live.example.com"] });
    socket.write(`CONNECT {"verbose":false}\r\nPUB router.register ${body.length}\r\n${body}\r\n`);
    await until(async () => (await say(routing, {})).routes === 1);

    const rows = [];
    longest = 0;
    const settled = async (want) => { await until(async () => (await say(routing, {})).routes >= want, 120_000); };
    const row = async (what, traffic, extra) => {
      await say(routing, {});
      const times = await traffic;
      const more = await extra?.();
      rows.push({ what, requests: times.length, "p50 ms": at(times, 0.5), "p99 ms": at(times, 0.99), "most ms": at(times, 1), "longest turn ms": longest, ...more });
      longest = 0;
    };

    await load(port, requests, 2);                                    // warm
    await row("requests alone", load(port, requests, seconds));
    await say(publishing, { from: 0, count: apps });
    await settled(apps + 1);
    const before = await say(routing, {});
    let sent;
    const beating = say(publishing, { from: 0, count: apps, perSecond: beats, seconds }).then((done) => { sent = done; });
    await row(`and ${beats} heartbeats a second of ${apps} apps`, load(port, requests, seconds), async () => {
      await beating;
      await until(async () => { const now = await say(routing, {}); return now.registrations + now.dropped_messages >= before.registrations + sent.sent; }, 60_000);
      const now = await say(routing, {});
      return { "taken in /s": Math.round((now.registrations - before.registrations) / seconds), dropped: now.dropped_messages, "router cpu ms": Math.round(now.cpuMs - before.cpuMs) };
    });
    const flood = await say(routing, {});
    const begun = performance.now();
    await say(publishing, { from: 0, count: apps, perSecond: 1e9, seconds: apps * 4 / 1e9 });
    await until(async () => { const now = await say(routing, {}); return now.registrations + now.dropped_messages >= flood.registrations + apps * 4; }, 60_000);
    rows.push({ what: `${apps * 4} heartbeats as fast as they come, nothing else`, "taken in /s": Math.round(apps * 4 / ((performance.now() - begun) / 1_000)) });
    const bursting = (async () => { await new Promise((resolve) => setTimeout(resolve, 500)); await say(publishing, { from: 1_000_000, count: 100_000 }); })();
    await row("and 100 000 new routes at once", load(port, requests, seconds), async () => { await bursting; await settled(100_000 + apps + 1); return { dropped: (await say(routing, {})).dropped_messages }; });
    socket.destroy();
    if (values.json) console.log(JSON.stringify(rows));
    else console.table(rows);
  } finally {
    for (const child of children) child.kill();
    nats.kill();
    app.closeAllConnections();
    app.close();
  }
}

/** Requests at a steady rate, whatever becomes of those before; gives how long each took, shortest first. */
async function load(port, perSecond, seconds) {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const times = [];
  const begun = performance.now();
  const open = new Set();
  for (let sent = 0; sent < perSecond * seconds;) {
    const due = Math.min(perSecond * seconds, Math.floor((performance.now() - begun) / 1_000 * perSecond));
    for (; sent < due; sent += 1) {
      // Since it was due, not since it was sent: a client that is held up does not hide it.
      const dueAt = begun + (sent / perSecond) * 1_000;
      const one = ask(port, agent).then(() => { times.push(performance.now() - dueAt); });
      open.add(one);
      void one.finally(() => open.delete(one));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(open);
  agent.destroy();
  return times.sort((one, other) => one - other);
}

function ask(port, agent) {
  return new Promise((resolve, reject) => {
    request({ host: "127.0.0.1", port, agent, headers: { host: "live.example.com" } }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
      response.resume().on("end", resolve);
    }).on("error", reject).end();
  });
}

function cpuMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

const at = (times, share) => Number(times[Math.min(times.length - 1, Math.floor(times.length * share))]?.toFixed(1));

async function freePort() {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const canConnect = (port) => new Promise((resolve) => {
  const socket = connect({ host: "127.0.0.1", port }, () => { socket.destroy(); resolve(true); });
  socket.on("error", () => resolve(false));
});

async function until(check, ms = 10_000) {
  for (const deadline = Date.now() + ms; !(await check());) {
    if (Date.now() > deadline) throw new Error(`waited ${ms} ms for ${check}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const role = process.env.OPENCF_BENCH_ROLE;
if (role === "router") await router();
else if (role === "publisher") await publisher();
else await bench();
