import { detached } from "../../database.ts";
import type { AppParts } from "../apps/app-parts.ts";
import { advance } from "./deployment-work.ts";

export interface DeploymentUpdater extends AsyncDisposable {
  /** There is something to do: the next pass comes soon. */
  wake(): void;
}

export interface UpdaterOptions {
  /** Time between passes while a deployment is under way. Default 1 000 ms. */
  intervalMs?: number;
  /** Time between looks at the database while none is known. Default 15 000 ms. */
  idleMs?: number;
  /** Whether this controller is the one of several that moves deployments on. Default: always. */
  leading?: () => boolean;
}

/** Moves deployments on, one pass after the other. Of several controllers one does so; should two for a moment, each pass locks what it changes. */
export function createDeploymentUpdater(parts: AppParts, { intervalMs = 1_000, idleMs = 15_000, leading = () => true }: UpdaterOptions = {}): DeploymentUpdater {
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> | undefined;
  let closed = false;
  /** Woken while a pass was under way, which may have looked too early. */
  let again = false;

  const plan = (ms: number): void => {
    clearTimeout(timer);
    if (!closed) timer = setTimeout(run, ms).unref();
  };
  const run = (): void => {
    if (working) return void (again = true);
    again = false;
    working = detached(pass).catch((error: unknown) => {
      parts.log.error("deployments.failed", { error: String(error) });
      return true;
    }).then((active) => {
      working = undefined;
      plan(active || again ? intervalMs : idleMs);
    });
  };
  const pass = async (): Promise<boolean> => {
    if (!leading()) return false;
    const rows = await parts.db.selectFrom("deployments").select("guid").where("status_value", "=", "ACTIVE").where("state", "!=", "PAUSED").execute();
    let active = false;
    for (const { guid } of rows) {
      if (closed) return false;
      active = (await advance(parts, guid)) || active;
    }
    return active;
  };
  return {
    wake() {
      again = true;
      if (!working) plan(Math.min(intervalMs, 100));
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      clearTimeout(timer);
      await working;
    },
  };
}
