import { randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { CfError, unprocessable } from "./errors.ts";
import { Answer, type Call } from "./http.ts";

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

/** Receives a multipart body as a stream to disk. @throws CfError when it is none, or too large */
export async function receiveUpload(call: Call, { tempDir, maxBytes }: UploadOptions): Promise<Upload> {
  if (!call.request.isMultipart()) throw unprocessable("Upload must include either resources or bits");
  const folder = join(tempDir, randomUUID());
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const files = new Map<string, string>();
  const fields = new Map<string, string>();
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    for await (const part of call.request.parts({ limits: { fileSize: maxBytes } })) {
      if (part.type === "field") {
        if ((part as { valueTruncated?: boolean }).valueTruncated) throw new CfError("RequestTooLarge");
        fields.set(part.fieldname, String(part.value));
        continue;
      }
      const path = join(folder, String(files.size));
      await pipeline(part.file, createWriteStream(path, { flags: "wx", mode: 0o600 }), { signal: call.signal });
      if (part.file.truncated) throw new CfError("RequestTooLarge", `The upload is larger than ${maxBytes} bytes`);
      files.set(part.fieldname, path);
    }
  } catch (error) {
    await remove();
    throw error;
  }
  return { file: (name) => files.get(name), field: (name) => fields.get(name), [Symbol.asyncDispose]: remove };
}

/** Most bytes of a refused body that are read and thrown away, so that the client hears the answer instead of a reset. */
const maxDrainedBytes = 64 * 1024 ** 2;

/** Reads a multipart body to nowhere. */
export async function drainUpload(call: Call): Promise<void> {
  if (!call.request.isMultipart()) return;
  let bytes = 0;
  try {
    for await (const part of call.request.parts()) {
      if (part.type !== "file") continue;
      for await (const chunk of part.file) if ((bytes += (chunk as Buffer).length) > maxDrainedBytes) return;
    }
  } catch {
    // Whatever is wrong with it: it was not wanted.
  }
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
