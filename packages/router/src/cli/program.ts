import { createBus, natsTransport, type Bus } from "@opencf/bus";
import { publishActiveApps } from "../bus/active-apps.ts";
import { logToApps } from "../bus/app-log.ts";
import { routesFromBus } from "../bus-link.ts";
import { logLevels } from "../config/draft.ts";
import { RouterError } from "../errors.ts";
import { logToFile } from "../log/file.ts";
import { logToSocket } from "../log/socket.ts";
import type { LogTarget } from "../log/target.ts";
import type { AccessLogOutput } from "../log/access-log.ts";
import type { Logger } from "../ports.ts";
import { createRouter, type Router } from "../router.ts";
import { routesFromFile } from "../routes-file.ts";
import { savedRoutes } from "../saved-routes.ts";
import { readArguments, Usage, type Arguments } from "./arguments.ts";
import { help } from "./help.ts";
import { keyLines, listing } from "./listing.ts";
import { makePlan, type Plan } from "./plan.ts";
import { changedKeys } from "./restart.ts";
import { tellFleet } from "./fleet/answer.ts";
import { sayLine } from "./say.ts";
import { runWorkers } from "./workers.ts";
import type { World } from "./world.ts";

/** Of the bus in one turn of the event loop: some 250 registrations; and the rest behind such a turn, in which they are put into the table between requests. */
const reading = { turnBytes: 65_536, turnRestMs: 10 };

async function run(plan: Plan, { json }: Arguments, world: World): Promise<void> {
  const say = (event: string, data: object, text: string): void => void world.stdout.write(json ? `${JSON.stringify({ event, ...data })}\n` : `${text}\n`);
  const who = world.worker ? `worker ${world.worker}: ` : "";
  const log = loggerOf(plan.logLevel, world);
  const changed = plan.config === undefined ? undefined : await changedKeys(plan.config);
  const files = plan.routes.map((path) => routesFromFile(path, path === plan.config && changed !== undefined ? {
    onRead: (text) => {
      const keys = changed(text);
      if (keys.length > 0) log.warn("router.config.restart", { keys, why: "only routes are taken while the router runs" });
    },
  } : {}));
  const bus: Bus | undefined = plan.nats === undefined ? undefined : await createBus({ transport: natsTransport({ ...reading, ...plan.nats }), log });
  const targets: LogTarget[] = [
    ...(plan.accessLog === undefined || plan.accessLog === "-" ? [] : [logToFile(plan.accessLog, { log })]),
    ...(plan.syslog === undefined ? [] : [logToSocket({ ...plan.syslog, log })]),
  ];
  const appLog = bus === undefined || !plan.appLogs ? [] : [logToApps(bus, { index: plan.router.index ?? 0, format: plan.router.accessLogFormat ?? {} })];
  const outputs: AccessLogOutput[] = [...targets, ...appLog, ...(plan.accessLog === "-" ? [world.stdout] : [])];
  const held: Disposable[] = [];
  let router: Router | undefined;
  let hurried = false;
  let stopAsked = false;
  try {
    const sources = [...(plan.saved === undefined ? [] : [savedRoutes(plan.saved)]), ...files, ...(bus ? [routesFromBus(bus, plan.bus)] : [])];
    router = createRouter({ ...plan.router, sources, log, ...(outputs.length > 0 ? { accessLog: outputs } : {}) });
    if (world.fleet !== undefined) tellFleet(world.fleet.channel, router.view);
    if (bus !== undefined && plan.activeAppsMs > 0) held.push(publishActiveApps(bus, router, { everyMs: plan.activeAppsMs }));
    if (json) {
      router.on("request", ({ header: _, ...record }) => say("request", record, ""));
      router.on("connection", ({ endpoint, ...record }) => say("connection", { ...record, endpoint: endpoint?.address }, ""));
    }
    const stopped = untilSignal(router, plan, world, () => { stopAsked = true; }).then((how) => { hurried = how === "hurried"; });
    world.onSignal("SIGHUP", () => {
      for (const target of targets) target.reopen?.();
      for (const file of files) void file.reload().catch((error: Error) => log.error("router.reload.failed", { error: error.message }));
    });
    const waitMs = plan.router.startDelayMs ?? 0;
    // Otherwise nothing is heard of it until then.
    if (waitMs > 0 && sources.length > 0) say("gathering", { startDelayMs: waitMs }, `${who}gathering routes for ${waitMs / 1_000} s before it listens`);
    const address = await router.listen().catch((error: unknown) => {
      if (stopAsked) return undefined;
      throw error;
    });
    if (address === undefined) return;
    const { statusAddress: status = world.fleet?.status, tlsAddress: tls, tcpPorts } = router;
    say("listening", {
      ...(world.worker ? { worker: world.worker, pid: process.pid } : {}), ...address, ...(tls ? { tls } : {}), ...(tcpPorts.length > 0 ? { tcpPorts } : {}), ...(status ? { status } : {}), routes: router.table.routeCount,
    }, `${who}listening on ${tls?.port === address.port ? "https" : "http"}://${address.host}:${address.port}${tls && tls.port !== address.port ? ` and https://${tls.host}:${tls.port}` : ""}`
      + ` with ${router.table.routeCount} routes${tcpPorts.length > 0 ? `, TCP on ${tcpPorts.join(", ")}` : ""}${status ? `, status on http://${status.host}:${status.port}` : ""}`);
    await stopped;
    say("stopped", {}, `${who}stopped`);
  } finally {
    if (!hurried) {
      await router?.[Symbol.asyncDispose]();
      for (const one of held) one[Symbol.dispose]();
      for (const one of appLog) await one[Symbol.asyncDispose]();
      await bus?.[Symbol.asyncDispose]();
    }
    for (const target of targets) await target[Symbol.asyncDispose]();
  }
}

/** Messages of a level and above, one per line, to standard error. */
function loggerOf(level: Plan["logLevel"], world: World): Logger {
  const from = logLevels.indexOf(level);
  const at = (rank: number) => (event: string, data: object = {}): void => {
    if (rank >= from) sayLine(world, event, data);
  };
  return { ...(from === 0 ? { debug: at(0) } : {}), info: at(1), warn: at(2), error: at(3) };
}

/** The first signal drains (or stops, where SIGTERM and SIGINT mean that), a second SIGTERM or SIGINT does not wait. */
function untilSignal(router: Router, { drainWaitMs: waitMs, onTerm }: Pick<Plan, "drainWaitMs" | "onTerm">, world: World, asked: () => void): Promise<"drained" | "hurried"> {
  return new Promise((resolve, reject) => {
    let draining = false;
    for (const signal of ["SIGTERM", "SIGINT", "SIGUSR1"] as const) {
      world.onSignal(signal, () => {
        if (draining && signal !== "SIGUSR1") return resolve("hurried");
        draining = true;
        asked();
        router.drain(onTerm === "stop" && signal !== "SIGUSR1" ? { timeoutMs: 0 } : { waitMs }).then(() => resolve("drained"), reject);
      });
    }
  });
}

/** What is not done as the file has it is told before anything is done. */
function tellReport({ report }: Plan, world: World): void {
  for (const { key, state, why } of report) if (state !== "honoured") sayLine(world, "router.config.key", { key, state, why });
}

/** Runs the program to its end. @returns its exit code */
export async function runProgram(argv: string[], world: World): Promise<number> {
  try {
    const given = readArguments(argv);
    if (given === "help") world.stdout.write(help);
    else if (given === "keys" || given === "keys-json") world.stdout.write(listing(keyLines(), given === "keys-json"));
    else {
      const plan = await makePlan(given, world);
      if (given.checkConfig) {
        world.stdout.write(listing(plan.report, given.json));
        return 0;
      }
      if (!world.worker) tellReport(plan, world);
      if (given.workers > 1 && !world.worker) return await runWorkers(given.workers, plan.status, world);
      await run(plan, given, world);
    }
    return 0;
  } catch (error) {
    world.stderr.write(`opencf-router: ${error instanceof Error ? error.message : String(error)}\n`);
    return error instanceof Usage || (error instanceof RouterError && (error.code === "ROUTER_BAD_OPTION" || error.code === "ROUTER_BAD_CONFIG")) ? 2 : 1;
  }
}
