import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, expect, test } from "vitest";
import { freePort } from "../../../../test/support/free-port.ts";
import { eventually } from "../fixtures/client.ts";
import { rig } from "../fixtures/rig.ts";
import { startLoad } from "./load.ts";

const program = `
const { createServer } = require("node:http");
createServer((request, response) => { request.resume(); request.on("end", () => setTimeout(() => response.end("fine"), Math.random() * 4)); })
  .listen(Number(process.argv[1]), "127.0.0.1", () => console.log("ready"));
`;

const living = new Set<() => Promise<void>>();
afterEach(async () => { await Promise.all([...living].map((kill) => kill())); });

/** An app in a process of its own, which can be ended as the system does it. */
async function appProcess(port: number) {
  const child = spawn(process.execPath, ["-e", program, String(port)], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  await once(child.stdout, "data");
  const kill = async (): Promise<void> => {
    living.delete(kill);
    child.kill("SIGKILL");
    await exited;
  };
  living.add(kill);
  return { port, kill };
}

for (const engine of ["undici", "native"] as const) {
  test(`13.32, 13.80 kill -9 of a backend under load: no GET fails while another endpoint is there; it is used again when it is back (${engine})`, async () => {
    const stays = await appProcess(await freePort());
    const dies = await appProcess(await freePort());
    await using r = await rig({ engine, failureMarkMs: 100 });
    r.serve([{ host: "127.0.0.1", port: stays.port }, { host: "127.0.0.1", port: dies.port }]);
    const load = startLoad({ port: r.port });
    for (let current = dies, round = 0; round < 3; round += 1) {
      const before = load.answered;
      await eventually(() => load.answered > before + 150, 20_000);
      await current.kill();
      await eventually(() => load.answered > before + 400, 20_000);
      current = await appProcess(dies.port);
      const served = r.records.length;
      await eventually(() => r.records.slice(served).some(({ status, endpoint }) => status === 200 && endpoint?.address === `127.0.0.1:${dies.port}`), 20_000);
    }
    await load.stop();
    expect(load.failures).toEqual({});
    expect(r.records.some(({ failedAttempts }) => failedAttempts > 0)).toBe(true);
    await eventually(() => r.router.inFlight === 0);
  }, 90_000);
}
