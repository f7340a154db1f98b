import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Dea } from "../dea.ts";
import type { Instance } from "../instance/instance.ts";
import { type Clock, type Logger, silentLogger, systemClock } from "../ports.ts";
import { type Refusal, refusals, refuse, sendText } from "./answers.ts";
import { execOptionsOf } from "./exec-protocol.ts";
import { execOverSocket } from "./exec-socket.ts";
import { fileLinkMs, findInstance, serveSignedFile, signedFileLink } from "./files.ts";
import { type DoorTls, openDoor } from "./http-door.ts";
import type { PathServing } from "./serve-path.ts";
import { serveLogs } from "./serve-logs.ts";
import { createLinkSigner, type LinkSigner, type Verdict } from "./signed-link.ts";
import { createStreams, execInPlace } from "./streams.ts";
import { serveViewer, viewerPath } from "./viewer.ts";

export interface ReachOptions {
  /** Address to listen on. Default: the executor's. */
  host?: string;
  /** Default 0: a free one. */
  port?: number;
  /** Where links lead by name: `<uuid>.<domain>`, which a router must know (`joinBus` tells it). Default: links lead to host and port. */
  domain?: string;
  /** Of links. Default `http`, and `https` with `tls` and no domain. */
  protocol?: "http" | "https";
  tls?: Pick<DoorTls, "key" | "cert">;
  /** Key of the links. Default: random, so that links end with this process. */
  key?: string | Uint8Array;
  /** Name and password of the viewer of the first generation. Default: random; false: there is none. */
  viewer?: readonly [string, string] | false;
  /** Without a new byte for so long a `tail` is broken off. Default 60 000 ms. */
  streamingTimeoutMs?: number;
  /** Tails, logs and commands at once. Default 200; more are answered 503. */
  maxStreams?: number;
  clock?: Clock;
  log?: Logger;
}

export interface ExecLinkOptions {
  /** As in `instance.exec`. What the link names cannot be changed by who uses it. */
  command?: string;
  argv?: readonly string[];
  user?: "vcap" | "root";
  /** With a terminal; its size is the client's to say (`columns`, `rows`, later `resize`). */
  terminal?: boolean;
}

/** The executor's public door: files, logs and commands of instances, for whoever has a link. */
export interface ReachServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Names the server on a router's domain; undefined without a domain. */
  readonly externalHost: string | undefined;
  /** Where the first generation's viewer is, and who may see it. */
  readonly viewer: { readonly uri: string; readonly credentials: readonly [string, string] } | undefined;
  /** A link to a file or a folder, good for an hour (dea_ng `file_uri_v2`); `&tail` and `&tail_offset=N` may be added. */
  fileLink(instance: Pick<Instance, "id">, path: string): string;
  /** A link to the lines, good for an hour; `&follow=1`, `&after=N` and `&tail=N` may be added. */
  logsLink(instance: Pick<Instance, "id">): string;
  /** A link to a WebSocket that runs a command (protocol `opencf.exec.v1`), to be opened within 5 minutes. */
  execLink(instance: Pick<Instance, "id">, options?: ExecLinkOptions): string;
}

const logsLinkMs = 3_600_000;
const execLinkMs = 300_000;
/** What the user of a link may add to it. */
const free: Readonly<Record<string, readonly string[]>> = { instance_logs: ["follow", "after", "tail"], instance_exec: ["columns", "rows"] };

const verdicts: Readonly<Record<Exclude<Verdict, "good">, Refusal>> = { bad: "hmac", expired: "expired" };

/** Opens the door. Throws DEA_CONTAINER when the address is taken. */
export async function openReachServer(dea: Dea, options: ReachOptions = {}): Promise<ReachServer> {
  const { host = dea.host, port: wantedPort = 0, domain, clock = systemClock, log = silentLogger, streamingTimeoutMs = 60_000, maxStreams = 200, tls } = options;
  const { viewer = [randomUUID(), randomUUID()], protocol = tls && domain === undefined ? "https" : "http" } = options;
  const signer: LinkSigner = createLinkSigner({ ...(options.key === undefined ? {} : { key: options.key }), now: clock.now });
  const closed = new AbortController();
  const streams = createStreams(maxStreams);
  const serving: PathServing = { streamingTimeoutMs, clock, signal: closed.signal, enter: () => streams.enter() };
  const externalHost = domain === undefined ? undefined : `${randomUUID()}.${domain}`;

  const judge = (url: URL, room: string, maxAgeMs: number): Refusal | undefined => {
    const verdict = signer.verify(url.pathname, url.searchParams, maxAgeMs, (name) => !free[room]?.includes(name));
    return verdict === "good" ? undefined : verdicts[verdict];
  };

  const answer = async (request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> => {
    if (request.method !== "GET" && request.method !== "HEAD") return sendText(response, 405, "Method not allowed.\n", { allow: "GET, HEAD" });
    const [, room = "", id = ""] = url.pathname.split("/");
    if (room === "healthz") return sendText(response, 200, "ok\n");
    if (room === "instance_paths") return await serveSignedFile(request, response, { url, dea, signer, serving });
    // Nothing is staged here: whoever has a good link hears that the task is not known.
    if (room === "staging_tasks") return refuse(response, judge(url, room, fileLinkMs) ?? "task");
    if (room === "instance_logs") {
      const refusal = judge(url, room, logsLinkMs);
      const instance = refusal ? undefined : findInstance(dea, id);
      return instance ? await serveLogs(request, response, { instance, params: url.searchParams, serving }) : refuse(response, refusal ?? "instance");
    }
    if (room === viewerPath.slice(1) && viewer) return await serveViewer(request, response, { url, dea, credentials: viewer });
    return refuse(response, "entity");
  };

  const door = await openDoor({
    listen: { host, port: wantedPort },
    ...(tls ? { tls } : {}),
    answer,
    log,
    socket(_request, url, refused) {
      const say = (refusal: Refusal): undefined => void refused(refusals[refusal][0], refusals[refusal][1]);
      const [, room = "", id = ""] = url.pathname.split("/");
      if (room !== "instance_exec") return say("entity");
      const refusal = judge(url, room, execLinkMs);
      if (refusal) return say(refusal);
      const instance = findInstance(dea, id);
      if (!instance) return say("instance");
      if (streams.isFull) return say("busy");
      return (socket) => void execInPlace(socket, streams, () => execOverSocket(socket, instance, execOptionsOf(url.searchParams), closed.signal));
    },
  });
  const here = `${host.includes(":") ? `[${host}]` : host}:${door.port}`;
  const link = (scheme: string, signed: string): string => `${scheme}://${externalHost ?? here}${signed}`;
  return {
    host,
    port: door.port,
    externalHost,
    viewer: viewer ? { uri: `${tls ? "https" : "http"}://${here}${viewerPath}`, credentials: viewer } : undefined,
    fileLink: (instance, path) => link(protocol, signedFileLink(signer, instance, path)),
    logsLink: ({ id }) => link(protocol, signer.sign(`/instance_logs/${id}`)),
    execLink({ id }, { command, argv = [], user, terminal = false } = {}) {
      const params: [string, string][] = [...(command === undefined ? [] : [["command", command] as [string, string]]), ...(user ? [["user", user] as [string, string]] : []), ...(terminal ? [["tty", "1"] as [string, string]] : [])];
      if (argv.length > 0) params.push(["argv", JSON.stringify(argv)]);
      return link(protocol === "https" ? "wss" : "ws", signer.sign(`/instance_exec/${id}`, Object.fromEntries(params)));
    },
    async [Symbol.asyncDispose]() {
      closed.abort();
      await door[Symbol.asyncDispose]();
    },
  };
}
