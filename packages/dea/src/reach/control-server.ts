import { constants } from "node:fs";
import { chmod, type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Dea } from "../dea.ts";
import { type Clock, type Logger, silentLogger, systemClock } from "../ports.ts";
import { type Refusal, refusals, refuse, sendJson, sendText } from "./answers.ts";
import { describeExecutor, describeInstance, describeTask } from "./describe.ts";
import { execOptionsOf } from "./exec-protocol.ts";
import { execOverSocket } from "./exec-socket.ts";
import { findInstance, serveInstanceFile } from "./files.ts";
import { type Door, type DoorTls, openDoor } from "./http-door.ts";
import type { PathServing } from "./serve-path.ts";
import { serveLogs } from "./serve-logs.ts";
import { createStreams, execInPlace } from "./streams.ts";

/** Answers a request that is its own; false when it is somebody else's. */
export type MoreRequests = (request: IncomingMessage, response: ServerResponse, url: URL) => Promise<boolean>;

export interface ControlOptions {
  /** What else it answers, such as `startApi` of `@opencf/dea/bus-link`. It is asked first. */
  more?: MoreRequests;
  /** Tails, logs and commands at once. Default 200. */
  maxStreams?: number;
  /** Without a new byte for so long a `tail` is broken off. Default 60 000 ms. */
  streamingTimeoutMs?: number;
  clock?: Clock;
  log?: Logger;
}

export interface ControlServer extends AsyncDisposable {
  /** Undefined on a unix socket. */
  readonly port: number | undefined;
}

/** Name of the socket in an executor's folder. */
export const controlSocketName = "control.sock";
const makingName = "control.part";

/**
 * The path of a socket in a folder, short enough for the kernel (108 bytes) whatever the folder is called. Good for as
 * long as the handle is open.
 */
export async function shortSocketPath(dataDir: string): Promise<{ path: string; folder: FileHandle }> {
  const folder = await open(dataDir, constants.O_RDONLY | constants.O_DIRECTORY);
  return { folder, path: `/proc/self/fd/${folder.fd}/${controlSocketName}` };
}

function controlDoor(dea: Dea, { more, maxStreams = 200, streamingTimeoutMs = 60_000, clock = systemClock, log = silentLogger }: ControlOptions, where: Pick<Parameters<typeof openDoor>[0], "listen" | "tls">): Promise<Door & { close(): void }> {
  const closed = new AbortController();
  const streams = createStreams(maxStreams);
  const serving: PathServing = { streamingTimeoutMs, clock, signal: closed.signal, enter: () => streams.enter() };

  const ofInstance = async (request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> => {
    const [, , , id = "", what] = url.pathname.split("/");
    const instance = findInstance(dea, id);
    if (!instance) return refuse(response, "instance");
    const params = url.searchParams;
    if (what === undefined) return sendJson(response, 200, describeInstance(instance));
    if (what === "metrics") return sendJson(response, 200, { samples: instance.metrics() });
    if (what === "logs") return await serveLogs(request, response, { instance, params, serving });
    if (what === "files") return await serveInstanceFile(request, response, { dea, id, path: params.get("path") ?? "/", params, serving });
    return refuse(response, "entity");
  };

  const answer = async (request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> => {
    if (more && (await more(request, response, url))) return;
    if (request.method !== "GET" && request.method !== "HEAD") return sendText(response, 405, "Method not allowed.\n", { allow: "GET, HEAD" });
    if (url.pathname === "/healthz") return sendText(response, 200, "ok\n");
    const [, version, room, id] = url.pathname.split("/");
    if (version !== "v1") return refuse(response, "entity");
    if (room === "status") return sendJson(response, 200, describeExecutor(dea));
    if (room === "tasks" && id === undefined) return sendJson(response, 200, { tasks: dea.tasks.list().map(describeTask) });
    if (room === "tasks") {
      const task = dea.tasks.get(new URLSearchParams(`id=${id ?? ""}`).get("id") ?? "");
      return task ? sendJson(response, 200, describeTask(task)) : refuse(response, "entity");
    }
    if (room === "instances" && id === undefined) return sendJson(response, 200, { instances: dea.instances().map(describeInstance) });
    if (room === "instances") return await ofInstance(request, response, url);
    return refuse(response, "entity");
  };

  return openDoor({
    ...where,
    answer,
    log,
    socket(_request, url, refused) {
      const say = (refusal: Refusal): undefined => void refused(refusals[refusal][0], refusals[refusal][1]);
      const [, version, room, id = "", what] = url.pathname.split("/");
      if (version !== "v1" || room !== "instances" || what !== "exec") return say("entity");
      const instance = findInstance(dea, id);
      if (!instance) return say("instance");
      if (streams.isFull) return say("busy");
      return (socket) => void execInPlace(socket, streams, () => execOverSocket(socket, instance, execOptionsOf(url.searchParams), closed.signal));
    },
  }).then((door) => ({ ...door, close: () => closed.abort() }));
}

/**
 * The operator's door: a unix socket in the executor's folder that only its owner may use. It tells what runs, shows files
 * and lines, and runs commands in instances (`opencf-dea exec`). Whoever may open the socket may do all of it.
 * Throws DEA_CONTAINER.
 */
export async function openControlSocket(dea: Dea, dataDir: string, options: ControlOptions = {}): Promise<ControlServer> {
  const { folder } = await shortSocketPath(dataDir);
  const inside = (name: string): string => `/proc/self/fd/${folder.fd}/${name}`;
  try {
    // Made where nobody else may look, so that at no time anybody else may open it.
    await rm(inside(makingName), { recursive: true, force: true });
    await mkdir(inside(makingName), { mode: 0o700 });
    const made = `${inside(makingName)}/${controlSocketName}`;
    const door = await controlDoor(dea, options, { listen: { path: made } });
    await chmod(made, 0o600);
    // Who has the folder is the only executor here: what lies there is of one that was killed.
    await rename(made, inside(controlSocketName));
    await rm(inside(makingName), { recursive: true, force: true });
    let closing: Promise<void> | undefined;
    const close = async (): Promise<void> => {
      door.close();
      await door[Symbol.asyncDispose]();
      await rm(inside(controlSocketName), { force: true });
      await folder.close();
    };
    return { port: undefined, [Symbol.asyncDispose]: () => (closing ??= close()) };
  } catch (error) {
    await folder.close();
    throw error;
  }
}

export interface ExecutorApiOptions extends ControlOptions {
  host: string;
  /** Default 0: a free one. */
  port?: number;
  /** With the authorities of the controllers' certificates: without a certificate of theirs nobody gets in. */
  tls: Required<DoorTls>;
}

/** The same over HTTPS with client certificates, as the executor's HTTP API was (`ssl` of its configuration). Throws DEA_CONTAINER. */
export async function openExecutorApi(dea: Dea, { host, port = 0, tls, ...options }: ExecutorApiOptions): Promise<ControlServer & { readonly url: string }> {
  const door = await controlDoor(dea, options, { listen: { host, port }, tls });
  return {
    port: door.port,
    url: `https://${host.includes(":") ? `[${host}]` : host}:${door.port}`,
    async [Symbol.asyncDispose]() {
      door.close();
      await door[Symbol.asyncDispose]();
    },
  };
}
