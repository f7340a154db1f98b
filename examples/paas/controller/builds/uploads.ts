import { randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { CfError, unprocessable } from "../api/errors.ts";
import { Answer, type Call } from "../api/http.ts";

/** A multipart body that was received: its files on disk, its fields as text. Disposing removes the files. */
export interface Upload extends AsyncDisposable {
  /** Path of a file by its part's name. */
  file(name: string): string | undefined;
  field(name: string): string | undefined;
}

export interface UploadOptions {
  tempDir: string;
  /** Largest file. */
  maxBytes: number;
}

/** Receives a multipart body as a stream to disk. @throws CfError when it is none, is cut off, or too large */
export async function receiveUpload(call: Call, { tempDir, maxBytes }: UploadOptions): Promise<Upload> {
  if (!call.request.isMultipart()) throw unprocessable("Upload must include either resources or bits");
  const folder = join(tempDir, randomUUID());
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const files = new Map<string, string>();
  const fields = new Map<string, string>();
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    const parts = call.request.parts({ limits: { fileSize: maxBytes }, throwFileSizeLimit: false } as Parameters<Call["request"]["parts"]>[0]);
    // The next part is asked for while this one is read: that is how the end of a body that breaks off is heard.
    for (let next = ask(parts); ; ) {
      const { done, value: part } = await next;
      if (done) break;
      next = ask(parts);
      if (part.type === "field") {
        if (part.valueTruncated) throw new CfError("RequestTooLarge");
        fields.set(part.fieldname, typeof part.value === "string" ? part.value : JSON.stringify(part.value));
        continue;
      }
      const path = join(folder, String(files.size));
      await writePart(part.file, path, { next, signal: call.signal });
      if (part.file.truncated) throw new CfError("RequestTooLarge", `The upload is larger than ${maxBytes} bytes`);
      files.set(part.fieldname, path);
    }
  } catch (error) {
    await remove();
    throw asClientError(error);
  }
  return { file: (name) => files.get(name), field: (name) => fields.get(name), [Symbol.asyncDispose]: remove };
}

type Parts = ReturnType<Call["request"]["parts"]>;
type Next = ReturnType<Parts["next"]>;

function ask(parts: Parts): Next {
  const next = parts.next();
  next.catch(() => undefined);
  return next;
}

/** How long a file may stand still after the body has ended before it counts as cut off. */
const stalledMs = 1_000;

/** Writes one file of a body. When the body ends before it, the parser leaves the file's stream open for ever: that is noticed here. */
async function writePart(source: Readable, path: string, { next, signal }: { next: Next; signal: AbortSignal }): Promise<void> {
  const target = createWriteStream(path, { flags: "wx", mode: 0o600 });
  const cutOff = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const watch = (): void => {
    let written = -1;
    timer = setInterval(() => {
      if (written === target.bytesWritten) cutOff.abort(new CfError("BadRequest", "Bad request: the upload was cut off"));
      written = target.bytesWritten;
    }, stalledMs / 2).unref();
  };
  next.then(({ done }) => done && watch(), (error: unknown) => cutOff.abort(error));
  try {
    await pipeline(source, target, { signal: AbortSignal.any([signal, cutOff.signal]) });
  } catch (error) {
    throw cutOff.signal.aborted ? cutOff.signal.reason : error;
  } finally {
    clearInterval(timer);
  }
}

/** What a client did wrong is its fault; what the disk or the framework says stays what it is. */
function asClientError(error: unknown): unknown {
  const { code = "", statusCode } = error as { code?: string; statusCode?: number };
  if (error instanceof CfError || statusCode !== undefined || /^E[A-Z]+$/.test(code)) return error;
  return new CfError("BadRequest", "Bad request: the multipart body cannot be read", { cause: error });
}

/** Most bytes of a refused body that are read and thrown away, so that the client hears the answer instead of a reset. */
const maxDrainedBytes = 64 * 1024 ** 2;

/** Reads a multipart body to nowhere. */
export async function drainUpload(call: Call): Promise<void> {
  const { raw } = call.request;
  if (!call.request.isMultipart() || raw.readableEnded || raw.destroyed) return;
  await new Promise<void>((resolve) => {
    let bytes = 0;
    const done = (): void => {
      raw.off("data", count).off("end", done).off("close", done).off("error", done);
      resolve();
    };
    const count = (chunk: Buffer): void => {
      if ((bytes += chunk.length) <= maxDrainedBytes) return;
      raw.pause();
      done();
    };
    raw.on("data", count).on("end", done).on("close", done).on("error", done);
  });
}

/** Removes what a process that died left behind. */
export async function emptyTempDir(tempDir: string): Promise<void> {
  await mkdir(tempDir, { recursive: true, mode: 0o700 });
  for (const name of await readdir(tempDir)) await rm(join(tempDir, name), { recursive: true, force: true });
}

/** True for a file that begins as gzip does. */
export async function looksLikeDroplet(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b;
  } finally {
    await file.close();
  }
}

/** An answer whose body is a file. */
export function download(stream: Readable, { type, sizeBytes, name }: { type: string; sizeBytes: number; name: string }): Answer {
  return new Answer(200, stream, { "content-type": type, "content-length": String(sizeBytes), "content-disposition": `attachment; filename="${name}"` });
}
