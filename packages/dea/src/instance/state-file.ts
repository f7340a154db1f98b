import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { parse } from "yaml";
import { below, openBelow } from "../container/open-below.ts";
import type { Look } from "./health.ts";

/** Least time an app with a state file has to say RUNNING (dea_ng: 5 min). */
export const stateFileTimeoutMs = 300_000;
/** Largest file of the two read. */
const maxBytes = 64 * 1024;

/** A small plain file of the app's folder as text; undefined when there is none. The app may change its folder meanwhile: no link is followed. */
async function readSmall(homeDir: string, path: string): Promise<string | undefined> {
  const folder = await openBelow(homeDir, dirname(path)).catch(() => undefined);
  if (!folder) return undefined;
  try {
    const file = await open(below(folder, basename(path)), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const stat = await file.stat();
      return stat.isFile() && stat.size <= maxBytes ? await file.readFile("utf8") : undefined;
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  } finally {
    await folder.close();
  }
}

/** The `state_file` that a droplet's `droplet.yaml` names (dea_ng `Instance#promise_state_file`), if it lies within its folder. */
export async function stateFileOf(homeDir: string): Promise<string | undefined> {
  const text = await readSmall(homeDir, "droplet.yaml");
  if (text === undefined) return undefined;
  try {
    const found = (parse(text) as { state_file?: unknown } | null)?.state_file;
    return typeof found === "string" && found !== "" && !found.startsWith("/") && !found.split("/").includes("..") ? found : undefined;
  } catch {
    return undefined;
  }
}

/** Does the state file say RUNNING? What cannot be read or parsed says nothing yet. */
export const stateFileLook = (homeDir: string, path: string): Look => async () => {
  try {
    return (JSON.parse((await readSmall(homeDir, path)) ?? "") as { state?: unknown } | null)?.state === "RUNNING";
  } catch {
    return false;
  }
};
