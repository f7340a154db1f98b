import { spawn } from "node:child_process";
import { delimiter, join } from "node:path";
import { DeaError, textOf } from "../errors.ts";
import { isExecutable } from "../executable.ts";
import { helperMark } from "./orphan-helpers.ts";

/** Most of a program's output that is kept. */
const maxOutputBytes = 1024 ** 2;

/** Where programs of administrators are, also for a user whose PATH does not say so. */
export const searchPath = [...(process.env["PATH"] ?? "/usr/bin:/bin").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];

/** Path of a program, or undefined. */
export function findProgram(name: string, path: readonly string[] = searchPath): string | undefined {
  return path.map((dir) => join(dir, name)).find(isExecutable);
}

export interface RunOptions {
  /** What it reads. Default nothing. */
  input?: string;
  /** Default 30 000 ms, then it is killed. */
  timeoutMs?: number;
}

/** Runs a program of the host to its end and answers what it printed. Throws DEA_CONTAINER with its last words. */
export function run(program: string, args: readonly string[], { input, timeoutMs = 30_000 }: RunOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void => reject(new DeaError("DEA_CONTAINER", `${program} ${args.slice(0, 4).join(" ")}: ${why}`, { cause }));
    const child = spawn(program, args, {
      stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      env: { PATH: searchPath.join(delimiter), LC_ALL: "C", ...helperMark() },
    });
    const output = { out: "", err: "" };
    child.stdout?.setEncoding("utf8").on("data", (text: string) => output.out.length < maxOutputBytes && (output.out += text));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (output.err = (output.err + text).slice(-2_000)));
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    child.once("error", (error) => fail(textOf(error), error));
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      if (code === 0) resolve(output.out);
      else fail(`${signal === "SIGKILL" ? `no end within ${timeoutMs} ms` : `status ${code ?? signal}`}: ${output.err.trim()}`);
    });
  });
}

/** What a program answers, or undefined when it does not. */
export const says = async (program: string, args: readonly string[]): Promise<string | undefined> => run(program, args, { timeoutMs: 10_000 }).catch(() => undefined);
