import type { AccessLogSink } from "../proxy/access-log.ts";

/** What the program needs of the process it runs in. */
export interface World {
  readonly stdout: AccessLogSink;
  readonly stderr: { write(text: string): unknown };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Which of several workers this is, from 1 on; 0 or absent when it is the only process or the one that starts them. */
  readonly worker?: number;
  onSignal(signal: "SIGTERM" | "SIGINT" | "SIGUSR1" | "SIGHUP", run: () => void): void;
}
