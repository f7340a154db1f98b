#!/usr/bin/env node
// Measures the built platform from outside, as a user would meet it: `npm run build && npm run bench`.
// Wall time on an otherwise idle machine; one run, each figure with its limit. Everything it starts it stops.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const cli = join(root, "examples/paas/dist/cli.js");
const run = promisify(execFile);
const rows = [];
const row = (what, value, limit, unit) => rows.push({ what, measured: `${value} ${unit}`, limit: `${limit} ${unit}`, ok: value <= limit ? "yes" : "NO" });

const freePort = async () => {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
};

const seconds = (ms) => Number((ms / 1_000).toFixed(2));

async function until(check, limitMs = 60_000) {
  for (const end = performance.now() + limitMs; performance.now() < end; await sleep(10)) if (await check()) return;
  throw new Error("took too long");
}

/** Starts the platform and answers the time until its API does. */
async function boot(dataDir, port, ...flags) {
  const started = performance.now();
  const child = spawn(process.execPath, [cli, "--port", String(port), "--data-dir", dataDir, "--admin-password", "bench", "--json", ...flags], { stdio: ["ignore", "pipe", "inherit"] });
  const line = new Promise((done, fail) => {
    let text = "";
    child.stdout.on("data", (data) => (text += data, text.includes("\n") && done({ ...JSON.parse(text), atMs: performance.now() - started })));
    child.once("exit", (code) => fail(new Error(`the platform ended with ${code}`)));
  });
  line.catch(() => undefined);
  const api = `http://127.0.0.1:${port}`;
  await until(() => fetch(api).then((response) => response.ok, () => false));
  const readyMs = performance.now() - started;
  return {
    api, readyMs, line, pid: child.pid,
    async stop() {
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

const rssMb = async (pid) => Math.round(Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, "utf8"))[1]) / 1_024);

const work = await mkdtemp(join(tmpdir(), "opencf-bench-"));
try {
  const port = await freePort();
  const data = join(work, "data");
  let paas = await boot(data, port, "--no-demo");
  row("API ready, first boot with an empty data folder", seconds(paas.readyMs), 3, "s");
  await paas.line;
  await paas.stop();
  await rm(data, { recursive: true });

  // The demo is a push through the API; its steps from the upload on, measured from outside by the line that says it answered.
  paas = await boot(data, port);
  const { app, atMs } = await paas.line;
  row("hello pushed through the API: log in to first 200", seconds(atMs - paas.readyMs), 4, "s");
  await sleep(10_000);
  row("whole platform at rest, embedded database", await rssMb(paas.pid), 400, "MB");

  const cf = await run("cf", ["version"]).then(() => true, () => false);
  if (cf) {
    const env = { ...process.env, CF_HOME: work };
    await run("cf", ["api", paas.api, "--skip-ssl-validation"], { env });
    await run("cf", ["auth", "admin", "bench"], { env });
    await run("cf", ["target", "-o", "demo", "-s", "dev"], { env });
    const started = performance.now();
    await run("cf", ["push", "pushed", "-m", "128M", "-p", join(root, "examples/apps/hello")], { env });
    row("hello by cf push", seconds(performance.now() - started), 8, "s");
  } else console.log("cf is not on PATH: its push is not measured");
  await paas.stop();

  const again = performance.now();
  paas = await boot(data, port, "--no-demo");
  row("API ready, second boot", seconds(paas.readyMs), 1.5, "s");
  await until(() => fetch(app).then((response) => response.ok, () => false));
  row("the app answers again without a push, second boot", seconds(performance.now() - again), 3, "s");
  await paas.stop();
} finally {
  await rm(work, { recursive: true, force: true });
}
console.table(rows);
process.exit(rows.every(({ ok }) => ok === "yes") ? 0 : 1);
