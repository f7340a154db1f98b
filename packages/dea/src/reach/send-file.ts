import type { FileHandle } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { sendText } from "./answers.ts";
import { parseRange } from "./range.ts";

/** Text, as far as its beginning shows; never what a browser would run. */
async function contentType(file: FileHandle): Promise<string> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(512), 0, 512, 0);
  return buffer.subarray(0, bytesRead).includes(0) ? "application/octet-stream" : "text/plain; charset=utf-8";
}

/** Sends a file, or the part of it that is asked for. Closes it. A file that becomes shorter meanwhile breaks the connection. */
export async function sendFile(request: IncomingMessage, response: ServerResponse, file: FileHandle): Promise<void> {
  try {
    const { size, mtime } = await file.stat();
    const modified = new Date(Math.floor(mtime.getTime() / 1_000) * 1_000);
    const headers = { "accept-ranges": "bytes", "last-modified": modified.toUTCString(), "content-type": await contentType(file), "x-content-type-options": "nosniff", "cache-control": "private, no-store" };
    const since = Date.parse(request.headers["if-modified-since"] ?? "");
    if (since >= modified.getTime()) {
      response.writeHead(304, headers).end();
      return;
    }
    // A condition that no longer holds makes the part worthless: then the whole is sent.
    const condition = request.headers["if-range"];
    const range = parseRange(condition === undefined || Date.parse(String(condition)) === modified.getTime() ? request.headers.range : undefined, size);
    if (range.kind === "unsatisfiable") return sendText(response, 416, "invalid range: failed to overlap\n", { "content-range": `bytes */${size}` });
    const [start, end] = range.kind === "part" ? [range.start, range.end] : [0, size];
    response.writeHead(range.kind === "part" ? 206 : 200, {
      ...headers, "content-length": end - start, ...(range.kind === "part" ? { "content-range": `bytes ${start}-${end - 1}/${size}` } : {}),
    });
    if (request.method === "HEAD" || end === start) {
      response.end();
      return;
    }
    await pipeline(file.createReadStream({ start, end: end - 1, autoClose: false }), response);
  } finally {
    await file.close();
  }
}
