import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Backend, createDea, DeaError, linuxBackend, processBackend, tryBackend } from "@opencf/dea";
import type { PaasConfig } from "./config.ts";
import type { Logger } from "./logger.ts";

export type BackendName = "linux" | "process";

export interface Choice {
  readonly name: BackendName;
  /** One sentence for people. */
  readonly why: string;
}

export interface ChosenBackend extends Choice {
  readonly backend: Backend;
}

/** Where the `linux` backend shows programs from without being asked. */
const shown = /^\/(usr|bin|sbin|lib)\//;

/** Our own Node is what staging checked an app against: an app must find it, also where it stands outside `/usr`. */
const makeLinux = (): Promise<Backend> =>
  linuxBackend(shown.test(process.execPath) ? {} : { hostPaths: [dirname(dirname(process.execPath))] });

/**
 * Decides how apps are isolated. `auto` takes `linux` where it really runs a program in a container, here and now, and `process`
 * everywhere else, with the reason. Whoever asks for `linux` by name gets it or an error. What worked at the start `before` is not
 * tried again: a machine that is busy just now must not turn containers into processes.
 * @throws DeaError DEA_UNSUPPORTED, DEA_CONTAINER where `linux` was asked for and does not work
 */
export async function chooseBackend(wanted: PaasConfig["backend"], { before, linux = makeLinux }: { before?: BackendName | undefined; linux?: () => Promise<Backend> } = {}): Promise<ChosenBackend> {
  const asProcesses = (why: string): ChosenBackend => ({ name: "process", backend: processBackend(), why });
  if (wanted === "process") return asProcesses("asked for with --backend process");
  if (wanted === "auto" && process.getuid?.() !== 0) return asProcesses("the linux backend needs root");
  try {
    if (before !== "linux") await tryBackend(await linux(), { argv: [process.execPath, "--version"] });
    const backend = await linux();
    return { name: "linux", backend, why: wanted === "linux" ? "asked for with --backend linux" : "this machine can: each app instance gets a container of its own" };
  } catch (error) {
    if (wanted === "linux" || !(error instanceof DeaError)) throw error;
    return asProcesses(error.message.split("\n")[0] ?? "");
  }
}

const noteFile = (dataDir: string): string => join(dataDir, "backend");

/** The backend of the executor before in this folder. A folder without a note is a new one, or of a version that knew processes only. */
export async function backendBefore(dataDir: string): Promise<BackendName | undefined> {
  const note = (await readFile(noteFile(dataDir), "utf8").catch(() => undefined))?.trim();
  return note === "linux" || note === "process" ? note : existsSync(join(dataDir, "instances")) ? "process" : undefined;
}

/**
 * An executor takes over only what its own backend runs. Where the one before in this folder had another, that one is opened once
 * more, to stop what it left; its apps are then started anew.
 */
export async function leaveOther(dataDir: string, { name }: Choice, log: Logger): Promise<void> {
  const before = await backendBefore(dataDir);
  await mkdir(dataDir, { recursive: true, mode: 0o711 });
  if (before !== undefined && before !== name) {
    try {
      const dea = await createDea({ backend: before === "linux" ? await makeLinux() : processBackend(), dataDir, onResume: "stop" });
      await dea.close();
    } catch (error) {
      log.warn("backend.other", { before, now: name, reason: `what it left running could not be stopped: ${error instanceof Error ? error.message : String(error)}` });
    }
  }
  await writeFile(noteFile(dataDir), `${name}\n`);
}
