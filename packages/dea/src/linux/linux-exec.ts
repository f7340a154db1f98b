import { randomUUID } from "node:crypto";
import { readFile, readlink, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ContainerSpec, ExecProcess, ExecSpec } from "../container/container.ts";
import { startExecChild } from "../container/exec-child.ts";
import { exitStatusOf } from "../container/keeper.ts";
import { type Clock, elapsed, sleep } from "../ports.ts";
import { processesIn } from "./cgroup.ts";
import { ociProcess } from "./config.ts";
import type { Ground } from "./ground.ts";
import { containerPaths } from "./names.ts";
import { searchPath } from "./programs.ts";

/** Starts a process in a container that runs, by the runtime's `exec`. Throws DEA_CONTAINER. */
export async function startExec({ names, cgroups, runtime, clock }: Ground, spec: ContainerSpec, wanted: ExecSpec): Promise<ExecProcess> {
  const { bundle, cgroup } = containerPaths(names, spec.handle);
  const id = randomUUID();
  const file = join(bundle, `exec-${id}.json`);
  const pidFile = join(bundle, `exec-${id}.pid`);
  await writeFile(file, JSON.stringify(ociProcess({ ...wanted, fileDescriptors: spec.fileDescriptors })), { mode: 0o600 });
  const inside = async (): Promise<number | undefined> => {
    const pid = await readPid(pidFile, clock);
    return pid !== undefined && processesIn(cgroups, cgroup).includes(pid) ? pid : undefined;
  };
  /** Some versions of crun pass on the word that the size has changed, but not the size. */
  const innerTerminal = async (): Promise<string | undefined> => {
    const pid = await inside();
    const file = `/proc/${pid}/fd/0`;
    return pid !== undefined && /^\/dev\/pts\/\d+$/.test(await readlink(file).catch(() => "")) ? file : undefined;
  };
  const child = await startExecChild({
    id,
    argv: [...runtime.command, "--root", names.runtimeDir, "exec", "--process", file, "--pid-file", pidFile, spec.handle],
    env: { PATH: searchPath.join(":") },
    cwd: "/",
    status: exitStatusOf,
    ...(wanted.terminal ? { terminal: wanted.terminal } : {}),
    ...(runtime.keeps ? {} : { innerTerminal }),
    async signal(name) {
      const pid = await inside();
      if (pid === undefined) return;
      try {
        process.kill(pid, name);
      } catch {
        // It ended in between.
      }
    },
  });
  // The description holds the environment, and so secrets.
  void child.exited.then(() => Promise.all([rm(file, { force: true }), rm(pidFile, { force: true })])).catch(() => {});
  return child;
}

/** The runtime writes it a moment after it has started the process. */
async function readPid(file: string, clock: Clock): Promise<number | undefined> {
  for (const deadline = elapsed(clock) + 5_000; elapsed(clock) < deadline; await sleep(clock, 10)) {
    const text = await readFile(file, "latin1").catch(() => "");
    if (/^\d+$/.test(text)) return Number(text);
  }
  return undefined;
}
