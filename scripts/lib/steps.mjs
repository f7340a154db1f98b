import { spawn } from "node:child_process";
import { once } from "node:events";

/** @typedef {{ ok: boolean, output: string, seconds: number }} Outcome */

/** Runs a program to its end. Its output is kept, or passed through when `live`.
 * @param {string} program @param {string[]} args
 * @param {{ cwd: string, env?: NodeJS.ProcessEnv, live?: boolean, limitMs?: number }} options @returns {Promise<Outcome>} */
export async function runStep(program, args, { cwd, env = process.env, live = false, limitMs = 600_000 }) {
  const began = Date.now();
  const child = spawn(program, args, { cwd, env, detached: true, stdio: ["ignore", live ? "inherit" : "pipe", live ? "inherit" : "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", (text) => { output = (output + text).slice(-200_000); });
  // A step is a process group of its own: what overruns its time goes with everything it started.
  const stop = (/** @type {NodeJS.Signals} */ signal) => { try { process.kill(-(child.pid ?? 0), signal); } catch {} };
  const limit = setTimeout(() => {
    const why = `\n${program.split("/").pop()} stopped: not at its end after ${limitMs / 1000} s\n`;
    if (live) console.log(why);
    output += why;
    stop("SIGKILL");
  }, limitMs);
  const pass = () => { stop("SIGTERM"); process.exit(130); };
  process.once("SIGINT", pass).once("SIGTERM", pass);
  try {
    const [code] = await Promise.race([once(child, "close"), once(child, "error").then(([error]) => { output += String(error); return [1]; })]);
    return { ok: code === 0, output, seconds: (Date.now() - began) / 1000 };
  } finally {
    clearTimeout(limit);
    process.off("SIGINT", pass).off("SIGTERM", pass);
  }
}
