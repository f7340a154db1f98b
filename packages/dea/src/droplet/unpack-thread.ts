import type * as Fs from "node:fs";
import { Worker } from "node:worker_threads";
import type * as Zlib from "node:zlib";
import { tarReader } from "./tar-reader.ts";
import { pathIn, treeWriter } from "./tree-writer.ts";

/*
 * Unpacking is thousands of small calls of the kernel: done one by one, without waiting, it is as fast as tar(1), but
 * it would hold up everything else. So a thread of its own does it. The thread is given the text of the functions:
 * then there is no file that a bundler must know of.
 */

export interface UnpackJob {
  archive: string;
  folder: string;
  gzip: boolean;
  maxEntries: number;
  maxBytes: number;
}

/** How it went. */
export type UnpackOutcome = { kind: "done"; entries: number; bytes: number } | { kind: "unsafe" | "large" | "unreadable"; text: string };

interface Around {
  fs: typeof Fs;
  zlib: typeof Zlib;
  umask: number;
  tarReader: typeof tarReader;
  treeWriter: typeof treeWriter;
  pathIn: typeof pathIn;
}

/** What the thread does: the system decompresses the next piece while it writes the last. Uses nothing from outside but its arguments. */
function unpackJob({ archive, folder, gzip, maxEntries, maxBytes }: UnpackJob, around: Around, tell: (outcome: UnpackOutcome) => void): void {
  const { fs, zlib, umask } = around;
  const pieceBytes = 256 * 1024;
  const mostWaiting = 16;
  const refusal: { outcome?: UnpackOutcome } = {};
  const tree = around.treeWriter({
    fs, folder, umask, maxEntries, maxBytes, pathIn: around.pathIn,
    refuse(kind, text) {
      refusal.outcome = { kind, text };
      throw new Error(text);
    },
  });
  const tar = around.tarReader(tree);
  const file = fs.createReadStream(archive, { highWaterMark: pieceBytes });
  const source = gzip ? file.pipe(zlib.createGunzip({ chunkSize: pieceBytes })) : file;
  let waiting: Uint8Array[] = [];
  let ended = false;
  let told = false;

  const fail = (error: unknown): void => {
    if (told) return;
    told = true;
    file.destroy();
    source.destroy();
    tree.abandon();
    tell(refusal.outcome ?? { kind: "unreadable", text: error instanceof Error ? error.message : String(error) });
  };
  const work = (): void => {
    if (told) return;
    try {
      const pieces = waiting;
      waiting = [];
      source.resume();
      for (const piece of pieces) tar.push(piece);
      if (!ended || waiting.length > 0) return;
      tar.end();
      const done = tree.finish();
      told = true;
      tell({ kind: "done", ...done });
    } catch (error) {
      fail(error);
    }
  };
  source.on("data", (piece: Uint8Array) => {
    // Not now: first the next piece is asked for, then this one is written.
    if (waiting.push(piece) === 1) setImmediate(work);
    if (waiting.length >= mostWaiting) source.pause();
  });
  source.on("end", () => {
    ended = true;
    setImmediate(work);
  });
  file.on("error", fail);
  source.on("error", fail);
}

const program = `
const { parentPort, workerData } = require("node:worker_threads");
const tarReader = ${tarReader.toString()};
const pathIn = ${pathIn.toString()};
const treeWriter = ${treeWriter.toString()};
(${unpackJob.toString()})(workerData, { fs: require("node:fs"), zlib: require("node:zlib"), umask: process.umask(), tarReader, pathIn, treeWriter }, (outcome) => parentPort.postMessage(outcome));
`;

/** Memory of the thread, beside what is on its way. */
const threadHeapMb = 128;

/** Unpacks in a thread. Rejects when the thread itself fails, or with the signal's reason. */
export function unpackInThread(job: UnpackJob, signal?: AbortSignal): Promise<UnpackOutcome> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const worker = new Worker(program, { eval: true, workerData: job, env: {}, resourceLimits: { maxOldGenerationSizeMb: threadHeapMb }, name: "opencf-unpack" });
    const abort = (): void => finish(() => reject(signal?.reason as Error));
    let over = false;
    const finish = (settle: () => void): void => {
      if (over) return;
      over = true;
      signal?.removeEventListener("abort", abort);
      // Settled when it has really stopped: until then it may still write.
      void worker.terminate().then(settle, settle);
    };
    signal?.addEventListener("abort", abort, { once: true });
    worker.once("message", (outcome: UnpackOutcome) => finish(() => resolve(outcome)));
    worker.once("error", (error) => finish(() => reject(error)));
    worker.once("exit", () => finish(() => reject(new Error("the thread that unpacks has ended"))));
  });
}

