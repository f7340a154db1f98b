// How many files and sockets a process may have open, and more of them where the system allows it.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Tries to let the process have `wanted`; gives how many it may have. */
export function allowOpenFiles(pid, wanted) {
  const [soft, hard] = limits(pid);
  if (soft >= wanted) return soft;
  spawnSync("prlimit", ["--pid", String(pid), `--nofile=${wanted}:${Math.max(wanted, hard)}`]);
  if (limits(pid)[0] < wanted) spawnSync("prlimit", ["--pid", String(pid), `--nofile=${Math.min(wanted, hard)}:${hard}`]);
  return limits(pid)[0];
}

function limits(pid) {
  const [, soft, hard] = /^Max open files\s+(\S+)\s+(\S+)/m.exec(readFileSync(`/proc/${pid}/limits`, "utf8"));
  return [soft, hard].map((value) => (value === "unlimited" ? Infinity : Number(value)));
}
