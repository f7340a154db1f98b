import { diskRatio } from "./disk-pressure.ts";
import { textOf } from "./errors.ts";
import { type Crash, type CrashRules, oldestFiles, reapCrashes } from "./instance/crash-rules.ts";
import type { ManagedInstance } from "./instance/instance.ts";
import type { KeptFiles } from "./instance/kept-files.ts";
import { facts } from "./instance/state.ts";
import type { Clock, Logger } from "./ports.ts";

export interface CrashReaperOptions {
  instances: ReadonlyMap<string, ManagedInstance>;
  /** Takes an instance off the list. */
  remove(id: string): void;
  keptFiles: KeptFiles;
  /** Folder whose file system is looked at. */
  dir: string;
  rules: CrashRules;
  clock: Clock;
  log: Logger;
  measureDisk?: (dir: string) => Promise<number>;
}

export interface CrashReaper {
  /** Forgets what ended and what the rules are done with. Cheap: for every tick. */
  forget(): void;
  /** Deletes kept files that belong to nobody and, while the disk is too full, those of the oldest crashes. */
  clean(): Promise<void>;
}

/** Keeps crashed instances for as long as the rules say (dea_ng `CrashReaper`, `reap_crashes_under_disk_pressure`). */
export function createCrashReaper({ instances, remove, keptFiles, dir, rules, clock, log, measureDisk = diskRatio }: CrashReaperOptions): CrashReaper {
  const crashOf = (instance: ManagedInstance): Crash => {
    const { appId, version, processType, index, task } = instance.spec;
    const seat = task ? instance.id : `${appId}/${version}/${processType}/${index}`;
    return { id: instance.id, seat, app: appId, at: instance.exit?.at ?? instance.stateSince, files: instance.filesDir !== undefined };
  };
  const over = (): ManagedInstance[] => [...instances.values()].filter(({ present, state }) => !present && facts[state].final);
  const dropFiles = (id: string, why: string): void => {
    instances.get(id)?.dropFiles();
    log.info("crash.files.removed", { instance: id, why });
  };

  return {
    forget() {
      const crashes: Crash[] = [];
      for (const instance of over()) {
        if (instance.state === "STOPPED") remove(instance.id);
        else crashes.push(crashOf(instance));
      }
      if (crashes.length === 0) return;
      const { forget, files } = reapCrashes(crashes, rules, clock.now());
      for (const { id, why } of forget) {
        if (instances.get(id)?.filesDir !== undefined) dropFiles(id, why);
        remove(id);
      }
      for (const { id, why } of files) dropFiles(id, why);
    },
    async clean() {
      for (const id of await keptFiles.list()) {
        if (instances.has(id)) continue;
        await keptFiles.drop(id).catch((error: unknown) => log.warn("crash.files.left", { instance: id, error: textOf(error) }));
      }
      // Each deletion is waited for: only then the next look at the disk tells something.
      for (const seen = new Set<string>(); ; ) {
        const oldest = oldestFiles(over().map(crashOf).filter(({ id }) => !seen.has(id)));
        if (!oldest || (await measureDisk(dir)) <= rules.diskRatio) return;
        seen.add(oldest.id);
        dropFiles(oldest.id, "pressure");
        await keptFiles.drop(oldest.id).catch(() => {});
      }
    },
  };
}
