// Processor time and memory of a process, whoever wrote it, as Linux tells them in /proc.
import { readFileSync, readdirSync } from "node:fs";

/** Microseconds of processor time of all its threads so far. */
export function cpuMicros(pid) {
  try {
    let sum = 0;
    for (const thread of readdirSync(`/proc/${pid}/task`)) sum += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1").split(" ", 1)[0]);
    if (sum > 0) return sum / 1_000;
  } catch {}
  // Ticks of 10 ms.
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

export const residentBytes = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))[1]) * 1_024;

/** Looks every few milliseconds how much memory a process has; `stop` gives the most it had. */
export function watchMemory(pid, everyMs = 10) {
  let most = residentBytes(pid);
  const look = () => { most = Math.max(most, residentBytes(pid)); };
  const timer = setInterval(look, everyMs);
  return { stop() { clearInterval(timer); look(); return most; } };
}
