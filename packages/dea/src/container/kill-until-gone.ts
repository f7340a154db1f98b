import { type Clock, elapsed, sleep } from "../ports.ts";
import { type Leader, signalEach } from "./process-family.ts";

/** KILL to all that `find` finds, again and again, until it finds none or the time is over: what is killed may have started more meanwhile. */
export async function killUntilGone(find: () => readonly Leader[] | Promise<readonly Leader[]>, waitMs: number, clock: Clock): Promise<void> {
  const deadline = elapsed(clock) + waitMs;
  for (let left = await find(); left.length > 0 && elapsed(clock) < deadline; left = await find()) {
    signalEach("SIGKILL", left);
    await sleep(clock, 5);
  }
}
