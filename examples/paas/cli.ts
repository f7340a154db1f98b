#!/usr/bin/env node
import { mkdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { adminPassword } from "./admin-password.ts";
import { type PaasConfig, readConfig, UsageError } from "./config.ts";
import { pushDemo } from "./demo.ts";
import { emptyDataDir } from "./fresh.ts";
import { createLogger } from "./logger.ts";
import { type Paas, startPaas } from "./main.ts";
import { adminUser } from "./platform.ts";
import { createProgress, type Progress, silentProgress } from "./progress.ts";

const beside = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Runs until it is told to stop. */
async function main(): Promise<void> {
  const config = readConfig(process.argv.slice(2), process.env);
  if (!config) return void process.stdout.write(readFileSync(beside("../usage.txt")));

  const stop = stopOnSignal();
  const progress = config.json ? silentProgress : createProgress(process.stdout);
  progress.note(`\nOpenCF, ${config.roles.length === 8 ? "a Cloud Foundry in one process" : config.roles.join(", ")}\n`);
  if (config.fresh) await progress.step("empty the data folder", () => emptyDataDir(config.dataDir));
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });

  const password = adminPassword(config.dataDir, config.adminPassword);
  const log = (part: string) => createLogger({ level: config.verbose ? "info" : "warn", json: config.json }, part);
  await using paas = await progress.step("start the platform", () =>
    startPaas({ config, adminPassword: password, databaseTemplate: beside("./template"), log }));
  if (paas.backend) progress.note(`  Apps run on the ${paas.backend.name} backend: ${paas.backend.why}`);
  if (!stop.aborted) await welcome(config, paas, { password, progress, signal: stop });
  if (!stop.aborted) await new Promise<void>((done) => stop.addEventListener("abort", () => done(), { once: true }));
  progress.note("\nStopping apps and parts …");
}

interface Greeting { password: string; progress: Progress; signal: AbortSignal }

/** Pushes the sample app and says what to try next. */
async function welcome(config: PaasConfig, paas: Paas, { password, progress, signal }: Greeting): Promise<void> {
  const { address, backend } = paas;
  const told = backend ? { backend: backend.name, backend_reason: backend.why } : {};
  if (!address || !config.roles.includes("controller")) {
    const url = address && urlOf(config, address.port);
    if (config.json) process.stdout.write(`${JSON.stringify({ roles: config.roles, api: url ?? null, app: null, user: null, password: null, ...told })}\n`);
    else progress.note(`\n  ${config.roles.join(", ")} ready${url ? ` at ${url}` : ""}. Ctrl-C stops.\n`);
    return;
  }
  const api = urlOf(config, address.port);
  let app: string | null = null;
  if (config.demo)
    try {
      app = (await pushDemo({ api, user: adminUser, password, appDir: beside("../../apps/hello"), name: "hello", progress, signal })).route;
    } catch (error) {
      if (signal.aborted) return;
      process.stderr.write(`\nThe sample app could not be pushed: ${words(error)}\nThe platform runs all the same.\n`);
    }
  if (config.json) return void process.stdout.write(`${JSON.stringify({ api, app, user: adminUser, password, ...told })}\n`);
  progress.note(readyText(config, { api, app, password, backend: backend?.name }));
}

interface Facts { api: string; app: string | null; password: string; backend: string | undefined }

function readyText(config: PaasConfig, { api, app, password, backend }: Facts): string {
  const port = new URL(api).port;
  return `
  ${app ? `App   ${app}\n        http://hello.${config.domain}${port ? `:${port}` : ""}/ where names below ${config.domain} resolve\n  ` : ""}API   ${api}
  User  ${adminUser}
  Password  ${password}

  Try next, with the cf command line:
    cf login -a ${api} -u ${adminUser} -p ${password} -o demo -s dev
    cf apps
    cf logs hello --recent
    cf scale hello -i 2
    cd your-app && cf push my-app

  ${backend === "linux" ? "Each app instance is a container of its own: it sees neither this machine's files nor other apps, and reaches only what lies outside."
    : "Apps are processes of your own user, not isolated from this machine: run only code that you trust."}
  Ctrl-C stops everything; the next start finds it again in ${config.dataDir}
`;
}

const urlOf = ({ host }: PaasConfig, port: number): string => {
  const name = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host.includes(":") ? `[${host}]` : host;
  return `http://${name}${port === 80 ? "" : `:${port}`}`;
};

/** The first signal ends in order, the second at once. */
function stopOnSignal(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(130);
      stop.abort(new Error(`received ${signal}`));
    });
  process.on("unhandledRejection", (reason) => void process.stderr.write(`opencf-paas: a part failed in the background: ${words(reason)}\n`));
  return stop.signal;
}

const words = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** What a person can do about failures that have a usual remedy. */
const remedies: Readonly<Record<string, string>> = {
  ENOSPC: "The disk is full: make room, or choose another folder with --data-dir.",
  EACCES: "Permission was refused: choose a folder of your own with --data-dir, or a port above 1023 with --port.",
  EROFS: "The file system is read-only: choose another folder with --data-dir.",
  ROUTER_PORT_TAKEN: "Choose another port with --port, or 0 for any free one.",
  FOLDER_LOCKED: "Or give this one its own folder with --data-dir.",
  BUS_CONNECT_FAILED: "Or leave out --nats to run everything in this process.",
};

try {
  await main();
  process.exit(0);
} catch (error) {
  const usage = error instanceof UsageError;
  const remedy = remedies[(error as { code?: string }).code ?? ""] ?? remedies[((error as { cause?: { code?: string } }).cause ?? {}).code ?? ""];
  process.stderr.write(`opencf-paas: ${words(error)}\n${usage ? "See npm start -- --help\n" : remedy ? `${remedy}\n` : ""}`);
  process.exit(usage ? 2 : 1);
}
