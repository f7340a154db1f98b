#!/usr/bin/env node
import { runProgram } from "./cli/program.ts";
import { workerVariable } from "./cli/workers.ts";

const worker = Number(process.env[workerVariable] ?? 0);

process.exit(await runProgram(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  worker,
  onSignal: (signal, run) => void process.on(signal, worker > 0 && signal === "SIGINT" ? () => undefined : run),
}));
