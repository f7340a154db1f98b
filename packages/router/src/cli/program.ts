import { createWriteStream } from "node:fs";
import { parseArgs } from "node:util";
import { createBus, natsTransport, type Bus } from "@opencf/bus";
import { routesFromBus } from "../bus-link.ts";
import { RouterError } from "../errors.ts";
import type { AccessLogSink } from "../proxy/access-log.ts";
import { createRouter, type Router } from "../router.ts";
import { routesFromFile, type FileSource } from "../routes-file.ts";
import type { RouteSource } from "../source.ts";
import { runWorkers } from "./workers.ts";
import type { World } from "./world.ts";

const help = `opencf-router: routes HTTP and WebSocket requests by host and path

usage: opencf-router --routes FILE | --nats URL[,URL…] [options]

  --routes FILE       routes from a YAML file; read again on SIGHUP
  --nats URL,URL      routes from router.register messages on a NATS cluster
  --port PORT         traffic (default 8080, 0 = any free one)
  --host ADDRESS      interface for traffic (default 127.0.0.1; 0.0.0.0 = all)
  --status-port PORT  /health, /healthz, /varz and /routes on 127.0.0.1 (default off)
  --status-user NAME  ask for credentials on /varz and /routes; the password is taken from ROUTER_STATUS_PASSWORD
  --workers N         processes that share the port and its load (default 1); with --status-port each has its own, counting up
  --access-log FILE   one line per request; - is standard output (default off)
  --nats-timeout MS   for the first connection to NATS (default 20000)
  --start-delay MS    let routes come in before the port opens (default 5000 with --nats)
  --drain-wait MS     on SIGTERM, SIGINT or SIGUSR1 go on accepting for so long, with /health at 503 (default 0)
  --drain-timeout MS  then let requests finish for at most so long (default 10000)
  --json              write events as JSON lines: listening, requests, stopped
  --help              this text

examples
  opencf-router --routes routes.yml --port 8080
  opencf-router --nats nats://10.0.0.2:4222,nats://10.0.0.3:4222 --host 0.0.0.0 --port 80 --status-port 8082
  curl -H 'Host: shop.example.com' http://127.0.0.1:8080/

routes.yml
  routes:
    shop.example.com: [127.0.0.1:3001, 127.0.0.1:3002]
    shop.example.com/admin: 127.0.0.1:3003
    "*.example.com": 127.0.0.1:3004

exit codes: 0 stopped after a drain, 1 it did not work, 2 asked wrongly
`;

class Usage extends Error {}

interface Arguments {
  readonly routes: string | undefined;
  readonly nats: string[];
  readonly natsTimeoutMs: number;
  readonly port: number;
  readonly host: string;
  readonly statusPort: number | undefined;
  readonly statusUser: string | undefined;
  readonly accessLog: string | undefined;
  readonly startDelayMs: number;
  readonly drainWaitMs: number;
  readonly drainTimeoutMs: number;
  readonly workers: number;
  readonly json: boolean;
}

function readArguments(argv: string[]): Arguments | "help" {
  const text = { type: "string" } as const;
  let values;
  try {
    ({ values } = parseArgs({ args: argv, options: {
      routes: text, nats: text, port: text, host: text, "status-port": text, "status-user": text, "access-log": text,
      "start-delay": text, "drain-wait": text, "drain-timeout": text, workers: text, "nats-timeout": text, json: { type: "boolean" }, help: { type: "boolean", short: "h" },
    } }));
  } catch (cause) {
    throw new Usage((cause as Error).message);
  }
  if (values.help) return "help";
  const number = (name: "port" | "status-port" | "start-delay" | "drain-wait" | "drain-timeout" | "workers" | "nats-timeout", most: number): number | undefined => {
    const given = values[name];
    if (given === undefined) return undefined;
    if (!/^\d+$/.test(given) || Number(given) > most) throw new Usage(`--${name} ${given}: expected a number from 0 to ${most}`);
    return Number(given);
  };
  const nats = (values.nats ?? "").split(",").map((url) => url.trim()).filter((url) => url !== "");
  if (values.routes === undefined && nats.length === 0) throw new Usage("give --routes FILE or --nats URL (see --help)");
  return {
    routes: values.routes, nats, host: values.host ?? "127.0.0.1", json: values.json ?? false,
    port: number("port", 65_535) ?? 8080, statusPort: number("status-port", 65_535), statusUser: values["status-user"], accessLog: values["access-log"],
    natsTimeoutMs: number("nats-timeout", 600_000) ?? 20_000,
    workers: Math.max(1, number("workers", 256) ?? 1),
    startDelayMs: number("start-delay", 600_000) ?? (nats.length > 0 ? 5_000 : 0),
    drainWaitMs: number("drain-wait", 3_600_000) ?? 0, drainTimeoutMs: number("drain-timeout", 86_400_000) ?? 10_000,
  };
}

async function run(given: Arguments, world: World): Promise<void> {
  const say = (event: string, data: object, text: string): void => void world.stdout.write(given.json ? `${JSON.stringify({ event, ...data })}\n` : `${text}\n`);
  const complain = (event: string, data: object = {}): void => void world.stderr.write(`${event} ${JSON.stringify(data)}\n`);
  const log = { info: () => undefined, warn: complain, error: complain };
  const file: FileSource | undefined = given.routes === undefined ? undefined : routesFromFile(given.routes);
  const bus: Bus | undefined = given.nats.length === 0 ? undefined : await createBus({ transport: natsTransport({ servers: given.nats, connectTimeoutMs: given.natsTimeoutMs }), log });
  const sources: RouteSource[] = [...(file ? [file] : []), ...(bus ? [routesFromBus(bus)] : [])];
  const logFile = given.accessLog === undefined || given.accessLog === "-" ? undefined : createWriteStream(given.accessLog, { flags: "a" });
  logFile?.on("error", (error) => complain("router.access-log.failed", { error: error.message }));
  const sink: AccessLogSink | undefined = given.accessLog === "-" ? world.stdout : logFile;
  const statusPort = given.statusPort === undefined || given.statusPort === 0 ? given.statusPort : given.statusPort + Math.max(0, (world.worker ?? 0) - 1);
  let router: Router | undefined;
  let hurried = false;
  let stopAsked = false;
  try {
    router = createRouter({
      port: given.port, host: given.host, sources, log, startDelayMs: given.startDelayMs, drainTimeoutMs: given.drainTimeoutMs,
      ...(sink ? { accessLog: sink } : {}),
      ...(statusPort === undefined ? {} : { status: { port: statusPort, user: given.statusUser ?? "", password: world.env["ROUTER_STATUS_PASSWORD"] ?? "" } }),
    });
    if (given.json) router.on("request", ({ header: _, ...record }) => say("request", record, ""));
    const stopped = untilSignal(router, given.drainWaitMs, world, () => { stopAsked = true; }).then((how) => { hurried = how === "hurried"; });
    if (file) world.onSignal("SIGHUP", () => void file.reload().catch((error: Error) => log.error("router.reload.failed", { error: error.message })));
    const address = await router.listen().catch((error: unknown) => {
      if (stopAsked) return undefined;
      throw error;
    });
    if (address === undefined) return;
    const status = router.statusAddress;
    say("listening", { ...(world.worker ? { worker: world.worker, pid: process.pid } : {}), ...address, ...(status ? { status } : {}), routes: router.table.routeCount },
      `listening on http://${address.host}:${address.port} with ${router.table.routeCount} routes${status ? `, status on http://${status.host}:${status.port}` : ""}`);
    await stopped;
    say("stopped", {}, "stopped");
  } finally {
    if (!hurried) {
      await router?.[Symbol.asyncDispose]();
      await bus?.[Symbol.asyncDispose]();
    }
    if (logFile !== undefined && logFile.errored === null) await new Promise<void>((resolve) => logFile.end(resolve));
  }
}

/** The first signal drains, a second one does not wait. */
function untilSignal(router: Router, waitMs: number, world: World, asked: () => void): Promise<"drained" | "hurried"> {
  return new Promise((resolve, reject) => {
    let draining = false;
    for (const signal of ["SIGTERM", "SIGINT", "SIGUSR1"] as const) {
      world.onSignal(signal, () => {
        if (draining && signal !== "SIGUSR1") return resolve("hurried");
        draining = true;
        asked();
        router.drain({ waitMs }).then(() => resolve("drained"), reject);
      });
    }
  });
}

/** Runs the program to its end. @returns its exit code */
export async function runProgram(argv: string[], world: World): Promise<number> {
  try {
    const given = readArguments(argv);
    if (given === "help") world.stdout.write(help);
    else if (given.workers > 1 && !world.worker) return await runWorkers(given.workers, world);
    else await run(given, world);
    return 0;
  } catch (error) {
    world.stderr.write(`opencf-router: ${error instanceof Error ? error.message : String(error)}\n`);
    return error instanceof Usage || (error instanceof RouterError && error.code === "ROUTER_BAD_OPTION") ? 2 : 1;
  }
}
