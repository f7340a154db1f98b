import { randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { claim } from "./claim.ts";
import { DeaError } from "./errors.ts";
import { idInJournal } from "./journal/read-journal.ts";
import { journalPath } from "./journal/journal.ts";

export interface DataDir extends Disposable {
  path: string;
  /** The executor's name: made once, kept in the folder. */
  id: string;
  instances: string;
  droplets: string;
  tmp: string;
}

/** Opens the executor's folder for this process alone. Throws DEA_DATA_DIR_BUSY when another executor uses it. */
export async function openDataDir(given: string): Promise<DataDir> {
  const path = resolve(given);
  await mkdir(path, { recursive: true, mode: 0o711 });
  const { dev, ino } = await stat(path);
  const held = await claim(`dir/${dev}/${ino}`);
  if (!held) throw new DeaError("DEA_DATA_DIR_BUSY", `another executor uses ${path}`);
  try {
    const tmp = join(path, "tmp");
    await rm(tmp, { recursive: true, force: true });
    await mkdir(tmp, { mode: 0o700 });
    return {
      path,
      id: await readId(path),
      instances: join(path, "instances"),
      droplets: join(path, "droplets"),
      tmp,
      [Symbol.dispose]: () => held[Symbol.dispose](),
    };
  } catch (error) {
    held[Symbol.dispose]();
    throw error;
  }
}

const idShape = /^[0-9a-f-]{36}$/;

async function readId(path: string): Promise<string> {
  const file = join(path, "id");
  const known = (await readFile(file, "utf8").catch(() => "")).trim();
  if (idShape.test(known)) return known;
  // The journal knows it too: under another name the executor would not find what it left running.
  const told = await idInJournal(journalPath(path));
  const id = told !== undefined && idShape.test(told) ? told : randomUUID();
  const part = await open(`${file}.part`, "w", 0o600);
  try {
    await part.writeFile(`${id}\n`);
    await part.sync();
  } finally {
    await part.close();
  }
  await rename(`${file}.part`, file);
  return id;
}

