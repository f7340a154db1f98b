// What the measurements of the bus share. A measurement is a process of its own: arguments in, one line of JSON out.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

/** Folder with the built package. */
export const distOf = (given) => resolve(given ?? join(here, "../../packages/bus/dist"));

/** @returns everything that the built package and its catalogue export */
export async function load(dist) {
  const [bus, messages] = await Promise.all(["index.js", "messages.js"].map((file) => import(pathToFileURL(join(dist, file)).href)));
  return { ...bus, ...messages };
}

/** The registration of a component: 139 bytes. */
export const plainRegistration = (n) => ({ host: "10.10.17.23", port: 61_000 + (n % 500), uris: ["api.example.com"], tags: { component: "CloudController" }, private_instance_id: "9b2f0c4e-1d7a" });

/** The registration of an app's instance as an executor sends it: 330 bytes. */
export const registration = (n) => ({
  dea: "0-4f1e6f5f6f3b4b7e8a53f5b7f6c0c0a1", app: "d2c5a9a4-6c9a-4f0e-9d0c-0c6f5a1e7b11", uris: ["shop.example.com", "www.shop.example.com"],
  host: "10.10.17.23", port: 61_000 + (n % 500), tags: { component: "dea-0" }, private_instance_id: "9b2f0c4e1d7a4c60b8a1e5d3f7c2a9b84e6d1f03", private_instance_index: "3",
  stale_threshold_in_seconds: 120,
});

/** The arguments of a measurement: `--name value` becomes `{ name: "value" }`. */
export const args = () => Object.fromEntries(process.argv.slice(2).flatMap((word, at, all) => (word.startsWith("--") ? [[word.slice(2), all[at + 1]]] : [])));

/** Runs one measurement. @returns what it printed, parsed */
export function measure(file, options, flags = []) {
  const words = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [...flags, join(here, file), ...words], { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.on("data", (data) => (text += data));
    child.once("error", fail);
    child.once("close", (code) => (code === 0 ? done(JSON.parse(text)) : fail(new Error(`${file} ended with ${code}`))));
  });
}

/** Seconds of processor time that `run` took, of this process with all its threads. */
export async function cpuSeconds(run) {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

export const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** A nats-server for the bench alone. */
export async function startServer() {
  const dir = await mkdtemp(join(tmpdir(), "opencf-bench-"));
  const port = await new Promise((done) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
  const child = spawn("nats-server", ["-a", "127.0.0.1", "-p", String(port)], { stdio: "ignore" });
  const failed = new Promise((_, fail) => child.once("error", () => fail(new Error("nats-server is not on PATH: apt-get install nats-server"))));
  const up = async () => {
    for (let tries = 0; tries < 500; tries++, await sleep(20)) {
      const there = await new Promise((done) => {
        const socket = connect(port, "127.0.0.1", () => (socket.destroy(), done(true)));
        socket.once("error", () => done(false));
      });
      if (there) return;
    }
    throw new Error("nats-server did not come up");
  };
  await Promise.race([failed, up()]);
  return {
    url: `nats://127.0.0.1:${port}`,
    async stop() {
      const ended = new Promise((done) => child.once("exit", done));
      child.kill("SIGTERM");
      await ended;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Sends `count` messages in bursts and lets no more than `window` be on the way. `send(n)` sends one, `seen()` tells how many arrived. */
export async function pump(count, { send, seen, window = 2_000, burst = 200 }) {
  const start = seen();
  for (let sent = 0; sent < count; ) {
    for (const end = Math.min(count, sent + burst); sent < end; sent++) send(sent);
    await new Promise(setImmediate);
    while (sent - (seen() - start) > window) await new Promise(setImmediate);
  }
  // Asleep rather than in a loop: waiting must not count as work.
  while (seen() - start < count) await sleep(1);
}
