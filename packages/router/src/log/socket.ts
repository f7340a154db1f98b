import { createSocket } from "node:dgram";
import { connect, type NetConnectOpts, type Socket } from "node:net";
import { hostname } from "node:os";
import type { Logger } from "../ports.ts";
import { cutMark, maxLineBytes } from "./cut.ts";
import type { LogTarget } from "./target.ts";
import { createWriter } from "./writer.ts";

export interface SocketTargetOptions {
  /** `udp`: one datagram per line. `tcp` and `unix`: lines on a stream, ended by a newline. */
  kind: "udp" | "tcp" | "unix";
  /** Of the collector. Default 127.0.0.1. */
  host?: string;
  /** Of the collector. Default 514. */
  port?: number;
  /** Of a Unix stream socket. */
  path?: string;
  /** With the head of a syslog message (RFC 5424: facility user, severity info) before each line. Default true for `udp` and `tcp`. */
  syslog?: boolean;
  /** Name of the program in that head. Default `vcap.gorouter`, which collectors look for. */
  program?: string;
  /** Bytes kept while the collector does not take them; beyond that lines are dropped and counted. Default 1 048 576. */
  maxBacklog?: number;
  /** Is told when lines are dropped. Default nobody. */
  log?: Logger;
}

const connectMs = 5_000;

/** Lines to a collector. While it is away they are dropped and counted; the connection is tried again with the next lines, once a second at most. */
export function logToSocket(options: SocketTargetOptions): LogTarget {
  const { kind, host = "127.0.0.1", port = 514, path = "", syslog = kind !== "unix", program = "vcap.gorouter", maxBacklog, log } = options;
  const machine = hostname().replace(/[^\x21-\x7e]/g, "") || "-";
  const headed = (line: string): string => (syslog ? `<14>1 ${new Date().toISOString()} ${machine} ${program} ${process.pid} - - ${line}` : line);
  const carrier = kind === "udp" ? datagrams(host, port) : stream(kind === "tcp" ? { host, port } : { path });
  return createWriter({
    name: kind === "unix" ? `unix:${path}` : `${kind}://${host}:${port}`,
    send: (lines) => carrier.send(lines.toString("utf8", 0, lines.length - 1).split("\n").map(headed)),
    close: () => carrier.close(),
    ...(maxBacklog === undefined ? {} : { maxBacklog }),
    ...(log === undefined ? {} : { log }),
  });
}

interface Carrier {
  send(lines: readonly string[]): Promise<void>;
  close(): void;
}

function datagrams(host: string, port: number): Carrier {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  // Nobody listens there, says the other machine: the next line may be luckier.
  socket.on("error", () => undefined);
  socket.unref();
  return {
    async send(lines) {
      for (const line of lines) {
        const bytes = Buffer.from(line);
        const whole = bytes.length <= maxLineBytes ? bytes : Buffer.concat([bytes.subarray(0, maxLineBytes - cutMark.length), Buffer.from(cutMark)]);
        await new Promise<void>((resolve, reject) => socket.send(whole, port, host, (error) => (error === null ? resolve() : reject(error))));
      }
    },
    close: () => void socket.close(),
  };
}

function stream(to: NetConnectOpts): Carrier {
  let held: Promise<Socket> | undefined;

  const open = (): Promise<Socket> => new Promise((resolve, reject) => {
    const socket = connect(to);
    socket.setTimeout(connectMs, () => socket.destroy(new Error(`no connection within ${connectMs} ms`)));
    socket.on("connect", () => { socket.setTimeout(0); socket.unref(); resolve(socket); });
    // What a collector says is of no interest, that it hangs up is.
    socket.resume();
    socket.on("end", () => socket.destroy());
    socket.on("error", reject);
    socket.on("close", () => { held = undefined; reject(new Error("the collector closed the connection")); });
  });

  return {
    async send(lines) {
      const socket = await (held ??= open());
      await new Promise<void>((resolve, reject) => {
        const gone = (): void => reject(new Error("the collector closed the connection"));
        socket.once("close", gone);
        socket.write(`${lines.join("\n")}\n`, (error) => {
          socket.off("close", gone);
          if (error) reject(error);
          else resolve();
        });
      });
    },
    close: () => void held?.then((socket) => socket.destroySoon(), () => undefined),
  };
}
