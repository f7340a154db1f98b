#!/usr/bin/env node
import { parseArgs } from "node:util";
import { doctor } from "./cli/doctor.ts";
import { runDroplet } from "./cli/run.ts";
import { UsageError } from "./cli/usage.ts";
import { textOf } from "./errors.ts";

const help = `opencf-dea: runs droplets

  opencf-dea run DROPLET [options]    start it, show what it prints, stop it on Ctrl-C
  opencf-dea doctor [--json]          what this machine can isolate, and what not

A droplet is a .tgz (path or URL) with app/ in it and, usually, a staging_info.yml that names the start command.

Options of run
  -p, --port PORT           port on this machine (default: a free one, passed to the app as PORT)
      --host ADDRESS        address under which the app is reached (default 127.0.0.1)
      --command COMMAND     start command (default: the droplet's own)
      --memory SIZE         such as 128M or 2G (default 512M)
      --disk SIZE           (default 1G)
      --env NAME=VALUE      may be given several times
      --health TYPE         port, http:/path, process or none (default port)
      --timeout SECONDS     time until it must be healthy (default 60)
      --grace SECONDS       time between TERM and KILL (default 10)
      --sha256 DIGEST       what the droplet must hash to
      --data-dir FOLDER     keep the executor's state here (default: a temporary folder)
      --backend NAME        process (default), linux (containers; needs root), auto (linux where it works)
      --json                one JSON object per line instead of text

Examples
  opencf-dea run hello.tgz -p 8080 --memory 128M
  opencf-dea run https://example.com/shop.tgz --sha256 9f86d0... --env GREETING=hi --health http:/health
  opencf-dea run worker.tgz --health process --command 'node worker.js'
  opencf-dea doctor --json

Exit code: 0 it ended as it was told, 1 it did not work, 2 you asked wrongly.
`;

async function main(argv: string[]): Promise<number> {
  const [verb, ...rest] = argv;
  if (verb === undefined || verb === "help" || argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(help);
    return verb === undefined ? 2 : 0;
  }
  switch (verb) {
    case "run": {
      const { values, positionals } = parseArgs({
        args: rest,
        allowPositionals: true,
        options: {
          port: { type: "string", short: "p" },
          host: { type: "string" },
          command: { type: "string" },
          memory: { type: "string" },
          disk: { type: "string" },
          env: { type: "string", multiple: true },
          health: { type: "string" },
          timeout: { type: "string" },
          grace: { type: "string" },
          sha256: { type: "string" },
          "data-dir": { type: "string" },
          backend: { type: "string" },
          json: { type: "boolean" },
        },
      });
      if (positionals.length !== 1) throw new UsageError("give one droplet: opencf-dea run DROPLET");
      return await runDroplet(positionals[0] ?? "", values);
    }
    case "doctor": {
      const { values } = parseArgs({ args: rest, options: { json: { type: "boolean" } } });
      return await doctor(values.json ?? false);
    }
    default:
      throw new UsageError(`no such command: ${verb}`);
  }
}

main(process.argv.slice(2)).then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    const wrong = error instanceof UsageError || (error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS"));
    process.stderr.write(`opencf-dea: ${textOf(error)}\n${wrong ? "Try: opencf-dea --help\n" : ""}`);
    process.exitCode = wrong ? 2 : 1;
  },
);
