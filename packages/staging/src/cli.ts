#!/usr/bin/env node
import { parseArgs } from "node:util";
import { systemBuildpacks } from "./buildpack/system.ts";
import { StagingError, toStagingError, toWire } from "./errors.ts";
import { recoverStaging } from "./script/work-folder.ts";
import { defaultStack, defaultWorkDir, type Droplet, stage } from "./stage.ts";

const help = `opencf-stage - turn an app into a droplet, as a Cloud Foundry would

Usage
  opencf-stage DIR|ZIP --out FILE.tgz [options]
  opencf-stage buildpacks [--json]

Options
  --out FILE              where the droplet goes
  -b, --buildpack NAME    name, URL (#branch, #tag or #commit), folder or zip; repeat for several,
                          the last one decides the start command; without: detected
  --env KEY=VALUE         a variable of the app; repeat
  --stack NAME            value of CF_STACK (default ${defaultStack})
  --cache DIR             keep the build cache here between builds
  --timeout SECONDS       limit for everything (default 900)
  --command TEXT          the app's own start command: none from the buildpack is needed then
  --work-dir DIR          folder for temporary work
  --json                  the result, or the error, as one line of JSON on standard output
  --help                  this text

The log goes to standard error, the result to standard output.
Exit status: 0 staged, 1 did not work, 2 asked wrongly.

Examples
  opencf-stage ./shop --out shop.tgz
  opencf-stage ./shop --out shop.tgz -b nodejs --env NODE_ENV=production --cache .cache
  opencf-stage ./shop --out shop.tgz -b https://github.com/acme/my-buildpack#v2 -b nodejs
  opencf-stage buildpacks
`;

class Misuse extends Error {}

function readArguments(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        out: { type: "string" },
        buildpack: { type: "string", short: "b", multiple: true, default: [] },
        env: { type: "string", multiple: true, default: [] },
        stack: { type: "string" },
        cache: { type: "string" },
        timeout: { type: "string" },
        command: { type: "string" },
        "work-dir": { type: "string" },
        json: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    throw new Misuse((error as Error).message);
  }
}

async function main(argv: readonly string[]): Promise<void> {
  const { values, positionals } = readArguments(argv);
  if (values.help) return print(help.trimEnd());
  const [app, ...rest] = positionals;
  if (app === undefined) throw new Misuse("say which app: a folder or a zip");
  if (rest.length > 0) throw new Misuse(`one app at a time; what is ${JSON.stringify(rest[0])}?`);
  if (app === "buildpacks") return listBuildpacks(values.json);
  if (values.out === undefined) throw new Misuse("say where the droplet goes: --out FILE.tgz");
  const seconds = values.timeout === undefined ? 900 : Number(values.timeout);
  if (!Number.isFinite(seconds) || seconds <= 0 || seconds > 2_000_000) throw new Misuse(`--timeout takes seconds, not ${JSON.stringify(values.timeout)}`);

  const stop = new AbortController();
  // The second time the signal has its usual effect.
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stop.abort(new StagingError("STAGING_CANCELLED", `ended by ${name}`)));
  const workDir = values["work-dir"] ?? defaultWorkDir();
  await recoverStaging(workDir);
  const droplet = await stage(
    {
      app, out: values.out, buildpacks: values.buildpack, env: readEnv(values.env),
      ...(values.stack !== undefined && { stack: values.stack }),
      ...(values.cache !== undefined && { cache: values.cache }),
      ...(values.command !== undefined && { command: values.command }),
    },
    { onLine: ({ text }) => process.stderr.write(`${text}\n`), signal: stop.signal, timeoutMs: seconds * 1_000, workDir },
  );
  print(values.json ? JSON.stringify(droplet) : summary(droplet));
}

function readEnv(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(pairs.map((pair) => {
    const at = pair.indexOf("=");
    if (at < 1) throw new Misuse(`--env takes KEY=VALUE, not ${JSON.stringify(pair)}`);
    return [pair.slice(0, at), pair.slice(at + 1)];
  }));
}

const summary = ({ path, digest, sizeBytes, processTypes }: Droplet): string =>
  [`droplet  ${path}`, `sha256   ${digest}`, `size     ${sizeBytes} bytes`, ...Object.entries(processTypes).map(([type, command]) => `${type.padEnd(8)} ${command}`)].join("\n");

function listBuildpacks(json: boolean): void {
  const list = systemBuildpacks().map(({ name, aliases = [], version, path }) => ({ name, aliases, version, path }));
  print(json ? JSON.stringify(list) : list.map(({ name, aliases, version }) => `${name.padEnd(22)} ${version.padEnd(8)} also ${aliases.join(", ")}`).join("\n"));
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

main(process.argv.slice(2)).catch((error: unknown) => {
  if (error instanceof Misuse) {
    process.stderr.write(`opencf-stage: ${error.message}\nTry opencf-stage --help\n`);
    process.exitCode = 2;
    return;
  }
  const failure = toStagingError(error);
  if (process.argv.includes("--json")) print(JSON.stringify({ error: toWire(failure) }));
  process.stderr.write(`${failure.id}: ${failure.message} (${failure.code})\n`);
  process.exitCode = failure.code === "STAGING_OPTIONS_INVALID" ? 2 : 1;
});
