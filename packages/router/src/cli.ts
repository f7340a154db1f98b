#!/usr/bin/env node
import { runProgram } from "./cli/program.ts";

process.exit(await runProgram(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  onSignal: (signal, run) => void process.on(signal, run),
}));
