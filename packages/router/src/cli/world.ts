import type { Address } from "../listen.ts";
import type { AccessLogSink } from "../proxy/access-log.ts";
import type { Channel } from "./fleet/protocol.ts";

/** What the program needs of the process it runs in. */
export interface World {
  readonly stdout: AccessLogSink;
  readonly stderr: { write(text: string): unknown };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Which of several workers this is, from 1 on; 0 or absent when it is the only process or the one that starts them. */
  readonly worker?: number;
  /** Of a worker: the way to the process that started it, and where that one shows the status of all. */
  readonly fleet?: { readonly channel: Channel; readonly status: Address | undefined };
  onSignal(signal: "SIGTERM" | "SIGINT" | "SIGUSR1" | "SIGHUP", run: () => void): void;
}
