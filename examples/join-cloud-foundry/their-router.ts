import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { delimiter, join } from "node:path";

/** The first of these programs that is on the search path, or where servers are kept. */
export function findProgram(...names: string[]): string | undefined {
  for (const name of names)
    for (const folder of [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"]) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not here.
      }
    }
  return undefined;
}

export interface Child extends AsyncDisposable {
  readonly program: string;
  output(): string;
}

/** Starts a program and waits until it listens. @throws Error when it ends before, or does not within 30 s */
export async function startChild(argv: readonly string[], port: number): Promise<Child> {
  const [program = "", ...args] = argv;
  const child: ChildProcess = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (text: Buffer) => (output = (output + text.toString()).slice(-20_000)));
  child.on("error", (error) => (output += error.message));
  const stop = async (): Promise<void> => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    const impatient = setTimeout(() => child.kill("SIGKILL"), 10_000);
    await gone;
    clearTimeout(impatient);
  };
  for (const deadline = Date.now() + 30_000; !(await listens(port)); await new Promise((next) => setTimeout(next, 50)))
    if (Date.now() > deadline || child.pid === undefined || child.exitCode !== null) {
      await stop();
      throw new Error(`${program} did not begin to listen on ${port}:\n${output}`);
    }
  return { program, output: () => output, [Symbol.asyncDispose]: stop };
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** A gorouter's configuration: the program of that name reads it, and so does `opencf-router -c`. */
export const gorouterYaml = ({ nats, port, statusPort }: { nats: URL; port: number; statusPort: number }): string => `
status: { port: ${statusPort}, user: status, pass: status }
nats: { hosts: [{ hostname: "${nats.hostname}", port: ${nats.port === "" ? 4222 : nats.port} }] }
port: ${port}
start_response_delay_interval: 1s
suspend_pruning_if_nats_unavailable: true
logging: { level: info }
`;

export interface RouterOptions {
  nats: string;
  port: number;
  statusPort: number;
  /** For its configuration. */
  dir: string;
  /** Program and arguments before `-c FILE`. Default: `gorouter` where it is on the search path, else `opencf-router`. */
  argv?: readonly string[];
}

/** Somebody else's router, a process of its own that knows of us only what it hears on NATS. */
export async function startTheirRouter({ nats, port, statusPort, dir, argv }: RouterOptions): Promise<Child> {
  const found = argv ?? [findProgram("gorouter", "opencf-router")].filter((path) => path !== undefined);
  if (found.length === 0) throw new Error("neither gorouter nor opencf-router is on the search path: npm run build, and start this with npm start");
  await mkdir(dir, { recursive: true });
  const file = join(dir, "gorouter.yml");
  await writeFile(file, gorouterYaml({ nats: new URL(nats), port, statusPort }));
  return startChild([...found, "-c", file], port);
}
