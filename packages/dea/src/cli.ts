#!/usr/bin/env node
import { parseArgs } from "node:util";
import { readConfigFile } from "./cli/config-file.ts";
import { doctor } from "./cli/doctor.ts";
import { execFlags, execIn } from "./cli/exec.ts";
import { help } from "./cli/help.ts";
import { runDroplet, runFlags } from "./cli/run.ts";
import { serve } from "./cli/serve.ts";
import { serveFlags, serveOptions } from "./cli/serve-options.ts";
import { UsageError } from "./cli/usage.ts";
import { textOf } from "./errors.ts";

async function main(argv: string[]): Promise<number> {
  const [verb, ...rest] = argv;
  if (verb === undefined || verb === "help" || argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(help);
    return verb === undefined ? 2 : 0;
  }
  if (verb.startsWith("-")) {
    const { values } = parseArgs({ args: argv, options: serveFlags });
    const { settings, ignored } = values.config === undefined ? { settings: {}, ignored: [] } : await readConfigFile(values.config);
    return await serve(serveOptions(values, settings, process.env), ignored);
  }
  switch (verb) {
    case "run": {
      const { values, positionals } = parseArgs({ args: rest, allowPositionals: true, options: runFlags });
      if (positionals.length !== 1) throw new UsageError("give one droplet: opencf-dea run DROPLET");
      return await runDroplet(positionals[0] ?? "", values);
    }
    case "doctor": {
      const { values } = parseArgs({ args: rest, options: { json: { type: "boolean" } } });
      return await doctor(values.json ?? false);
    }
    case "exec": {
      const { values, positionals: [instance, ...words] } = parseArgs({ args: rest, allowPositionals: true, options: execFlags });
      if (instance === undefined) throw new UsageError("give an instance: opencf-dea exec --data-dir FOLDER INSTANCE -- COMMAND");
      return await execIn(instance, words, values);
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
