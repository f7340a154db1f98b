#!/usr/bin/env node
import { parseArgs } from "node:util";
import { createBus, memoryTransport, natsTransport } from "@opencf/bus";
import { createDea, MiB } from "@opencf/dea";
import { joinBus } from "@opencf/dea/bus-link";
import { serveDroplet } from "./droplet.ts";
import { createJobRunner, type JobResult } from "./runner.ts";

const help = `job-runner: runs commands once, each on one of several executors, and prints what became of them

  npm start -w examples/job-runner -- [options] COMMAND...

  --nats URL         ask the executors on this bus (opencf-dea --nats URL); default: --executors of its own in this process
  --executors N      how many of its own                                    (default 3)
  --folder FOLDER    what the commands find in their working folder         (default: the current one)
  --host ADDRESS     where executors elsewhere fetch that folder            (default 127.0.0.1)
  --memory MB        for each command                                       (default 128)
  --timeout SECONDS  for each command                                       (default 60)
  --json             one JSON line for each result

Exit codes: 0 all of them succeeded, 1 one did not, 2 asked wrongly.
`;

const options = {
  nats: { type: "string" }, executors: { type: "string", default: "3" }, folder: { type: "string", default: "." }, host: { type: "string", default: "127.0.0.1" },
  memory: { type: "string", default: "128" }, timeout: { type: "string", default: "60" }, json: { type: "boolean", default: false }, help: { type: "boolean", short: "h", default: false },
} as const;

const wrong = (text: string): number => {
  process.stderr.write(`job-runner: ${text}\nSee --help\n`);
  return 2;
};

function show({ dea, exit_status: status, reason, duration_ms: ms, log_tail: lines = [] }: JobResult, command: string): string {
  const head = `${reason === "exit:0" ? "ok    " : "FAILED"} ${command}  (${reason}, status ${status}, ${((ms ?? 0) / 1_000).toFixed(1)} s, on ${dea.slice(0, 8)})\n`;
  return head + lines.map((line) => `         ${line}\n`).join("");
}

async function main(): Promise<number> {
  let asked;
  try {
    asked = parseArgs({ options, allowPositionals: true });
  } catch (error) {
    return wrong(error instanceof Error ? error.message : String(error));
  }
  const { values, positionals: commands } = asked;
  if (values.help) return process.stdout.write(help), 0;
  const [executors, memoryMb, timeoutSeconds] = [values.executors, values.memory, values.timeout].map(Number) as [number, number, number];
  if (commands.length === 0) return wrong("give at least one command, such as 'date'");
  for (const [flag, value, most] of [["--executors", executors, 100], ["--memory", memoryMb, 1_048_576], ["--timeout", timeoutSeconds, 86_400]] as const)
    if (!Number.isInteger(value) || value < 1 || value > most) return wrong(`${flag} must be a whole number from 1 to ${most}`);

  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort(new Error(`received ${signal}`)));

  await using bus = await createBus({ transport: values.nats === undefined ? memoryTransport() : natsTransport({ servers: [values.nats] }) });
  await using droplet = await serveDroplet(values.folder, { host: values.host });
  const own = values.nats === undefined ? executors : 0;
  const members = await Promise.all(Array.from({ length: own }, async () => joinBus(await createDea({ memoryBytes: 4 * memoryMb * MiB }), bus)));
  using runner = createJobRunner(bus, droplet);
  try {
    const ended = await Promise.all(commands.map(async (command) => {
      const result = await runner.run({ command, memoryMb, timeoutSeconds }, { signal: stop.signal });
      process.stdout.write(values.json ? `${JSON.stringify({ command, ...result })}\n` : show(result, command));
      return result.state === "SUCCEEDED";
    }));
    return ended.every(Boolean) ? 0 : 1;
  } finally {
    await Promise.all(members.map((member) => member.leave({ instances: "stop" })));
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`job-runner: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
