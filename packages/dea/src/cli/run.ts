import { isolationEvent } from "../container/capabilities.ts";
import { createDea } from "../dea.ts";
import { DeaError } from "../errors.ts";
import type { Instance } from "../instance/instance.ts";
import type { StartSpec } from "../instance/spec.ts";
import type { Logger } from "../ports.ts";
import { isolationLine, openBackend } from "./backend.ts";
import { openControlSocket } from "../reach/control-server.ts";
import { endingText } from "./ending.ts";
import { parseBackend, parseBytes, parseHealth, parseHost, parseIsolate, parsePairs, parsePort, parseSeconds, parseStacks, UsageError } from "./usage.ts";

export const runFlags = {
  port: { type: "string", short: "p" },
  host: { type: "string" },
  command: { type: "string" },
  memory: { type: "string" },
  disk: { type: "string" },
  env: { type: "string", multiple: true },
  health: { type: "string" },
  timeout: { type: "string" },
  "check-timeout": { type: "string" },
  grace: { type: "string" },
  sha256: { type: "string" },
  stack: { type: "string" },
  "data-dir": { type: "string" },
  backend: { type: "string" },
  isolate: { type: "string" },
  json: { type: "boolean" },
} as const;

export type RunValues = { [Name in keyof typeof runFlags]?: (typeof runFlags)[Name] extends { type: "boolean" } ? boolean : (typeof runFlags)[Name] extends { multiple: true } ? string[] : string };

function stackOf(text: string): { name: string; root?: string } {
  const [stack, ...more] = parseStacks([text]);
  if (!stack || more.length > 0) throw new UsageError("--stack must be one name, or name=/folder");
  return stack;
}

function specOf(droplet: string, values: RunValues): StartSpec {
  const source = /^https?:\/\//i.test(droplet) ? { url: droplet } : { path: droplet };
  const timeout = values["check-timeout"] ?? values.timeout;
  return {
    droplet: values.sha256 === undefined ? source : { ...source, sha256: values.sha256 },
    env: parsePairs(values.env ?? []),
    healthCheck: {
      ...parseHealth(values.health ?? "port"),
      ...(timeout === undefined ? {} : { timeoutMs: parseSeconds(timeout, "check-timeout") }),
    },
    ...(values.port === undefined ? {} : { port: parsePort(values.port) }),
    ...(values.command === undefined ? {} : { command: values.command }),
    ...(values.memory === undefined ? {} : { memoryBytes: parseBytes(values.memory, "memory") }),
    ...(values.disk === undefined ? {} : { diskBytes: parseBytes(values.disk, "disk") }),
    ...(values.stack === undefined ? {} : { stack: stackOf(values.stack).name }),
    ...(values.grace === undefined ? {} : { graceMs: parseSeconds(values.grace, "grace") }),
  };
}

interface Voice {
  say(event: string, data: object, text: string): void;
  line(stream: string, text: string, timestampNs: bigint): void;
  log: Logger;
}

function voice(json: boolean): Voice {
  if (json) {
    const put = (object: object): void => void process.stdout.write(`${JSON.stringify(object)}\n`);
    const note = (event: string, data?: object): void => put({ event, ...data });
    return {
      say: (event, data) => put({ event, ...data }),
      line: (stream, text, timestampNs) => put({ event: "log", stream, text, timestampNs: String(timestampNs) }),
      log: { info: (event, data) => event !== isolationEvent && note(event, data), warn: (event, data) => event !== isolationEvent && note(event, data), error: note },
    };
  }
  const put = (text: string): void => void process.stderr.write(`opencf-dea: ${text}\n`);
  return {
    say: (_event, _data, text) => put(text),
    line: (stream, text) => {
      if (stream === "platform") put(text);
      else (stream === "stdout" ? process.stdout : process.stderr).write(`${text}\n`);
    },
    log: { info() {}, warn: (event, data) => event !== isolationEvent && put(`${event} ${JSON.stringify(data)}`), error: (event, data) => put(`${event} ${JSON.stringify(data)}`) },
  };
}

/** Runs one droplet until it ends or the user has enough of it. Answers the exit code. */
export async function runDroplet(droplet: string, values: RunValues): Promise<number> {
  const name = parseBackend(values.backend ?? "process");
  const spec = specOf(droplet, values);
  const host = values.host === undefined ? undefined : parseHost(values.host);
  const { say, line, log } = voice(values.json ?? false);
  const stack = values.stack === undefined ? undefined : stackOf(values.stack);
  const isolate = parseIsolate(values.isolate ?? "auto");
  const backend = await openBackend({ name, isolate, ...(stack?.root === undefined ? {} : { stacks: { [stack.name]: stack.root } }) });
  say(isolationEvent, { backend: backend.name, isolation: backend.capabilities.isolation, text: isolationLine(backend) }, isolationLine(backend));

  let asked = 0;
  let instance: Instance | undefined;
  const impatient = new AbortController();
  const stop = (signal: NodeJS.Signals): void => {
    asked += 1;
    if (asked > 1) impatient.abort();
    say("stopping", { signal }, asked > 1 ? "killing it" : "stopping it; once more to kill it");
    void instance?.stop({ signal: impatient.signal });
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, stop);
  try {
    await using dea = await createDea({
      backend,
      log,
      ...(host === undefined ? {} : { host }),
      ...(values["data-dir"] === undefined ? {} : { dataDir: values["data-dir"] }),
      onResume: "stop",
    });
    await using _control = values["data-dir"] === undefined ? undefined : await openControlSocket(dea, values["data-dir"], { log });
    instance = await dea.start(spec);
    if (asked > 0) void instance.stop();
    const reading = (async () => {
      for await (const { stream, text, timestampNs } of instance.logs()) line(stream, text, timestampNs);
    })();
    let port: number | undefined;
    try {
      await instance.ready;
      const { address } = instance;
      const facts = { instance: instance.id, ...address, memoryBytes: instance.spec.memoryBytes };
      const { type } = instance.spec.healthCheck;
      say("running", facts, type === "port" || type === "http" ? `running at http://${address.host}:${address.port}` : "running");
    } catch (error) {
      if (!(error instanceof DeaError)) throw error;
    }
    const exit = await instance.exited;
    try {
      port = instance.address.port;
    } catch {
      // It ended before it had one.
    }
    await reading;
    const { reason, kind, description, status, uptimeMs } = exit;
    const { memoryBytes, diskBytes, healthCheck } = instance.spec;
    const text = endingText({ exit, memoryBytes, diskBytes, port, checkTimeoutMs: healthCheck.timeoutMs, checkPath: healthCheck.path });
    say("exited", { reason, kind, description, status, uptimeMs, text }, text);
    return reason === "stopped" || (reason === "exit:0" && spec.healthCheck?.type === "process") ? 0 : 1;
  } finally {
    for (const signal of signals) process.off(signal, stop);
  }
}
