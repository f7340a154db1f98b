import { open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { ContainerRecord } from "./container/container.ts";
import { textOf } from "./errors.ts";
import type { InstanceExit } from "./instance/exit.ts";
import type { InstanceSpec } from "./instance/spec.ts";
import { type InstanceState, states } from "./instance/state.ts";
import type { Logger } from "./ports.ts";

/**
 * What a restarted executor must know of an instance. Environment, services and droplet URL are left out on
 * purpose: a process that runs already needs them no more, and secrets on disk are secrets to lose.
 */
export interface InstanceRecord {
  id: string;
  privateId: string;
  state: InstanceState;
  stateSince: number;
  startedAt: number;
  readyAt: number | undefined;
  /** How often the instance was taken over so far. */
  resumes: number;
  port: number | undefined;
  container: ContainerRecord | undefined;
  spec: Omit<InstanceSpec, "env" | "services" | "application" | "droplet" | "command">;
  exit: InstanceExit | undefined;
}

const formatVersion = 1;

export interface SnapshotFile {
  /** Writes a complete new snapshot and puts it in the place of the old one. Calls that overlap share a write. */
  save(): Promise<void>;
  load(): Promise<InstanceRecord[]>;
}

/**
 * One JSON text per line: a header, then an instance each, so that a damaged line costs one instance and not all.
 * Written beside, flushed to disk, then renamed: a reader never sees half a file.
 */
export function openSnapshot(dir: string, records: () => InstanceRecord[], log: Logger): SnapshotFile {
  const path = join(dir, "snapshot.jsonl");
  let running: Promise<void> | undefined;
  let queued: Promise<void> | undefined;

  const write = async (): Promise<void> => {
    const part = `${path}.part`;
    const lines = [{ format: "opencf-dea-snapshot", version: formatVersion }, ...records()];
    const file = await open(part, "w", 0o600);
    try {
      await file.writeFile(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(part, path);
  };

  return {
    save() {
      if (!running) {
        running = write().finally(() => (running = undefined));
        return running;
      }
      // What is being written may be older than this call: one more write follows, for all who ask meanwhile.
      queued ??= running
        .catch(() => {})
        .then(() => {
          queued = undefined;
          return (running = write().finally(() => (running = undefined)));
        });
      return queued;
    },
    async load() {
      await rm(`${path}.part`, { force: true });
      const text = await readFile(path, "utf8").catch(() => "");
      if (text === "") return [];
      const [header = "", ...lines] = text.split("\n");
      if (!isHeader(header)) {
        log.error("snapshot.unreadable", { file: path });
        await rename(path, `${path}.damaged`);
        return [];
      }
      return lines.flatMap((line, index) => {
        if (line === "") return [];
        try {
          return [checked(JSON.parse(line))];
        } catch (error) {
          log.error("snapshot.line", { file: path, line: index + 2, error: textOf(error) });
          return [];
        }
      });
    },
  };
}

function isHeader(line: string): boolean {
  try {
    const header = JSON.parse(line) as { format?: unknown; version?: unknown };
    return header.format === "opencf-dea-snapshot" && header.version === formatVersion;
  } catch {
    return false;
  }
}

function checked(value: unknown): InstanceRecord {
  const record = value as Partial<InstanceRecord> | null;
  const whole =
    record !== null && typeof record === "object" && typeof record.id === "string" && /^[0-9a-f]{32}$/.test(record.id) &&
    typeof record.privateId === "string" && states.includes(record.state as InstanceState) &&
    typeof record.stateSince === "number" && typeof record.startedAt === "number" && typeof record.resumes === "number" &&
    typeof record.spec === "object" && typeof record.spec?.appId === "string" && typeof record.spec.memoryBytes === "number";
  if (!whole) throw new Error("not an instance");
  return record as InstanceRecord;
}
