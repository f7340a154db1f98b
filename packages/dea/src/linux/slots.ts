import { readFileSync } from "node:fs";
import { mkdir, readdir, readFile, readlink, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { DeaError, systemCode } from "../errors.ts";
import { runRoot } from "./names.ts";

/** What was taken before the machine started anew is free: where `/run` survives that, the name of the folder tells. */
const bootId = (): string => readFileSync("/proc/sys/kernel/random/boot_id", "latin1").slice(0, 8);
const slotsDir = (): string => join(runRoot, `slots-${bootId()}`);

/** What is written where a number is taken: enough to remove everything that was made with it. */
export interface SlotEntry {
  number: number;
  tag: string;
  handle: string;
  hostPort: number;
  containerPort: number;
}

/** All taken numbers of this machine, of every executor. */
export async function readSlots(): Promise<SlotEntry[]> {
  const dir = slotsDir();
  const names = await readdir(dir).catch(() => []);
  const entries = await Promise.all(names.map(async (name): Promise<SlotEntry | undefined> => {
    try {
      const value = JSON.parse(await entryText(join(dir, name))) as Partial<SlotEntry>;
      const { tag, handle, hostPort, containerPort } = value;
      const whole = typeof tag === "string" && typeof handle === "string" && typeof hostPort === "number" && typeof containerPort === "number";
      return whole && /^\d+$/.test(name) ? { number: Number(name), tag, handle, hostPort, containerPort } : undefined;
    } catch {
      return undefined;
    }
  }));
  return entries.filter((entry) => entry !== undefined);
}

/** The target of a link; a file, where an older executor wrote one. */
const entryText = (path: string): Promise<string> => readlink(path).catch(() => readFile(path, "utf8"));

/** Takes the lowest free number for a container. Throws DEA_NO_CAPACITY when all `count` are taken. */
export async function takeSlot(count: number, entry: Omit<SlotEntry, "number">): Promise<number> {
  const dir = slotsDir();
  await mkdir(dir, { recursive: true, mode: 0o711 });
  const taken = new Set((await readdir(dir)).map(Number));
  for (let number = 0; number < count; number++) {
    if (taken.has(number)) continue;
    try {
      // A link to nowhere: taking the number and saying for whom is one step, so no death can come in between.
      await symlink(JSON.stringify(entry), join(dir, String(number)));
      return number;
    } catch (error) {
      if (systemCode(error) !== "EEXIST") throw new DeaError("DEA_CONTAINER", "cannot write down a container's number", { cause: error });
    }
  }
  throw new DeaError("DEA_NO_CAPACITY", `all ${count} networks for containers are taken`, { retryable: true });
}

/** Quiet when it was free, or is somebody else's. */
export async function releaseSlot({ number, tag, handle }: SlotEntry): Promise<void> {
  const now = (await readSlots()).find((entry) => entry.number === number);
  if (now?.tag === tag && now.handle === handle) await rm(join(slotsDir(), String(number)), { force: true });
}
