#!/usr/bin/env node
import { runProgram } from "./cli/program.ts";
import { statusVariable, workerVariable } from "./cli/workers.ts";

const worker = Number(process.env[workerVariable] ?? 0);

process.exit(await runProgram(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  worker,
  ...(worker > 0 ? { fleet: {
    channel: {
      send: (message) => { if (process.connected) process.send?.(message, undefined, {}, () => undefined); },
      onMessage: (hear) => void process.on("message", hear),
    },
    status: process.env[statusVariable] === undefined ? undefined : JSON.parse(process.env[statusVariable]),
  } } : {}),
  onSignal: (signal, run) => void process.on(signal, worker > 0 && signal === "SIGINT" ? () => undefined : run),
}));
