import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { createDea, processBackend } from "@opencf/dea";
import { recoverStaging } from "@opencf/staging";
import { lockFolder } from "./folder-lock.ts";

/** What the platform keeps in its data folder; nothing else there is touched. */
const ours = ["database", "blobs", "logs", "dea", "staging", "uploads", "admin-password", "controller-name"];

/** Empties a data folder, and ends what a platform that was killed there left running. Throws FolderLockedError when one still runs. */
export async function emptyDataDir(dataDir: string): Promise<void> {
  const present = new Set(await readdir(dataDir).catch(() => []));
  if (present.size === 0) return;
  await using _lock = await lockFolder(join(dataDir, "lock"), dataDir);
  if (present.has("dea")) await (await createDea({ backend: processBackend(), dataDir: join(dataDir, "dea"), onResume: "stop" })).close();
  if (present.has("staging")) await recoverStaging(join(dataDir, "staging"));
  for (const name of ours) await rm(join(dataDir, name), { recursive: true, force: true });
}
