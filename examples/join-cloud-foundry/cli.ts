#!/usr/bin/env node
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { joinAsExecutor } from "./executor.ts";
import { makeSampleDroplet } from "./sample.ts";
import { startTheirController } from "./their-controller.ts";
import { findProgram, startChild, startTheirRouter } from "./their-router.ts";

const say = (text: string): void => void process.stdout.write(`${text}\n`);

async function main(): Promise<void> {
  const port = Number(process.env["PORT"] ?? 8090);
  const told = new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
  const dir = await mkdtemp(join(tmpdir(), "opencf-join-"));
  try {
    const nats = process.env["NATS"] ?? "nats://127.0.0.1:4322";
    const server = findProgram("nats-server");
    if (process.env["NATS"] === undefined && !server) throw new Error("nats-server is not on the search path: apt-get install nats-server, or give NATS=nats://HOST:PORT");
    await using ownNats = process.env["NATS"] === undefined ? await startChild([server as string, "-a", "127.0.0.1", "-p", "4322"], 4322) : undefined;
    say(`NATS        ${nats}${ownNats ? " (nats-server, started here)" : ""}`);
    await using router = await startTheirRouter({ nats, port, statusPort: port + 1, dir });
    say(`router      ${basename(router.program)}, a process of its own, on port ${port}`);
    await using executor = await joinAsExecutor({ nats, host: "127.0.0.1", dataDir: join(dir, "dea") });
    say(`executor    ours, ${executor.id}`);
    await using controller = await startTheirController(nats);
    const guid = "7f2e6c1a-5b0d-4c59-9f43-0d2a5a1c7e11";
    const dropletFile = await makeSampleDroplet(dir);
    say(`controller  dea.${await controller.start({ dropletFile, guid, uri: "sample.example.com" })}.start`);
    say(`\ncurl -H 'Host: sample.example.com' http://127.0.0.1:${port}/\nCtrl-C stops.`);
    await told;
    controller.stop(guid);
  } finally {
    await rm(dir, { recursive: true, force: true, maxRetries: 3 });
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`join-cloud-foundry: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
