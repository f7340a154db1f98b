import { readdir } from "node:fs/promises";
import type { ParseArgsConfig } from "node:util";
import { DeaError } from "../errors.ts";
import { exitCodeOf } from "../instance/exit.ts";
import { runOverSocket } from "../reach/exec-client.ts";
import { controlSocketName, shortSocketPath } from "../reach/control-server.ts";
import { UsageError } from "./usage.ts";

export const execFlags = {
  "data-dir": { type: "string" },
  tty: { type: "boolean", short: "t" },
  user: { type: "string" },
} as const satisfies ParseArgsConfig["options"];

export interface ExecValues {
  "data-dir"?: string;
  tty?: boolean;
  user?: string;
}

/** Ends a terminal's special treatment when the block ends, whatever happens in it. */
function rawInput(isWanted: boolean): Disposable {
  const { stdin } = process;
  const raw = isWanted && stdin.isTTY;
  if (raw) stdin.setRawMode(true);
  return { [Symbol.dispose]: () => void (raw && stdin.setRawMode(false)) };
}

/**
 * Runs a command in an instance of the executor that uses this folder, and is it: input, output, signals, the terminal's
 * size and the exit code are its own. Without a command it is a shell.
 */
export async function execIn(instance: string, words: readonly string[], values: ExecValues): Promise<number> {
  const { "data-dir": dataDir, user } = values;
  if (dataDir === undefined) throw new UsageError("exec needs --data-dir FOLDER: the folder of the executor that runs the instance");
  if (user !== undefined && user !== "vcap" && user !== "root") throw new UsageError(`--user must be vcap or root, not ${JSON.stringify(user)}`);
  if (!/^[0-9a-f]{32}$/.test(instance)) throw new UsageError(`not an instance: ${JSON.stringify(instance)}; it is 32 hex digits`);
  if (!(await readdir(dataDir)).includes(controlSocketName)) throw new DeaError("DEA_CONTAINER", `no executor that takes commands uses ${dataDir}`);
  const wantsTerminal = values.tty ?? (words.length === 0 && process.stdin.isTTY && process.stdout.isTTY);
  const params = new URLSearchParams(user === undefined ? {} : { user });
  if (words.length > 0) params.set("argv", JSON.stringify(words));
  if (wantsTerminal) {
    params.set("tty", "1");
    params.set("columns", String(process.stdout.columns || 80));
    params.set("rows", String(process.stdout.rows || 24));
  }
  const { path, folder } = await shortSocketPath(dataDir);
  const remote = await runOverSocket({
    url: `ws+unix:${path}:/v1/instances/${instance}/exec?${params.toString()}`,
    onOutput: (stream, bytes) => void (stream === "stderr" ? process.stderr : process.stdout).write(bytes),
  }).finally(() => folder.close());

  using _raw = rawInput(wantsTerminal);
  const { stdin, stdout } = process;
  stdin.on("data", (piece: Buffer) => {
    remote.write(piece);
    if (!remote.isFull) return;
    stdin.pause();
    const look = setInterval(() => {
      if (remote.isFull) return;
      clearInterval(look);
      stdin.resume();
    }, 20);
  });
  stdin.on("end", () => remote.end());
  const resize = (): void => remote.resize({ columns: stdout.columns || 80, rows: stdout.rows || 24 });
  stdout.on("resize", resize);
  const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;
  const pass = (signal: NodeJS.Signals): void => remote.kill(signal);
  for (const signal of signals) process.on(signal, pass);
  try {
    return exitCodeOf(await remote.exited);
  } finally {
    for (const signal of signals) process.off(signal, pass);
    stdout.off("resize", resize);
    stdin.pause();
    // A file has nothing to let go of.
    (stdin as { unref?: () => void }).unref?.();
  }
}
