import { readFileSync, readlinkSync } from "node:fs";
import type { ExecChildOptions } from "./exec-child.ts";
import { signalEach } from "./process-family.ts";
import { readProcess } from "./process-table.ts";
import type { Sandbox } from "./sandbox/sandbox.ts";

function childOf(pid: number): number | undefined {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ")[0]) || undefined;
  } catch {
    return undefined;
  }
}

/** A terminal that only those inside know by name: here it is what one of them has as input. */
function terminalBelow(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/fd/0`).startsWith("/dev/pts/") ? `/proc/${pid}/fd/0` : undefined;
  } catch {
    return undefined;
  }
}

/** How a process is started beside the main one of a sandbox: the child is nsenter(1), which waits for its own. */
export function enteringSandbox(sandbox: Sandbox, first: number, cwd: string, maxProcesses: number): Pick<ExecChildOptions, "instead" | "signal" | "innerTerminal"> {
  return {
    instead: ({ argv, env }) => sandbox.enter(first, { argv, env, cwd, maxProcesses }),
    async signal(name, child) {
      const entry = readProcess(childOf(child) ?? -1);
      if (entry) signalEach(name, [entry]);
    },
    async innerTerminal(child) {
      const script = childOf(child);
      const program = script === undefined ? undefined : childOf(script);
      return program === undefined ? undefined : terminalBelow(program);
    },
  };
}
