// The processes of a bench: each part in a process of its own, all of them ended with it, however it ends.
import { fork, spawn, spawnSync } from "node:child_process";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, connect } from "node:net";
import { availableParallelism, setPriority, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const cores = availableParallelism();
/** What is measured has the first core for itself; all that makes the measurement shares the rest. */
const core = { measured: "0", rest: cores > 2 ? `1-${cores - 1}` : "1" };

/** @param pin whether the measured process gets a core for itself, where the system has `taskset` and two cores. */
export async function createParts({ pin = true } = {}) {
  const pinned = pin && cores > 1 && spawnSync("taskset", ["-cp", core.rest, String(process.pid)]).status === 0;
  const folder = await mkdtemp(join(tmpdir(), "opencf-bench-"));
  const running = new Set();

  function take(child, { measured, name }) {
    if (pinned && measured) spawnSync("taskset", ["-acp", core.measured, String(child.pid)]);
    if (measured) prefer(child.pid);
    const gone = new Promise((resolve) => { child.once("exit", resolve); child.once("error", resolve); });
    const part = {
      pid: child.pid,
      get ended() { return child.exitCode !== null || child.signalCode !== null; },
      async stop() {
        running.delete(part);
        if (part.ended || child.pid === undefined) return;
        child.kill();
        const hard = setTimeout(() => child.kill("SIGKILL"), 2_000);
        await gone;
        clearTimeout(hard);
      },
      /** Sends it a message and gives its answer; a part that answers `{ error }` or ends instead fails the call. */
      ask(message) {
        return new Promise((resolve, reject) => {
          const left = (code) => { child.off("message", answered); reject(new Error(`${name} ended with ${code}`)); };
          const answered = (answer) => { child.off("exit", left); if (answer.error === undefined) resolve(answer); else reject(new Error(`${name}: ${answer.error}`)); };
          child.once("message", answered);
          child.once("exit", left);
          if (message !== undefined) child.send(message);
        });
      },
    };
    running.add(part);
    return part;
  }

  async function end() {
    await Promise.all([...running].map((part) => part.stop()));
    await rm(folder, { recursive: true, force: true });
  }
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void end().finally(() => process.exit(1)));

  return {
    folder, pinned, end,
    /** A file of the bench as a process; its first message is what it has to say once it is ready. */
    async node(url, { args = {}, measured = false, nodeArgs = [] } = {}) {
      const name = fileURLToPath(url).split("/").pop();
      const part = take(fork(new URL(url), [JSON.stringify(args)], { execArgv: nodeArgs, detached: measured }), { measured, name });
      part.hello = await part.ask();
      return part;
    },
    /** A program of somebody else's; ready when its port can be reached. */
    async program(command, args, { port, measured = false, output } = {}) {
      const log = output ?? join(folder, `${command.split("/").pop()}-${port}.out`);
      const to = openSync(log, "a");
      const part = take(spawn(command, args, { stdio: ["ignore", to, to], detached: measured }), { measured, name: command });
      closeSync(to);
      for (let tries = 0; !(await reachable(port)); tries += 1) {
        if (part.ended || tries > 400) throw new Error(`${command} did not start: ${(await readFile(log, "utf8").catch(() => "")).slice(0, 2_000)}`);
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
      // Threads that came in the meantime.
      if (pinned && measured) spawnSync("taskset", ["-acp", core.measured, String(part.pid)]);
      return part;
    },
  };
}

/**
 * Before whatever else the machine has to do on that core, where it allows that: pauses of somebody else's making say nothing of a proxy.
 * Linux weighs sessions before it weighs processes (autogroup), so each of the measured has a session of its own.
 */
function prefer(pid) {
  try { setPriority(pid, -15); } catch { /* as it is */ }
  try { writeFileSync(`/proc/${pid}/autogroup`, "-15"); } catch { /* as it is */ }
}

export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Whether a program is to be had under this name or path. */
export const has = (command, flag = "-v") => spawnSync(command, [flag], { stdio: "ignore" }).error === undefined;

function reachable(port) {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("connect", () => { socket.destroy(); resolve(true); });
    socket.on("error", () => resolve(false));
  });
}
