import type { IncomingMessage, ServerResponse } from "node:http";
import { textOf } from "../errors.ts";
import type { Clock } from "../ports.ts";
import { refuse, sendEntityNotFound, sendServerError, sendText } from "./answers.ts";
import { listFolder } from "./listing.ts";
import { openInside } from "./open-inside.ts";
import { sendFile } from "./send-file.ts";
import { tailFile } from "./tail-file.ts";

export interface PathServing {
  /** Time without a new byte after which a `tail` is broken off. */
  streamingTimeoutMs: number;
  clock: Clock;
  /** Ends every stream. */
  signal: AbortSignal;
  /** Takes a place for a stream, or says that none is free. */
  enter(): Disposable | undefined;
}

export interface ServedPath {
  /** Folder on the host, and its name as the app sees it. */
  root: string;
  inside: string;
  path: string;
  params: URLSearchParams;
}

/**
 * Answers with a folder's listing, a file, a part of it, or what is appended to it (`tail`, `tail_offset=N`). Nothing outside
 * the root is ever opened.
 */
export async function servePath(request: IncomingMessage, response: ServerResponse, { root, inside, path, params }: ServedPath, serving: PathServing): Promise<void> {
  const opened = await openInside(root, inside, path);
  if (opened.found === "missing") return refuse(response, "entity");
  if (opened.found === "outside") return refuse(response, "outside");
  if (opened.found === "special") return sendEntityNotFound(response);
  const { handle, parent, name } = opened;
  try {
    if (opened.found === "folder") return sendText(response, 200, await listFolder(handle));
    if (!params.has("tail") || parent === undefined || request.method === "HEAD") return await sendFile(request, response, handle);
    const offset = params.get("tail_offset");
    if (offset !== null && !/^\d{1,15}$/.test(offset)) return sendServerError(response, "Tail offset must be a positive integer.");
    using place = serving.enter();
    if (!place) return refuse(response, "busy");
    const { streamingTimeoutMs: idleMs, clock, signal } = serving;
    await tailFile(response, { handle, parent, name }, { ...(offset === null ? {} : { offset: Number(offset) }), idleMs, lookMs: 50, clock, signal });
  } catch (error) {
    if (response.headersSent) response.destroy();
    else sendServerError(response, textOf(error));
  } finally {
    await handle.close().catch(() => {});
    await parent?.close().catch(() => {});
  }
}
