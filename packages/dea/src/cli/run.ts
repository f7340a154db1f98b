import { createDea } from "../dea.ts";
import { DeaError } from "../errors.ts";
import type { Instance } from "../instance/instance.ts";
import type { StartSpec } from "../instance/spec.ts";
import type { Logger } from "../ports.ts";
import { openBackend } from "./backend.ts";
import { parseBackend, parseBytes, parseHealth, parseHost, parsePairs, parsePort, parseSeconds } from "./usage.ts";

export interface RunValues {
  port?: string;
  host?: string;
  command?: string;
  memory?: string;
  disk?: string;
  env?: string[];
  health?: string;
  timeout?: string;
  grace?: string;
  sha256?: string;
  "data-dir"?: string;
  backend?: string;
  json?: boolean;
}

function specOf(droplet: string, values: RunValues): StartSpec {
  const source = /^https?:\/\//i.test(droplet) ? { url: droplet } : { path: droplet };
  return {
    droplet: values.sha256 === undefined ? source : { ...source, sha256: values.sha256 },
    env: parsePairs(values.env ?? []),
    healthCheck: {
      ...parseHealth(values.health ?? "port"),
      ...(values.timeout === undefined ? {} : { timeoutMs: parseSeconds(values.timeout, "timeout") }),
    },
    ...(values.port === undefined ? {} : { port: parsePort(values.port) }),
    ...(values.command === undefined ? {} : { command: values.command }),
    ...(values.memory === undefined ? {} : { memoryBytes: parseBytes(values.memory, "memory") }),
    ...(values.disk === undefined ? {} : { diskBytes: parseBytes(values.disk, "disk") }),
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
      log: { info: note, warn: note, error: note },
    };
  }
  const put = (text: string): void => void process.stderr.write(`opencf-dea: ${text}\n`);
  return {
    say: (_event, _data, text) => put(text),
    line: (stream, text) => {
      if (stream === "platform") put(text);
      else (stream === "stdout" ? process.stdout : process.stderr).write(`${text}\n`);
    },
    log: { info() {}, warn: (event, data) => put(`${event} ${JSON.stringify(data)}`), error: (event, data) => put(`${event} ${JSON.stringify(data)}`) },
  };
}

/** Runs one droplet until it ends or the user has enough of it. Answers the exit code. */
export async function runDroplet(droplet: string, values: RunValues): Promise<number> {
  const name = parseBackend(values.backend ?? "process");
  const spec = specOf(droplet, values);
  const host = values.host === undefined ? undefined : parseHost(values.host);
  const { say, line, log } = voice(values.json ?? false);
  const backend = await openBackend(name);
  for (const warning of backend.capabilities.warnings) say("warning", { warning }, `warning: ${warning}`);

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
    instance = await dea.start(spec);
    if (asked > 0) void instance.stop();
    const reading = (async () => {
      for await (const { stream, text, timestampNs } of instance.logs()) line(stream, text, timestampNs);
    })();
    try {
      await instance.ready;
      const { address } = instance;
      const facts = { instance: instance.id, ...address, memoryBytes: instance.spec.memoryBytes };
      say("running", facts, `running at http://${address.host}:${address.port}`);
    } catch (error) {
      if (!(error instanceof DeaError)) throw error;
    }
    const exit = await instance.exited;
    await reading;
    const { reason, description, status, uptimeMs } = exit;
    say("exited", { reason, description, status, uptimeMs }, `${description} (${reason})`);
    return reason === "stopped" || (reason === "exit:0" && spec.healthCheck?.type === "process") ? 0 : 1;
  } finally {
    for (const signal of signals) process.off(signal, stop);
  }
}
