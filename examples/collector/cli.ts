#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { createBus, natsTransport } from "@opencf/bus";
import { startCollector } from "./collector.ts";
import { readConfig, UsageError } from "./config.ts";

/** Runs until it is told to stop. */
async function main(): Promise<void> {
  const config = readConfig(process.argv.slice(2), process.env);
  if (!config) return void process.stdout.write(readFileSync(new URL("../usage.txt", import.meta.url)));
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(130);
      stop.abort();
    });

  await using bus = await createBus({ transport: natsTransport({ ...config.nats, signal: stop.signal }) });
  await using collector = await startCollector(bus, config);
  const name = config.host === "0.0.0.0" || config.host === "::" ? "127.0.0.1" : config.host;
  const url = `http://${name.includes(":") ? `[${name}]` : name}:${collector.port}`;
  process.stdout.write(config.json ? `${JSON.stringify({ url })}\n` : `Components  ${url}/\nPrometheus  ${url}/metrics\nPrograms    ${url}/components.json\n\nCtrl-C stops.\n`);
  if (!stop.signal.aborted) await new Promise<void>((done) => stop.signal.addEventListener("abort", () => done(), { once: true }));
}

/** What a person can do about failures that have a usual remedy. */
const remedies: Readonly<Record<string, string>> = {
  BUS_PORT_TAKEN: "Choose another port with --port, or 0 for any free one.",
  BUS_CONNECT_FAILED: "Say where the bus is with --nats URL.",
  BUS_UNAUTHORIZED: "Say who you are with --user and --password-file, --creds, --nkey or --token-file.",
};

try {
  await main();
  process.exit(0);
} catch (error) {
  const usage = error instanceof UsageError;
  const aborted = error instanceof Error && error.name === "AbortError";
  if (aborted) process.exit(0);
  const remedy = remedies[(error as { code?: string }).code ?? ""];
  process.stderr.write(`opencf-collector: ${error instanceof Error ? error.message : String(error)}\n${usage ? "See npm start -w examples/collector -- --help\n" : remedy !== undefined ? `${remedy}\n` : ""}`);
  process.exit(usage ? 2 : 1);
}
