import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chown, mkdir, readFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { components, findProgram } from "../../scripts/lib/components.mjs";
import { freePort } from "./free-port.ts";
import { run } from "./run.ts";
import { until } from "./until.ts";

/** What to install for these programs, or nothing when all are here. With CI set a missing one is an error. */
export function missing(...programs: string[]): string | undefined {
  const absent = programs.filter((program) => !findProgram(program));
  if (absent.length === 0) return undefined;
  const hints = components.filter((component) => component.programs.some((program) => absent.includes(program))).map(({ install }) => install);
  const text = `${absent.join(", ")} not found: ${hints.join("; ")}`;
  if (/^(1|true)$/i.test(process.env["CI"] ?? "")) throw new Error(text);
  return text;
}

export interface Server extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
}

/** A real nats-server with JetStream, on a free port or the one asked for; with a configuration file and its variables where they are given. */
export async function startNats(folder: string, wanted?: number, { config, env = {} }: { config?: string; env?: Readonly<Record<string, string>> } = {}): Promise<Server> {
  const port = wanted ?? await freePort();
  const child = spawn(findProgram("nats-server") ?? "nats-server", [
    ...(config === undefined ? [] : ["-c", config]), "-a", "127.0.0.1", "-p", String(port), "-js", "-sd", join(folder, "jetstream"),
  ], { stdio: "ignore", env: { ...process.env, ...env } });
  await listening(port, "nats-server");
  return { url: `nats://127.0.0.1:${port}`, port, [Symbol.asyncDispose]: () => end(child, "SIGTERM") };
}

/** A real PostgreSQL server with one empty database, alone on a free port. PostgreSQL refuses to run as root:
 * then it runs as the user `postgres`, or as nobody. */
export async function startPostgres(folder: string): Promise<Server> {
  const port = await freePort();
  const data = join(folder, "postgres");
  await mkdir(data, { recursive: true, mode: 0o700 });
  const owner = process.getuid?.() === 0 ? await unprivileged() : undefined;
  if (owner) {
    await chown(data, owner.uid, owner.gid);
    await chown(folder, owner.uid, owner.gid);
  }
  const as = owner ? { uid: owner.uid, gid: owner.gid } : {};
  const cluster = join(data, "cluster");
  const made = await once(spawn(findProgram("initdb") ?? "initdb", ["-D", cluster, "-U", "opencf", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"], { ...as, cwd: data, stdio: "ignore" }), "exit");
  if (made[0] !== 0) throw new Error(`initdb ended with ${String(made[0])}`);
  const child = spawn(findProgram("postgres") ?? "postgres", ["-D", cluster, "-k", data, "-h", "127.0.0.1", "-p", String(port), "-c", "fsync=off", "-c", "max_connections=100"], { ...as, cwd: data, stdio: "ignore" });
  await listening(port, "postgres");
  return { url: `postgres://opencf@127.0.0.1:${port}/postgres`, port, [Symbol.asyncDispose]: () => end(child, "SIGINT") };
}

async function unprivileged(): Promise<{ uid: number; gid: number }> {
  const users = (await readFile("/etc/passwd", "utf8")).split("\n").map((line) => line.split(":"));
  const found = users.find(([name]) => name === "postgres") ?? users.find(([name]) => name === "nobody");
  if (!found) throw new Error("no user to run PostgreSQL as");
  return { uid: Number(found[2]), gid: Number(found[3]) };
}

async function listening(port: number, what: string): Promise<void> {
  await until(`${what} listens on ${port}`, () => new Promise<boolean>((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  }), { withinMs: 20_000, everyMs: 50 });
  if (what === "postgres") {
    const ready = findProgram("pg_isready");
    if (ready) await until("postgres accepts connections", async () => (await run(ready, ["-h", "127.0.0.1", "-p", String(port)])).code === 0);
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill(signal);
  const impatient = setTimeout(() => child.kill("SIGKILL"), 10_000);
  await gone;
  clearTimeout(impatient);
}
