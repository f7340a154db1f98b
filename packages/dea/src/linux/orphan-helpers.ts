import { readFileSync } from "node:fs";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { killUntilGone } from "../container/kill-until-gone.ts";
import { createMarkReader, isAlive, readProcess } from "../container/process-table.ts";
import type { Clock } from "../ports.ts";

/*
 * An executor that is killed leaves the programs it had started: a mount that is half way, a file system that is being
 * made. They would finish behind the back of the next one, after it has cleared away. So each carries a mark with the
 * executor's process in it, the executor writes down beside its containers which process it is, and the next one ends
 * what carries the mark of the one before.
 */

const markName = "OPENCF_HELPER_OF";
const waitMs = 10_000;

let own: string | undefined;
/** This process, by pid and start time: no other ever has both. */
const ownMark = (): string => (own ??= `${process.pid}.${readProcess(process.pid)?.startTicks ?? 0}.${bootId()}`);
const bootId = (): string => readFileSync("/proc/sys/kernel/random/boot_id", "latin1").slice(0, 8);

/** For the environment of every program that is started to make or unmake something. */
export const helperMark = (): Record<string, string> => ({ [markName]: ownMark() });

/** Ends the helpers of the executor before, and takes its place. `runDir` is the executor's alone. */
export async function endHelpersOfThePast(runDir: string, clock: Clock): Promise<void> {
  const file = join(runDir, "executor");
  const past = (await readFile(file, "utf8").catch(() => "")).trim();
  if (past !== "" && past !== ownMark() && !lives(past)) {
    const read = createMarkReader(markName);
    await killUntilGone(() => read().filter(({ mark }) => mark === past), waitMs, clock);
  }
  await writeFile(`${file}.part`, `${ownMark()}\n`, { mode: 0o600 });
  await rename(`${file}.part`, file);
}

function lives(mark: string): boolean {
  const [pid, startTicks, boot] = mark.split(".");
  return boot === bootId() && isAlive(Number(pid), Number(startTicks));
}
